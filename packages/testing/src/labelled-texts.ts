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
  `const openai = new OpenAI({ apiKey: "${mark("openai_key", `sk-proj-${drawn("h1", 40)}_${drawn("h2", 40)}-${drawn("h3", 30)}`)}" })`,
  `ANTHROPIC_API_KEY=${mark("anthropic_key", `sk-ant-api03-${drawn("h4", 93)}AA`)}\nDEBUG=1`,
  `{"keys":["${mark("nexus_key", generateApiKey("rk", "live").key)}","none"]}`,
  `AWS: ${mark("aws_key", `ASIA${drawn("h5", 15, upperDigits)}2`)} / session`,
  `git remote add o https://x-access-token:${mark("github_token", `ghs_${drawn("h6", 36)}`)}@github.example/o/r.git`,
  `https://maps.example/api/js?key=${mark("google_key", `AIza${drawn("h7", 35)}`)}&callback=go`,
  `SLACK_APP=${mark("slack_token", `xapp-1-A0123456789-1234567890123-${drawn("h8", 40, "0123456789abcdef")}`)}`,
  `Authorization: Bearer ${mark("jwt", `${jwt}x`)}`,
  `jwt="${mark("jwt", jwt)}"`,
  `mysql -u root --password=${mark("assigned_secret", "xK9vQ2mL7pRw")}`,
  `<add key="ApiSecret" value="x"/> and ApiSecret: ${mark("assigned_secret", drawn("h9", 28))}`,
  `auth_token='${mark("assigned_secret", drawn("h10", 32, "0123456789abcdef"))}';`,
  `the password is ${mark("assigned_secret", "Vt7qLm2zR9wX")}`, // in a sentence, without a sign
  `conn = "postgres://app:${mark("assigned_secret", "Zk3mQp8sWn5t")}@db.internal/app"`, // in a URL
  `{\\"token\\": \\"${mark("assigned_secret", drawn("h11", 30))}\\"}`,
  `STRIPE_SECRET=${mark("assigned_secret", `rk_live_${drawn("h12", 24)}`)}`,
  `old: ${mark("private_key", pem.replaceAll("RSA ", "EC "))}`,
  `private key cut off: ${mark("private_key", pem.slice(0, 90))}`,
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
  `From: "Doe, Jane" <${mark("email", "JANE.DOE@EXAMPLE.COM")}>`,
  `ping me@home or ${mark("email", "first-last@my-company.co.jp")}!`,
  `https://example.com/?u=${mark("email", "u.ser@example.net")}&x=1`,
  `jane at example dot com`, // spelled out: nobody finds it, and nobody labels it
  `${mark("email", "müller@example.de".replace("mü", "mue"))};${mark("email", "b@c.de")}`,
  `Mastercard ${mark("card", "2223 0031 2200 3222")}.`,
  `card number:${mark("card", "6011111111111117")} cvc 123`,
  `PAN ${mark("card", "30569309025904")} (Diners)`,
  `two: ${mark("card", "4242-4242-4242-4242")}/${mark("card", "378282246310005")}`,
  `Konto ${mark("iban", "CH93 0076 2011 6238 5295 7")}, danke`,
  `iban es ${mark("iban", "ES9121000418450200051332")}`,
  `IBAN: ${mark("iban", "nl91abna0417164300")}`, // in small letters
  `social ${mark("ssn", "219-09-9999")}.`,
  `SSN=${mark("ssn", "457-55-5462")};DOB=1980-01-01`,
  `Rufen Sie an: ${mark("phone", "+49 (0)30 901820")}`,
  `Tel ${mark("phone", "030 901820")}`, // national, in no shape of its own
  `WhatsApp ${mark("phone", "+5511987654321")} ok?`,
  `office: ${mark("phone", "212.555.0187")}, fax ${mark("phone", "(212) 555-0188")}`,
  `Call ${mark("phone", "+1 (650) 253-0000")} now`,
  mark("phone", "+44 20 7946 0958"),
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
  "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
  "The secret to happiness: sleep 8 hours a day and eat 5 fruits",
  "Tokens are counted: input 1532, output 884, cached_tokens=1024",
  "password policy: min_length=12, max_length=128, rotate_every=90d",
  "tracking number 1Z999AA10123456784, ticket INC0012345678, VIN 1HGCM82633A004352",
  "timestamps 1700000000000 and 1700000000123456789; serial 100-200-3000",
  "coordinates 52.520008, 13.404954; (1234) 5678; 3.14.15.92",
  "call foo(123) 456-7890abc; range 10-20-30; score 21-14-7",
  "ORDER 2024-0001-0002-0003, part no. 4111-1111-1111-1112, lot 378282246310006",
  "user_id=8f14e45fceea167a5a36dedd4bea2543 session_count=12",
  "token_type: bearer, token_endpoint: https://login.example.com/oauth2/v2.0/token",
  "import { secret } from './secrets.ts'; const token = await getToken(user.id2);",
  "SKU SE45 5000 0000 0583 9825 7460 is no IBAN, GB00 neither",
  "next_page_token: CAUQAA and page=2; csrf: disabled; passwordHash: argon2id",
  "price (415) dollars 5552 items; 0800 is a prefix; 00 11 22 33",
  "a+b=c@d, x@y.z1, @user@instance, %40example.com",
  'ETag: "33a64df551425fcc55e4d42a148795d9f25f89d4"; rev 5d41402abc4b2a76b9719d911017c592',
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
