import type { Environment } from "@nexus/config";
import { assert, type Clock } from "@nexus/core";
import { faultOfSecret, readSecrets } from "../secrets/read-secrets.ts";
import { detectorGuardrail } from "./detector-guardrail.ts";
import type { GuardrailSettings } from "./guardrail-settings.ts";
import type { Guardrail } from "./guardrail.ts";
import { httpGuardrail } from "./http-guardrail.ts";

export interface Guardrails {
  /** Those of a call, in their order. @param names what the client named, and the models that it stands for */
  of(names: ReadonlySet<string>, organizationId: string): readonly Guardrail[];
  close(): Promise<void>;
}

/** @throws ConfigError naming every variable and file that should hold a secret and holds none */
export function openGuardrails(settings: readonly GuardrailSettings[], environment: Environment, clock: Clock): Guardrails {
  const secrets = readSecrets(secretsOf(settings), environment, faultOfSigningSecret);
  const all = settings.map((one): Guardrail => {
    if (one.kind === "detector") return detectorGuardrail(one);
    const secret = secrets.get(one.name);
    assert(secret !== undefined, "it was read, or refused");
    return httpGuardrail(one, secret, clock);
  });
  return {
    of: (names, organizationId) =>
      all.filter(({ settings: { models, organizations } }) => {
        const isOfModel = models === undefined || models.some((name) => names.has(name));
        return isOfModel && (organizations === undefined || organizations.includes(organizationId));
      }),
    close: async () => {
      await Promise.all(all.map((one) => one.close()));
    },
  };
}

function secretsOf(settings: readonly GuardrailSettings[]) {
  return settings.flatMap((one) =>
    one.kind === "http" ? [{ name: one.name, source: one.secret, what: `the secret of the guardrail ${one.name}` }] : [],
  );
}

function faultOfSigningSecret(value: string | undefined): string | undefined {
  return faultOfSecret(value) ?? ((value?.length ?? 0) < 16 ? "is shorter than 16 characters" : undefined);
}
