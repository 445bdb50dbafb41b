import { type FieldError, Problem } from "@nexus/core";
import type { LocalEmbeddingModel } from "../local-model.ts";
import type { EmbeddingRequest } from "./embedding-request.ts";

export interface LocalEmbeddingRequest {
  inputs: string[];
  encoding: "float" | "base64";
}

const mostInputs = 2048;

/** @throws Problem `invalid_request` naming every faulty field */
export function readLocalEmbedding(request: EmbeddingRequest, model: LocalEmbeddingModel): LocalEmbeddingRequest {
  const body = JSON.parse(request.body.toString()) as Record<string, unknown>;
  const errors: FieldError[] = [];
  const inputs = readInputs(body["input"], errors);
  const encoding = body["encoding_format"] ?? "float";
  if (encoding !== "float" && encoding !== "base64") {
    errors.push({ pointer: "/encoding_format", detail: "must be float or base64" });
  }
  const dimensions = body["dimensions"] ?? model.dimensions;
  if (dimensions !== model.dimensions) {
    errors.push({ pointer: "/dimensions", detail: `must be ${model.dimensions} for this model` });
  }
  if (errors.length > 0) throw new Problem("invalid_request", undefined, { errors });
  return { inputs, encoding: encoding === "base64" ? "base64" : "float" };
}

function readInputs(value: unknown, errors: FieldError[]): string[] {
  const inputs: unknown[] = Array.isArray(value) ? value : [value];
  if (value === undefined) errors.push({ pointer: "/input", detail: "is required" });
  else if (inputs.length === 0 || inputs.length > mostInputs) {
    errors.push({ pointer: "/input", detail: `must be a text or a list of 1 to ${mostInputs} texts` });
  } else if (!inputs.every((input) => typeof input === "string" && input !== "")) {
    errors.push({ pointer: "/input", detail: "must be a text or a list of texts, none of them empty" });
  }
  return errors.length === 0 ? (inputs as string[]) : [];
}
