/** What the checks look at, gathered once and read-only. */
import type { ComposeModel } from "../docker/compose-model.ts";
import type { EnvFile } from "../env-file/parse-env-file.ts";

/** Either a fact, or why it could not be had. */
export type Known<T> = { readonly value: T } | { readonly fault: string };

export interface Facts {
  /** Version of the engine that answers, such as `26.1.5`. */
  readonly engine: Known<string>;
  readonly compose: Known<string>;
  readonly model: Known<{ readonly model: ComposeModel; readonly warnings: readonly string[] }>;
  /** `undefined` before the first deployment. */
  readonly env: { readonly file: EnvFile; readonly mode: number } | undefined;
  /** Files under ./secrets; `undefined` where there is no such folder. */
  readonly secrets: { readonly directoryMode: number; readonly files: readonly SecretFile[] } | undefined;
  /** Files with secrets that git tracks. */
  readonly committed: Known<readonly string[]>;
  /** Names of this deployment's volumes that exist. */
  readonly volumes: Known<readonly string[]>;
  readonly ports: readonly PortUse[];
  readonly machine: { readonly cpus: number; readonly memoryBytes: number; readonly diskFreeBytes: number };
}

export interface SecretFile {
  readonly name: string;
  readonly mode: number;
  readonly group: number;
  readonly content: string;
}

export interface PortUse {
  readonly port: number;
  /** `undefined`: free. */
  readonly holder: { readonly ours: boolean; readonly who: string } | undefined;
}
