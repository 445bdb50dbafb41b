/** The form that HTML's `type=email` accepts (WHATWG HTML §4.10.5.1.5): what a browser lets through, we do too. */
const form = /^[a-z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;

/** The address as it is stored, in lower case, or `undefined` for what is none (RFC 5321 allows 254 characters). */
export function parseEmailAddress(text: string): string | undefined {
  const address = text.trim().toLowerCase();
  return address.length <= 254 && form.test(address) ? address : undefined;
}
