/** What a caller of the gateway shows. */
import { bearerOf } from "@nexus/http";

interface Presented {
  headers: { authorization?: string | undefined; "x-api-key"?: string | string[] | undefined };
}

/** `Authorization` as it came; clients of Anthropic's API send their key as `x-api-key` instead. */
export function authorizationOf({ headers }: Presented): string | undefined {
  const { authorization, "x-api-key": key } = headers;
  return authorization ?? (typeof key === "string" ? `Bearer ${key}` : undefined);
}

/** The key itself. */
export function credentialOf(request: Presented): string | undefined {
  return bearerOf(authorizationOf(request));
}
