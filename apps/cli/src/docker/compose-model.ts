/** What `docker compose config --format json` says, as far as the checks look at it. */
export interface ComposeModel {
  readonly name?: string;
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly networks?: Readonly<Record<string, { readonly name?: string } | null>>;
  readonly volumes?: Readonly<Record<string, { readonly name?: string } | null>>;
}

export interface ComposeService {
  readonly container_name?: string;
  readonly image?: string;
  readonly build?: unknown;
  readonly ports?: readonly { readonly target: number; readonly published?: string; readonly host_ip?: string }[];
  readonly environment?: Readonly<Record<string, string | null>>;
  readonly healthcheck?: {
    readonly test?: readonly string[];
    readonly interval?: string;
    readonly retries?: number;
    readonly disable?: boolean;
  };
  readonly restart?: string;
  readonly mem_limit?: string | number;
  readonly pids_limit?: number;
  readonly read_only?: boolean;
  readonly cap_add?: readonly string[];
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly privileged?: boolean;
  readonly network_mode?: string;
  readonly logging?: { readonly options?: Readonly<Record<string, string>> };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly volumes?: readonly { readonly type: string; readonly source?: string; readonly target: string }[];
}
