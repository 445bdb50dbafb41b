/** `GET /`: what runs here. */
import { type Static, Type } from "typebox";
import { strictObject } from "./common.ts";

export const ServiceRoot = strictObject({
  name: Type.String(),
  version: Type.String(),
  commit: Type.String(),
  description: Type.String(),
  links: strictObject({
    docs: Type.Literal("/docs"),
    openapi: Type.Literal("/openapi.json"),
    health: Type.Literal("/health"),
    problems: Type.Literal("/problems"),
  }),
});
export type ServiceRoot = Static<typeof ServiceRoot>;
