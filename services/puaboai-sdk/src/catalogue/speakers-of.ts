import { Problem } from "@nexus/core";
import type { WireFormatName } from "../wire/wire-format.ts";
import type { Model, RemoteModel } from "./catalogue.ts";

/**
 * Those of the models whose providers speak this format.
 * @throws Problem `invalid_request` when there is none
 */
export function speakersOf(models: readonly Model[], name: WireFormatName): RemoteModel[] {
  const speakers = models.filter((model) => speaks(model, name));
  if (speakers.length === 0) throw otherFormat(models[0]?.id ?? "", name);
  return speakers;
}

export function speaks(model: Model, name: WireFormatName): model is RemoteModel {
  return model.upstream?.settings.wireFormats.includes(name) === true;
}

function otherFormat(id: string, name: WireFormatName): Problem {
  const detail = `is not offered in the format of this route (${name})`;
  return new Problem("invalid_request", `The model ${id} ${detail}.`, { errors: [{ pointer: "/model", detail }] });
}
