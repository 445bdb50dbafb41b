/**
 * Bodies are taken as they are: no coercion, no dropped fields. Query and path parameters are text by nature, so they are
 * converted to the schema's types and given its defaults first. (Fastify's own default drops unknown fields in silence.)
 */
import type { FastifySchemaCompiler } from "fastify";
import type { TSchema } from "typebox";
import { Compile } from "typebox/compile";
import { Value } from "typebox/value";

export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const check = Compile(schema);
  return (value: unknown) => {
    const read = httpPart === "body" ? value : Value.Default(schema, Value.Convert(schema, value));
    return check.Check(read) ? { value: read } : { error: check.Errors(read) as unknown as Error };
  };
};
