/**
 * The cookie that holds a session's secret. With https it carries the `__Host-` prefix (RFC 6265bis §4.1.3.2): no sub-domain and no
 * plain-text site can set it. Browsers refuse that prefix on http, so a loopback installation has a plain HttpOnly cookie.
 */
export interface SessionCookie {
  readonly name: string;
  /** `Set-Cookie` for a new session; without `maxAgeSeconds` it ends with the browser. */
  set(token: string, maxAgeSeconds: number | undefined): string;
  /** `Set-Cookie` that removes it. */
  clear(): string;
  /** The token in a `Cookie` header. */
  read(header: string | undefined): string | undefined;
}

export function sessionCookieFor(publicUrl: string): SessionCookie {
  const secure = publicUrl.startsWith("https:");
  const name = secure ? "__Host-nexus_session" : "nexus_session";
  const attributes = `Path=/; HttpOnly; SameSite=Lax${secure ? "; Secure" : ""}`;
  return {
    name,
    set: (token, maxAgeSeconds) =>
      `${name}=${token}; ${attributes}${maxAgeSeconds === undefined ? "" : `; Max-Age=${maxAgeSeconds}`}`,
    clear: () => `${name}=; ${attributes}; Max-Age=0`,
    read: (header) => readCookie(header, name),
  };
}

function readCookie(header: string | undefined, name: string): string | undefined {
  for (const pair of header?.split(";") ?? []) {
    const [key, value] = pair.split("=", 2);
    if (key?.trim() === name && value) return value.trim();
  }
  return undefined;
}
