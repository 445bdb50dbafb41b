import { Problem } from "@nexus/core";
import type { Model, RemoteModel } from "../catalogue/catalogue.ts";
import type { WireFormatName } from "./wire-format.ts";

/** @throws Problem `invalid_request` for a model whose provider does not speak this format */
export function requireWireFormat(model: Model, name: WireFormatName): RemoteModel {
  if (model.upstream?.settings.wireFormats.includes(name)) return model;
  const detail = `is not offered in the format of this route (${name})`;
  throw new Problem("invalid_request", `The model ${model.id} ${detail}.`, { errors: [{ pointer: "/model", detail }] });
}
