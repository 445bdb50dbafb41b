import type { ProblemDocument } from "@nexus/contracts/common";
/** Everything that went wrong leaves as RFC 9457 problem+json, or in the dialect of the route it happened on. */
import { type FieldError, Problem, problemCatalogue } from "@nexus/core";
import type { Logger } from "@nexus/telemetry";
import type { FastifyReply, FastifyRequest } from "fastify";

/** Routes that speak somebody else's wire format, errors included. */
export interface ErrorDialect {
  matches(path: string): boolean;
  render(document: ProblemDocument, problem: Problem): { body: unknown; contentType: string };
}

interface AnswerOptions {
  logger: Logger;
  dialects: readonly ErrorDialect[];
  /** Errors of other packages that a client can act on, such as a database that is away. */
  translate: (error: unknown) => Problem | undefined;
}

/** The document of a problem. Anything ≥ 500 shows no more than its title and the request's id. */
export function problemDocument(problem: Problem, requestId: string): ProblemDocument & Record<string, unknown> {
  const { code, status } = problem;
  const { title } = problemCatalogue[code];
  const base = { type: `/problems/${code}`, title, status, code, request_id: requestId };
  if (status >= 500) return base;
  return {
    ...problem.extensions,
    ...base,
    ...(problem.detail === undefined ? {} : { detail: problem.detail }),
    ...(problem.errors === undefined ? {} : { errors: problem.errors }),
  };
}

/** What Fastify's `setErrorHandler` and `setNotFoundHandler` answer with. */
export function problemAnswerer(options: AnswerOptions) {
  return function answer(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const problem = toProblem(error, options.translate);
    if (problem.status >= 500) {
      options.logger.error({ err: problem.cause ?? error, request_id: request.requestId, code: problem.code }, "request failed");
    }
    const { body, contentType } = render(problem, request, options.dialects);
    void reply.headers(problem.headers);
    return reply.code(problem.status).type(contentType).serializer(JSON.stringify).send(body);
  };
}

function render(problem: Problem, request: FastifyRequest, dialects: readonly ErrorDialect[]) {
  const document = problemDocument(problem, request.requestId);
  const path = request.url.split("?", 1)[0] ?? "";
  const dialect = dialects.find((candidate) => candidate.matches(path));
  return dialect ? dialect.render(document, problem) : { body: document, contentType: "application/problem+json; charset=utf-8" };
}

interface FrameworkError {
  code?: unknown;
  statusCode?: unknown;
  validation?: readonly ValidationFault[];
  validationContext?: string;
}

interface ValidationFault {
  keyword?: string;
  instancePath?: string;
  message?: string;
  params?: Record<string, unknown>;
}

/** A `Problem` for whatever was thrown. */
export function toProblem(error: unknown, translate: (error: unknown) => Problem | undefined = () => undefined): Problem {
  if (error instanceof Problem) return error;
  const framework = (typeof error === "object" && error !== null ? error : {}) as FrameworkError;
  if (framework.validation) return invalidRequest(framework.validation, framework.validationContext ?? "body");
  const known = frameworkProblems[String(framework.code)];
  if (known) return new Problem(known[0], known[1], { cause: error });
  const translated = translate(error);
  if (translated) return translated;
  const status = Number(framework.statusCode);
  if (status >= 400 && status < 500) return new Problem("malformed_request", undefined, { cause: error });
  return new Problem("internal", undefined, { cause: error });
}

const frameworkProblems: Record<
  string,
  ["malformed_json" | "malformed_request" | "body_too_large" | "unsupported_media_type", string]
> = {
  FST_ERR_CTP_INVALID_JSON_BODY: ["malformed_json", "The body is not valid JSON."],
  FST_ERR_CTP_EMPTY_JSON_BODY: ["malformed_json", "The body is empty."],
  FST_ERR_CTP_BODY_TOO_LARGE: ["body_too_large", "The body is larger than this route takes."],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ["unsupported_media_type", "Send the body as application/json."],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ["malformed_request", "The body is not as long as Content-Length says."],
  FST_ERR_BAD_URL: ["malformed_request", "The URL cannot be decoded."],
};

function invalidRequest(faults: readonly ValidationFault[], part: string): Problem {
  const prefix = part === "body" ? "" : "?";
  const errors = faults.flatMap((fault) => fieldErrors(fault, prefix)).slice(0, 20);
  const first = errors[0];
  return new Problem("invalid_request", first ? `${first.pointer || "The body"} ${first.detail}.` : undefined, { errors });
}

function fieldErrors(fault: ValidationFault, prefix: string): FieldError[] {
  const at = fault.instancePath ?? "";
  const pointer = (name = ""): string => {
    const path = name === "" ? at : `${at}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    return prefix === "" ? path : prefix + path.slice(1);
  };
  const names = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : []);
  if (fault.keyword === "additionalProperties") {
    return names(fault.params?.["additionalProperties"]).map((name) => ({
      pointer: pointer(name.slice(0, 100)),
      detail: "is not a known field",
    }));
  }
  if (fault.keyword === "required") {
    return names(fault.params?.["requiredProperties"]).map((name) => ({ pointer: pointer(name), detail: "is required" }));
  }
  // A closed object reports each unknown member a second time as failing the schema `false`.
  if (fault.keyword === "boolean") return [];
  return [{ pointer: pointer(), detail: fault.message ?? "is not valid" }];
}
