/**
 * The page behind a share link. It is the same for every link and looks nothing up, so the previews of chat programs, which
 * fetch what they are sent, neither open a link nor learn whether it is good. What it needs is in it; it asks nobody else.
 */
import { hash } from "node:crypto";

const style = `body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:4rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
button{padding:.6rem 1rem;font:inherit}code{display:block;padding:.75rem;border:1px solid #888;overflow-wrap:anywhere;user-select:all}
[role=alert]{border-left:4px solid #b00020;padding:.25rem .75rem}[hidden]{display:none}
@media (prefers-color-scheme:dark){body{color:#eee;background:#111}}`;

const script = `"use strict";
const byId = (id) => document.getElementById(id);
const token = location.hash.slice(1);
const fail = (text) => { byId("fault").textContent = text; byId("fault").hidden = false; byId("before").hidden = true; };
if (!/^[A-Za-z0-9_-]{43}$/.test(token)) fail("This link is not whole. Ask for it again, with everything after the #.");
byId("show").addEventListener("click", async () => {
  byId("show").disabled = true;
  try {
    const answer = await fetch("/v1/key-shares/open", {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ token }),
    });
    const body = await answer.json();
    if (answer.status === 429 || answer.status >= 500) throw new Error("later");
    if (!answer.ok) return fail(body.detail || body.title);
    history.replaceState(null, "", location.pathname);
    byId("name").textContent = body.name;
    byId("secret").textContent = body.secret;
    byId("expiry").textContent = body.expires_at ? "It works until " + body.expires_at + "." : "It does not expire.";
    byId("before").hidden = true;
    byId("after").hidden = false;
  } catch {
    byId("show").disabled = false;
    byId("wait").hidden = false;
  }
});`;

const html = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>A key for you</title><style>${style}</style></head>
<body><main><h1>A key for you</h1>
<p id="fault" role="alert" hidden></p>
<div id="before"><p>Somebody shares an API key with you. It is shown once: have the place ready where you keep it.</p>
<p id="wait" role="alert" hidden>The server does not answer at the moment. Nothing was shown; try again in a minute.</p>
<button id="show">Show the key</button>
<noscript><p role="alert">This page needs JavaScript: the link's secret part never leaves your browser by itself.</p></noscript></div>
<div id="after" hidden><p>The key <b id="name"></b>. It is shown this once. <span id="expiry"></span></p><code id="secret"></code></div>
</main><script>${script}</script></body></html>
`;

function source(text: string): string {
  return `'sha256-${hash("sha256", text, "base64")}'`;
}

export const sharePage = {
  html,
  headers: {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": `default-src 'none'; script-src ${source(script)}; style-src ${source(style)}; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "x-robots-tag": "noindex",
    "cross-origin-opener-policy": "same-origin",
  },
} as const;
