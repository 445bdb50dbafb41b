/**
 * Requests forged by another site (CSRF): a browser sends our cookie along, and says where the request came from. `Sec-Fetch-Site`
 * is the browser's own word and decides where it is sent; older browsers send `Origin`. A program such as curl sends neither, and
 * has no cookie that somebody else could make use of.
 */
import { Problem } from "@nexus/core";

const safeMethods: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

interface Evidence {
  method: string;
  origin: string | undefined;
  secFetchSite: string | undefined;
}

/** @throws Problem `origin_refused` for an unsafe request with evidence that it comes from another site */
export function checkOrigin(evidence: Evidence, publicUrl: string): void {
  if (safeMethods.has(evidence.method)) return;
  const { secFetchSite: site, origin } = evidence;
  if (site !== undefined) {
    if (site !== "same-origin" && site !== "none") throw refused();
    return;
  }
  if (origin !== undefined && !isOwnOrigin(origin, publicUrl)) throw refused();
}

function refused(): Problem {
  return new Problem("origin_refused", "this request came from a page of another origin");
}

/** True for the public origin; an installation on loopback is the same one under each of loopback's names. */
function isOwnOrigin(origin: string, publicUrl: string): boolean {
  const given = URL.parse(origin);
  const own = new URL(publicUrl);
  if (given?.origin === own.origin) return true;
  return (
    given?.protocol === own.protocol && given.port === own.port && isLoopbackHost(given.hostname) && isLoopbackHost(own.hostname)
  );
}

/** A host name as `URL` gives it, IPv6 in brackets. */
export function isLoopbackHost(hostname: string): boolean {
  return (
    hostname === "localhost" || hostname.endsWith(".localhost") || hostname === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(hostname)
  );
}
