/** Labelled lines: what stands between ⟦kind| and ⟧ is to be found, and nothing else. Keys are made up for the test run. */
import { createHash } from "node:crypto";
import { generateApiKey } from "@nexus/core";

/** Letters and digits that look drawn by lot, the same in every run. */
function drawn(
  seed: string,
  length: number,
  alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
): string {
  let text = "";
  for (let block = 0; text.length < length; block++) {
    for (const byte of createHash("sha256").update(`${seed} ${block}`).digest()) text += alphabet[byte % alphabet.length];
  }
  return text.slice(0, length);
}

const upperDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const base64url = (text: string): string => Buffer.from(text).toString("base64url");
const jwt = `${base64url('{"alg":"HS256","typ":"JWT"}')}.${base64url('{"sub":"1234567890","iat":1516239022}')}.${drawn("jwt", 43)}`;
// Put together here, so that no scanner takes this file for a leak.
const pem = [
  "-----BEGIN RSA PRIVATE",
  " KEY-----\n",
  drawn("pem", 64),
  "\n",
  drawn("pem2", 40),
  "\n-----END RSA PRIVATE",
  " KEY-----",
].join("");
const mark = (kind: string, text: string): string => `⟦${kind}|${text}⟧`;

const secrets: readonly string[] = [
  `use ${mark("nexus_key", generateApiKey("sk", "live").key)} please`,
  `key=${mark("nexus_key", generateApiKey("svc", "test").key)}`,
  `OPENAI: ${mark("openai_key", `sk-proj-${drawn("o1", 60)}`)}`,
  `curl -H "Authorization: Bearer ${mark("openai_key", `sk-${drawn("o2", 48)}`)}"`,
  `${mark("anthropic_key", `sk-ant-api03-${drawn("a1", 80)}-${drawn("a2", 6)}AA`)} is what I use`,
  `aws_access_key_id = ${mark("aws_key", `AKIA${drawn("aws", 15, upperDigits)}7`)}`,
  `aws_secret_access_key = ${mark("assigned_secret", drawn("aws2", 40))}`,
  `export GITHUB=${mark("github_token", `ghp_${drawn("gh", 36)}`)}`,
  `(${mark("github_token", `github_pat_${drawn("gp1", 22)}_${drawn("gp2", 59)}`)})`,
  `maps key ${mark("google_key", `AIza${drawn("goo", 35)}`)}.`,
  `slack ${mark("slack_token", `xoxb-123456789012-1234567890123-${drawn("sl", 24)}`)}`,
  `Here it is:\n${mark("private_key", pem)}\nkeep it`,
  `cookie: session=${mark("jwt", jwt)}; path=/`,
  `DB_PASSWORD=${mark("assigned_secret", "Tr0ub4dor&3".replace("&", "-"))}`,
  `{"client_secret": "${mark("assigned_secret", drawn("cs", 32))}"}`,
  `x-api-key: ${mark("assigned_secret", drawn("xk", 40, "0123456789abcdef"))}`,
  `https://example.test/cb?access_token=${mark("assigned_secret", drawn("at", 30))}&state=1`,
  `spring.datasource.password: '${mark("assigned_secret", "q7Zr-91mPwX2")}'`,
  `token := "${mark("assigned_secret", drawn("go", 24))}"`,
];

const personal: readonly string[] = [
  `write to ${mark("email", "jane.doe+billing@mail.example.com")}, thanks`,
  `<${mark("email", "o'neil@example.co.uk")}>`,
  `mailto:${mark("email", "a_b%c@sub-domain.example.org")}.`,
  `${mark("email", "x@example.io")} and ${mark("email", "y@example.io")}`,
  `card ${mark("card", "4111 1111 1111 1111")} exp 11/29`,
  `${mark("card", "5555555555554444")}, ${mark("card", "3782-822463-10005")}`,
  `Visa:${mark("card", "4012888888881881")}.`,
  `pay to ${mark("iban", "DE89 3704 0044 0532 0130 00")} today`,
  `IBAN=${mark("iban", "GB82WEST12345698765432")};`,
  `(${mark("iban", "FR1420041010050500013M02606")})`,
  `SSN ${mark("ssn", "123-45-6789")}`,
  `ssn: ${mark("ssn", "078 05 1120")}, born 1970`,
  `call ${mark("phone", "+49 30 901820")} or ${mark("phone", "+14155552671")}`,
  `tel. ${mark("phone", "(415) 555-2671")}`,
  `${mark("phone", "415-555-2671")} is my number`,
  `${mark("phone", "1-800-234-5678")} free of charge`,
  `from abroad ${mark("phone", "0044 20 7946 0958")}`,
  `дзвоніть ${mark("phone", "+380 44 123 4567")} або ${mark("email", "olha@example.com.ua")}`,
];

const harmless: readonly string[] = [
  "The quick brown fox jumps over the lazy dog, 1234 times.",
  "sk-learn is a library; sk-this-is-only-a-hyphenated-name-of-something is none",
  "commit 3f2504e04f8911d39a0c0305e82c3301 fixed it",
  "id 550e8400-e29b-41d4-a716-446655440000 and 123e4567-e89b-12d3-a456-426614174000",
  "2026-11-23T14:02:05.123Z +02:00, 23.11.2026, 11/23/2026",
  "192.168.100.200:8080, 10.0.0.1, 2001:db8::1, v1.22.333.4444",
  "pi is 3.14159265358979323846, e is 2.71828182845904523536",
  "order 4111111111111112 was shipped", // fails Luhn
  "4222222222222222222222222222 is too long for a card",
  "DE89 3704 0044 0532 0130 01 has a wrong check sum",
  "000-12-3456 and 666-12-3456 and 900-12-3456 were never issued; part 123-00-4567",
  "git clone git@github.example:team/project and npm i @scope/pkg@1.2.3",
  "user@localhost, @mention, a@b, foo@, @bar.com, me@example.123",
  'password: "${DB_PASSWORD}", token: process.env["TOKEN"], secret = $(cat /run/secrets/x)',
  "password: changeme, secret: none, token: <your-token-here>, api_key=xxxxxxxxxxxxxxxx",
  "the token count: 4096 tokens; max_tokens=1024; tokens: 12345678901234",
  "pv_sk_live_0000000000000000000000000000000000000000000000000 has a wrong check sum",
  "AKIAIOSFODNN is short; ASIANMARKETSAREOPENNOW is a word",
  "eyJ is how it begins. eyJhbGciOiJIUzI1NiJ9 alone is a header",
  "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----, -----BEGIN PUBLIC KEY-----",
  "ISBN 978-3-16-148410-0, EAN 4006381333931, 1,234,567,890.12 EUR",
  "room 555-0199, extension 42, 12-34-56, lines 100-200, +12345678",
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "ghp_ is the head of a token, xoxb- and AIza too",
  "secretary: Mary Jones 2nd floor; keyword: token; passwordless: true",
  "UPDATE t SET n = 1234567890123456 WHERE id = 42; 0x7fffffffffffffff",
];

/** Where something stands in a text, half-open, in UTF-16 units, and what it is. */
interface Label {
  kind: string;
  start: number;
  end: number;
}

/** Texts with what a detector of secrets and personal data is to find in them: keys, then people's data, then what is neither. */
export const labelledTexts: readonly { text: string; expected: readonly Label[] }[] = [...secrets, ...personal, ...harmless].map(
  readLabels,
);

function readLabels(marked: string): { text: string; expected: Label[] } {
  const expected: Label[] = [];
  let text = "";
  let at = 0;
  for (const match of marked.matchAll(/⟦([a-z_]+)\|([^⟧]*)⟧/g)) {
    text += marked.slice(at, match.index);
    expected.push({ kind: match[1] ?? "", start: text.length, end: text.length + (match[2] ?? "").length });
    text += match[2];
    at = match.index + match[0].length;
  }
  return { text: text + marked.slice(at), expected };
}
