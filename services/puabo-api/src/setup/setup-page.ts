/** The two pages of the set-up: plain HTML, no script, nothing from anywhere else. */
import { randomBytes } from "node:crypto";

interface Page {
  html: string;
  headers: Record<string, string>;
}

interface FormState {
  code: string;
  passwordMinLength: number;
  /** Why the last try was refused, and what was typed; never the password. */
  message?: string | undefined;
  email?: string | undefined;
  name?: string | undefined;
}

export function setupForm(state: FormState): Page {
  const message = state.message === undefined ? "" : `<p role="alert">${escapeHtml(state.message)}</p>`;
  return page(
    "Set up Nexus COS",
    `<p>You are making the first administrator of this installation. This link works once.</p>
${message}
<form method="post" action="/setup" autocomplete="on">
<input type="hidden" name="code" value="${escapeHtml(state.code)}">
<label>Name <input name="name" required maxlength="200" autocomplete="name" value="${escapeHtml(state.name ?? "")}"></label>
<label>E-mail address <input name="email" type="email" required maxlength="254" autocomplete="username" value="${escapeHtml(state.email ?? "")}"></label>
<label>Password, at least ${state.passwordMinLength} characters
<input name="password" type="password" required minlength="${state.passwordMinLength}" autocomplete="new-password"></label>
<button>Make the administrator</button>
</form>`,
  );
}

export function setupDonePage(email: string): Page {
  return page(
    "Nexus COS is set up",
    `<p>${escapeHtml(email)} is the administrator, and this browser is signed in. The set-up link is gone.</p>
<ul>
<li><a href="/docs">The API of accounts, audit log and module status</a></li>
<li><a href="/api/status">What runs: the status of every module</a></li>
<li><a href="/api/audit/events">The audit log: your set-up is its newest entry</a></li>
</ul>`,
  );
}

const style = `body{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
label{display:block;margin:1rem 0}input{display:block;width:100%;box-sizing:border-box;padding:.5rem;font:inherit}
button{padding:.6rem 1rem;font:inherit}[role=alert]{border-left:4px solid #b00020;padding:.25rem .75rem}
@media (prefers-color-scheme:dark){body{color:#eee;background:#111}a{color:#8ab4f8}}`;

/** The address holds a code, so it is told to nobody: no referrer, no cache, no index. */
function page(title: string, body: string): Page {
  const nonce = randomBytes(16).toString("base64");
  return {
    html: `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${title}</title><style nonce="${nonce}">${style}</style></head>
<body><main><h1>${title}</h1>
${body}
</main></body></html>
`,
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": `default-src 'none'; style-src 'nonce-${nonce}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`,
      "referrer-policy": "no-referrer",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "x-robots-tag": "noindex",
    },
  };
}

const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => entities[character] ?? character);
}
