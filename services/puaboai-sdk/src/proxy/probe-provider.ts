/** One small call to a provider on a connection of its own, with the time that each part took. */
import { type ClientRequest, type IncomingMessage, request as plainRequest, type RequestOptions } from "node:http";
import { request as tlsRequest } from "node:https";
import type { Socket } from "node:net";
import type { ProviderSettings } from "../settings/provider-settings.ts";
import { publicLookup } from "./public-lookup.ts";

export interface ProbeCall {
  method: "GET" | "POST";
  /** Below the base URL. */
  path: string;
  /** Absent: a call without one. */
  body?: object | undefined;
}

/** Milliseconds from the beginning of each part to its end; `null`: it did not come to that. */
interface ProbeTimes {
  dns: number | null;
  connect: number | null;
  tls: number | null;
  /** From the request to the first byte of the answer. */
  firstByte: number | null;
  total: number;
}

export interface Probe {
  times: ProbeTimes;
  status: number | null;
  contentType: string;
  /** Where it points elsewhere; nobody goes there. */
  location: string | undefined;
  /** The first 16 KiB. */
  body: string;
  /** What broke the call: an error's code, or `connect_timeout`, `first_byte_timeout`. */
  error: { code: string; message: string } | undefined;
}

const mostBytes = 16 * 1024;
const longestMs = 30_000;

/** Never rejects: what went wrong is the answer. Follows no redirect, and reaches only addresses that calls may reach. */
export async function probeProvider(settings: ProviderSettings, secret: string | undefined, call: ProbeCall): Promise<Probe> {
  const clock = stopwatch();
  const aborter = new AbortController();
  const { connectMs, firstByteMs } = settings.deadlines;
  let deadline = setTimeout(() => aborter.abort("connect_timeout"), Math.min(connectMs, longestMs));
  const probe: Omit<Probe, "times"> = { status: null, contentType: "", location: undefined, body: "", error: undefined };
  try {
    const request = send(settings, secret, { ...call, signal: aborter.signal });
    clock.watch(request, () => {
      clearTimeout(deadline);
      deadline = setTimeout(() => aborter.abort("first_byte_timeout"), Math.min(firstByteMs, longestMs));
    });
    const answer = await answerOf(request);
    clock.answered();
    probe.status = answer.statusCode ?? null;
    probe.contentType = answer.headers["content-type"] ?? "";
    probe.location = answer.headers.location;
    probe.body = await firstBytes(answer);
  } catch (error) {
    const { code = "failed", message } = error as NodeJS.ErrnoException;
    probe.error = aborter.signal.aborted ? { code: String(aborter.signal.reason), message: "" } : { code, message };
  } finally {
    clearTimeout(deadline);
  }
  return { ...probe, times: clock.read() };
}

function send(
  settings: ProviderSettings,
  secret: string | undefined,
  { method, path, body, signal }: ProbeCall & { signal: AbortSignal },
): ClientRequest {
  const url = new URL(settings.baseUrl);
  const sent = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  const options: RequestOptions = {
    method,
    signal,
    // A connection of its own, so that every part of it is seen.
    agent: false,
    ...(settings.allowsPrivateNetwork ? {} : { lookup: publicLookup }),
    headers: {
      accept: "application/json",
      "accept-encoding": "identity",
      "user-agent": "nexus-cos",
      ...settings.headers,
      ...(sent && { "content-type": "application/json", "content-length": sent.length }),
      ...(secret === undefined ? {} : { [settings.auth.header]: settings.auth.prefix + secret }),
    },
  };
  const target = `${url.origin}${url.pathname.replace(/\/+$/, "")}${path}`;
  const request = (url.protocol === "https:" ? tlsRequest : plainRequest)(target, options);
  request.end(sent);
  return request;
}

function answerOf(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once("response", resolve);
    request.on("error", reject);
  });
}

async function firstBytes(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    // Leaving the loop ends the connection.
    if (size >= mostBytes) break;
  }
  return Buffer.concat(chunks).subarray(0, mostBytes).toString("utf8");
}

function stopwatch() {
  const startedAt = performance.now();
  const at: { resolved?: number; connected?: number; secured?: number; answered?: number } = {};
  const between = (from: number | undefined, to: number | undefined): number | null =>
    from === undefined || to === undefined ? null : Math.round((to - from) * 10) / 10;
  return {
    watch(request: ClientRequest, onReady: () => void): void {
      const isTls = request.protocol === "https:";
      request.on("socket", (socket: Socket) => {
        socket.once("lookup", () => (at.resolved = performance.now()));
        socket.once("connect", () => {
          at.connected = performance.now();
          if (!isTls) onReady();
        });
        socket.once("secureConnect", () => {
          at.secured = performance.now();
          onReady();
        });
      });
    },
    answered: () => void (at.answered = performance.now()),
    read: (): ProbeTimes => ({
      dns: between(startedAt, at.resolved),
      connect: between(at.resolved ?? startedAt, at.connected),
      tls: between(at.connected, at.secured),
      firstByte: between(at.secured ?? at.connected, at.answered),
      total: between(startedAt, performance.now()) ?? 0,
    }),
  };
}
