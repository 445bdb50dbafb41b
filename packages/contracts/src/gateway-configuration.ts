/** The gateway's configuration by API: what is in force, and providers, models and routes beside those of gateway.yaml. */
import { type Static, Type } from "typebox";
import { page, printable, strictObject, Timestamp } from "./common.ts";

const FieldErrors = Type.Array(strictObject({ pointer: Type.String(), detail: Type.String() }));

export const EntryDocument = Type.Record(Type.String({ maxLength: 100 }), Type.Unknown(), {
  description: "the fields that it would have in gateway.yaml, without its name; secrets are named, never told",
});
export type EntryDocument = Static<typeof EntryDocument>;

export const GatewayEntry = strictObject({
  name: Type.String(),
  source: Type.Union([Type.Literal("file"), Type.Literal("api")], { description: "file: read-only here" }),
  state: Type.Union([Type.Literal("in_force"), Type.Literal("set_aside")], {
    description: "set_aside: it does not count, `errors` says why",
  }),
  document: Type.Union([EntryDocument, Type.Null()], { description: "as it was set; null for what the file says" }),
  effective: Type.Union([EntryDocument, Type.Null()], { description: "with everything that it did not say; null: set aside" }),
  errors: FieldErrors,
  etag: Type.Union([Type.String(), Type.Null()], { description: "for If-Match; null for what the file says" }),
  updated_at: Type.Union([Timestamp, Type.Null()]),
  updated_by: Type.Union([Type.String(), Type.Null()]),
});
export type GatewayEntry = Static<typeof GatewayEntry>;

export const GatewayEntryPage = page(GatewayEntry);

export const Configuration = strictObject({
  file: Type.Union(
    [
      strictObject({
        name: Type.String(),
        loaded_at: Timestamp,
        refused: Type.Union([strictObject({ at: Timestamp, errors: FieldErrors }), Type.Null()], {
          description: "why the newest file is not in force",
        }),
      }),
      Type.Null(),
    ],
    { description: "null: there is no gateway.yaml" },
  ),
  providers: Type.Integer(),
  models: Type.Integer(),
  routes: Type.Integer(),
  set_aside: Type.Array(strictObject({ kind: Type.String(), name: Type.String(), errors: FieldErrors })),
});
export type Configuration = Static<typeof Configuration>;

export const ProviderParams = strictObject({ name: Type.String({ minLength: 1, maxLength: 63, pattern: printable }) });
export const ChangeHeaders = Type.Object({
  "if-match": Type.Optional(Type.String({ maxLength: 200, description: "`etag` of the version that is changed" })),
  "if-none-match": Type.Optional(Type.String({ maxLength: 10, description: "`*`: only if there is none yet" })),
});

export const TestProviderRequest = strictObject({
  model: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 200,
      pattern: printable,
      description: "the provider's name of a model; its first configured one unless told, and without any its list of models",
    }),
  ),
});
export type TestProviderRequest = Static<typeof TestProviderRequest>;

const Milliseconds = Type.Union([Type.Number(), Type.Null()]);

export const ProviderTest = strictObject({
  ok: Type.Boolean(),
  diagnosis: strictObject({
    code: Type.String({ description: "ok, wrong_key, model_unknown, dns, tls, …" }),
    text: Type.String(),
  }),
  request: strictObject({ method: Type.String(), url: Type.String(), model: Type.Union([Type.String(), Type.Null()]) }),
  status: Type.Union([Type.Integer(), Type.Null()], { description: "what the provider answered with" }),
  timings_ms: strictObject({
    dns: Milliseconds,
    connect: Milliseconds,
    tls: Milliseconds,
    first_byte: Milliseconds,
    total: Type.Number(),
  }),
  answer: Type.Union([Type.String(), Type.Null()], { description: "the beginning of what the provider said, without secrets" }),
  error: Type.Union([Type.String(), Type.Null()], { description: "the code of what broke the call" }),
});
export type ProviderTest = Static<typeof ProviderTest>;
