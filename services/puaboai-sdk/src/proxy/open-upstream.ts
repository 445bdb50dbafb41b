import { isIP } from "node:net";
import { assert, type Clock, systemClock } from "@nexus/core";
import { type Dispatcher, Pool } from "undici";
import type { ProviderDeadlines, ProviderSettings } from "../settings/provider-settings.ts";
import { openBreaker } from "./breaker.ts";
import { deadlines } from "./deadlines.ts";
import { isPrivateAddress } from "./private-address.ts";
import { type HealthWatch, type ProviderHealth, watchHealth } from "./provider-health.ts";
import { publicLookup } from "./public-lookup.ts";
import { failureOf, notAsked, UpstreamFailure } from "./upstream-failure.ts";

/** Hears what comes back, in this order: head once, pieces, then end or failure once. Nothing after `abort`. */
interface UpstreamReceiver {
  onHead(status: number, headers: UpstreamHeaders): void;
  /** False asks for a pause until `resume`. */
  onData(chunk: Buffer): boolean;
  onEnd(): void;
  onFailure(failure: UpstreamFailure): void;
}

export type UpstreamHeaders = Record<string, string | string[] | undefined>;

interface UpstreamCall {
  /** Closes the connection to the provider at once. */
  abort(): void;
  resume(): void;
}

interface UpstreamRequest {
  /** Below the base URL. */
  path: string;
  body: Buffer;
  requestId: string;
  /** Further ones, in lower case. */
  headers?: Readonly<Record<string, string>> | undefined;
}

/** One provider, with its connections. */
export interface Upstream {
  readonly settings: ProviderSettings;
  /** It failed several times in a row and is left alone for a while. */
  readonly isOpen: () => boolean;
  /** As its last calls showed it. */
  readonly health: () => ProviderHealth;
  /** @throws Problem `unavailable` when too many calls are under way, or the provider's secret is not there yet */
  post(request: UpstreamRequest, receiver: UpstreamReceiver): UpstreamCall;
  close(): Promise<void>;
}

/** The secret that the provider wants, as it is now; `undefined` while it is not there. */
export type Credential = () => string | undefined;

/** @param credential absent: the provider wants none */
export function openUpstream(
  settings: ProviderSettings,
  credential: Credential | undefined,
  clock: Clock = systemClock,
): Upstream {
  const url = new URL(settings.baseUrl);
  const basePath = url.pathname.replace(/\/+$/, "");
  const pool = openPool(url, settings);
  // The order of the list is the order on the wire; the client's own headers are not in it.
  const fixed = Object.entries({
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    "accept-encoding": "identity",
    "user-agent": "nexus-cos",
    ...settings.headers,
  });
  const usual = fixed.filter(([name]) => !credential || name !== settings.auth.header);
  const headers = usual.flat();
  let active = 0;
  const breaker = openBreaker(settings.name, settings.breaker, clock);
  const watch = watchHealth(() => clock.monotonic());
  return {
    settings,
    isOpen: () => breaker.state() === "open",
    health: () => watch.read(breaker.state()),
    post({ path, body, requestId, headers: more }, receiver) {
      if (active >= settings.maxConcurrent) {
        throw notAsked("too_many_calls", "too many calls to this provider", 1);
      }
      const shown = credential ? secretHeader(settings, credential()) : [];
      // What the client says of itself goes before what the configuration says of every call.
      const sent = [...(more ? usual.filter(([name]) => !(name in more)).flat() : headers), ...shown, "x-request-id", requestId];
      for (const name in more) sent.push(name, more[name] ?? "");
      const verdict = breaker.enter();
      active++;
      const options = { method: "POST" as const, path: basePath + path, headers: sent, body };
      return dispatch(pool, options, {
        receiver: judging(receiver, verdict, watch),
        deadlines: settings.deadlines,
        done: () => {
          active--;
          verdict.ended();
        },
      });
    },
    close: () => pool.destroy(),
  };
}

function openPool({ origin, hostname }: URL, { allowsPrivateNetwork, maxConcurrent, deadlines: limits }: ProviderSettings): Pool {
  // A literal address is never looked up, so that it is stopped here.
  const isLiteral = isIP(hostname.replaceAll(/[[\]]/g, "")) !== 0;
  assert(allowsPrivateNetwork || !isLiteral || !isPrivateAddress(hostname), "an inside address was let through unasked");
  return new Pool(origin, {
    connections: maxConcurrent,
    pipelining: 1,
    allowH2: false,
    // Our own deadlines are exact and know a paused stream from a silent one.
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: 30_000,
    connect: { timeout: limits.connectMs, ...(allowsPrivateNetwork ? {} : { lookup: publicLookup }) },
  });
}

function secretHeader({ auth, name }: ProviderSettings, secret: string | undefined): string[] {
  if (secret !== undefined) return [auth.header, auth.prefix + secret];
  throw notAsked("no_secret", `the secret of the provider ${name} is not there yet`, 2);
}

/** Tells breaker and health what a provider's answer says of it. */
function judging(
  receiver: UpstreamReceiver,
  verdict: { succeeded(): void; failed(): void },
  watch: HealthWatch,
): UpstreamReceiver {
  return {
    onHead: (status, headers) => {
      watch.answered(status);
      if (status < 500) verdict.succeeded();
      else verdict.failed();
      receiver.onHead(status, headers);
    },
    onData: (chunk) => receiver.onData(chunk),
    onEnd: () => receiver.onEnd(),
    onFailure: (failure) => {
      verdict.failed();
      watch.failed(failure);
      receiver.onFailure(failure);
    },
  };
}

const passed = { "first byte": "first_byte_timeout", idle: "idle_timeout", total: "total_timeout" } as const;

interface Exchange {
  receiver: UpstreamReceiver;
  deadlines: ProviderDeadlines;
  done(): void;
}

function dispatch(pool: Pool, options: Dispatcher.DispatchOptions, exchange: Exchange): UpstreamCall {
  const { receiver } = exchange;
  let controller: Dispatcher.DispatchController | undefined;
  let over = false;
  const clock = deadlines(exchange.deadlines, (which) => {
    stop(new UpstreamFailure(passed[which], controller !== undefined, { message: `the ${which} deadline passed` }));
  });

  function finish(): boolean {
    if (over) return false;
    over = true;
    clock.stop();
    exchange.done();
    return true;
  }

  function stop(failure: UpstreamFailure | undefined): void {
    if (!finish()) return;
    controller?.abort(failure ?? new Error("the client went away"));
    if (failure) receiver.onFailure(failure);
  }

  pool.dispatch(options, {
    onRequestStart(started) {
      controller = started;
      // Given up while it waited for a connection.
      if (over) started.abort(new Error("the client went away"));
    },
    onResponseStart(_controller, status, headers) {
      if (over || status < 200) return;
      clock.firstByte();
      receiver.onHead(status, headers);
    },
    onResponseData(_controller, chunk) {
      if (over) return;
      clock.progress();
      if (receiver.onData(chunk) || over) return;
      clock.pause();
      controller?.pause();
    },
    onResponseEnd() {
      if (finish()) receiver.onEnd();
    },
    onResponseError(_controller, error) {
      if (finish()) receiver.onFailure(failureOf(error, controller !== undefined));
    },
  });
  return {
    abort: () => stop(undefined),
    resume: () => {
      if (over) return;
      clock.progress();
      controller?.resume();
    },
  };
}
