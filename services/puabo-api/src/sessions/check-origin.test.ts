import { expect, test } from "vitest";
import { checkOrigin } from "./check-origin.ts";
import { sessionCookieFor } from "./session-cookie.ts";
import { generateSessionToken, hashSessionToken } from "./session-token.ts";

const site = "https://nexus.example.org";
const allowed = (evidence: { method?: string; origin?: string; secFetchSite?: string }, publicUrl = site) => {
  try {
    checkOrigin({ method: "POST", origin: undefined, secFetchSite: undefined, ...evidence }, publicUrl);
    return true;
  } catch {
    return false;
  }
};

test("a page of another origin cannot make an unsafe request", () => {
  expect(allowed({ secFetchSite: "cross-site" })).toBe(false);
  expect(allowed({ secFetchSite: "same-site" })).toBe(false);
  expect(allowed({ origin: "https://evil.example.org" })).toBe(false);
  expect(allowed({ origin: "null" })).toBe(false);
  expect(allowed({ origin: "http://nexus.example.org" })).toBe(false);
  expect(allowed({ origin: site, secFetchSite: "cross-site" })).toBe(false);
});

test("our own pages, the address bar and programs can", () => {
  expect(allowed({ secFetchSite: "same-origin", origin: "null" })).toBe(true);
  expect(allowed({ secFetchSite: "none" })).toBe(true);
  expect(allowed({ origin: site })).toBe(true);
  expect(allowed({})).toBe(true);
  expect(allowed({ method: "GET", secFetchSite: "cross-site" })).toBe(true);
});

test("an installation on loopback is one origin under each of its names, on its own port", () => {
  expect(allowed({ origin: "http://127.0.0.1:4000" }, "http://localhost:4000")).toBe(true);
  expect(allowed({ origin: "http://[::1]:4000" }, "http://localhost:4000")).toBe(true);
  expect(allowed({ origin: "http://127.0.0.1:4001" }, "http://localhost:4000")).toBe(false);
  expect(allowed({ origin: "http://127.0.0.1.example.org:4000" }, "http://localhost:4000")).toBe(false);
});

test("https brings the __Host- prefix with Secure, loopback a plain HttpOnly cookie", () => {
  expect(sessionCookieFor(site).set("t", 60)).toBe("__Host-nexus_session=t; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=60");
  expect(sessionCookieFor("http://localhost:4000").set("t", undefined)).toBe("nexus_session=t; Path=/; HttpOnly; SameSite=Lax");
  expect(sessionCookieFor(site).read("a=b; __Host-nexus_session=secret; c=d")).toBe("secret");
  expect(sessionCookieFor(site).read("nexus_session=secret; x__Host-nexus_session=no")).toBeUndefined();
});

test("a session token has 256 bits; what cannot be one is not looked up", () => {
  const token = generateSessionToken();
  expect(Buffer.from(token, "base64url")).toHaveLength(32);
  expect(hashSessionToken(token)).toHaveLength(32);
  for (const text of ["", "a".repeat(42), "a".repeat(44), `${"a".repeat(42)}%`]) expect(hashSessionToken(text)).toBeUndefined();
});
