/**
 * `/api/auth/*` in the wire format of better-auth's version 1, so that its unmodified client works here; names are camelCase for
 * that reason. One difference on purpose: where that format has a session's `token`, we give its public id (`ses_…`).
 */
import { type Static, Type } from "typebox";
import { strictObject, Timestamp } from "./common.ts";

const Email = Type.String({ minLength: 1, maxLength: 320 });
// Longer than any password that is accepted, so that one too long is answered as such.
const Password = Type.String({ minLength: 1, maxLength: 1024, description: "accepted up to 256 characters" });
const Name = Type.String({ minLength: 1, maxLength: 200, pattern: "^[^\\u0000-\\u001f\\u007f]+$" });

/** Set-up by the one-time link. */
export const SetupRequest = strictObject({
  code: Type.String({ minLength: 1, maxLength: 200, description: "the part of the link after ?code=" }),
  email: Email,
  password: Password,
  name: Name,
});
export type SetupRequest = Static<typeof SetupRequest>;

/** What a browser's form gets. */
export const SetupPage = Type.String({ description: "an HTML page" });

export const SetupQuery = strictObject({ code: Type.Optional(Type.String({ maxLength: 200 })) });

const clientHints = {
  callbackURL: Type.Optional(Type.String({ maxLength: 2048, description: "sent back as `url`; we never redirect to it" })),
  rememberMe: Type.Optional(Type.Boolean({ description: "false: the cookie ends with the browser" })),
};

export const SignUpRequest = strictObject({
  email: Email,
  password: Password,
  name: Name,
  image: Type.Optional(Type.String({ maxLength: 2048, pattern: "^https?://[^\\s\\u0000-\\u001f]+$" })),
  ...clientHints,
});
export type SignUpRequest = Static<typeof SignUpRequest>;

export const SignInRequest = strictObject({ email: Email, password: Password, ...clientHints });
export type SignInRequest = Static<typeof SignInRequest>;

/** The client sends `{}`; another program may send no body at all. */
export const SignOutRequest = Type.Union([strictObject({}), Type.Null()]);

export const AuthUser = strictObject({
  id: Type.String({ description: "usr_…" }),
  email: Type.String(),
  emailVerified: Type.Boolean(),
  name: Type.String(),
  image: Type.Union([Type.String(), Type.Null()]),
  role: Type.Union([Type.Literal("user"), Type.Literal("admin")]),
  createdAt: Timestamp,
  updatedAt: Timestamp,
});
export type AuthUser = Static<typeof AuthUser>;

export const AuthSession = strictObject({
  id: Type.String({ description: "ses_…" }),
  token: Type.String({ description: "the public id again; the secret is in the cookie alone" }),
  userId: Type.String(),
  activeOrganizationId: Type.String({ description: "org_…" }),
  expiresAt: Timestamp,
  createdAt: Timestamp,
  updatedAt: Timestamp,
  ipAddress: Type.Union([Type.String(), Type.Null()]),
  userAgent: Type.Union([Type.String(), Type.Null()]),
});
export type AuthSession = Static<typeof AuthSession>;

export const SignUpAnswer = strictObject({ token: Type.String({ description: "ses_…" }), user: AuthUser });
export type SignUpAnswer = Static<typeof SignUpAnswer>;

/** JSON for a program, a page for a browser's form. */
export const SetupAnswer = Type.Union([SignUpAnswer, SetupPage]);

export const SignInAnswer = strictObject({
  redirect: Type.Literal(false),
  token: Type.String({ description: "ses_…" }),
  url: Type.Optional(Type.String()),
  user: AuthUser,
});
export type SignInAnswer = Static<typeof SignInAnswer>;

export const SignOutAnswer = strictObject({ success: Type.Literal(true) });

/** `null` for whoever is not signed in: that is an answer, not an error. */
export const GetSessionAnswer = Type.Union([strictObject({ session: AuthSession, user: AuthUser }), Type.Null()]);
export type GetSessionAnswer = Static<typeof GetSessionAnswer>;

/** What better-auth's client may add; a session is never cached in a cookie here, so neither changes anything. */
export const GetSessionQuery = strictObject({
  disableCookieCache: Type.Optional(Type.String({ maxLength: 10 })),
  disableRefresh: Type.Optional(Type.String({ maxLength: 10 })),
});

export const audiences = ["pv-keys", "puaboai-sdk"] as const;
export type Audience = (typeof audiences)[number];

export const TokenQuery = strictObject({
  audience: Type.Union([Type.Literal("pv-keys"), Type.Literal("puaboai-sdk")], {
    description: "the service that the token is for",
  }),
});

export const TokenAnswer = strictObject({
  token: Type.String({ description: "a JWT (RFC 9068) that lives five minutes" }),
  expires_at: Timestamp,
});

/** RFC 7517. */
export const JsonWebKeySet = strictObject({ keys: Type.Array(Type.Record(Type.String(), Type.Unknown())) });

/** The error shape of this dialect. */
export const AuthError = Type.Object({
  code: Type.String({ description: "better-auth's code where it has one: INVALID_EMAIL_OR_PASSWORD" }),
  message: Type.String(),
  request_id: Type.String(),
});
