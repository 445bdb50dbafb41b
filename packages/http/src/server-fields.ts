/** Where a service listens and what it says of itself. */
import { BlockList, isIP } from "node:net";
import { type Field, integer, oneOf, optional, text } from "@nexus/config";
import { logLevels } from "@nexus/telemetry";
import type { ListenAddress } from "./server-options.ts";

// A type, not an interface: a schema is a record, and interfaces are open.
type CommonFields = {
  PORT: Field<number>;
  NEXUS_BIND_HOST: Field<string>;
  NEXUS_INTERNAL_BIND_HOST: Field<string>;
  NEXUS_LOG_LEVEL: Field<(typeof logLevels)[number]>;
  NEXUS_TRUSTED_PROXIES: Field<readonly string[]>;
  NEXUS_COMMIT: Field<string>;
  NEXUS_STOP_SECONDS: Field<number>;
};

/** What the private port is when nothing names it: the published one + 10,000. */
const internalOffset = 10_000;

/** The fields every service has; `internalPortName` is its own variable for the private port. */
export function serverFields<const N extends string>(defaults: {
  port: number;
  internalPortName: N;
}): CommonFields & Record<N, Field<number | undefined>> {
  const common: CommonFields = {
    PORT: integer({ doc: "Published port; 0 takes a free one.", default: defaults.port, min: 0, max: 65_535 }),
    NEXUS_BIND_HOST: text({ doc: "Address that the published port listens on.", default: "127.0.0.1", maxLength: 255 }),
    NEXUS_INTERNAL_BIND_HOST: text({
      doc: "Address that the private port listens on; never a public one.",
      default: "127.0.0.1",
      maxLength: 255,
    }),
    NEXUS_LOG_LEVEL: oneOf({ doc: "Least severe log line written.", values: logLevels, default: "info" }),
    NEXUS_TRUSTED_PROXIES: trustedProxies,
    NEXUS_COMMIT: text({ doc: "Commit that the image was built from.", default: "unknown", pattern: /^[\w.+-]{1,64}$/ }),
    NEXUS_STOP_SECONDS: integer({ doc: "How long running requests may take to finish on stop.", default: 10, min: 0, max: 300 }),
  };
  const internal = optional(
    integer({
      doc: "Private port, for other services and /metrics; by default the published one + 10,000.",
      min: 0,
      max: 65_535,
    }),
  );
  return { ...common, [defaults.internalPortName]: internal } as CommonFields & Record<N, Field<number | undefined>>;
}

const trustedProxies: Field<readonly string[]> = {
  doc: "Addresses or ranges, separated by commas, whose X-Forwarded-For counts.",
  fallback: { value: [], shown: "none" },
  secret: false,
  parse: (list) => {
    const entries = list.split(",").map((entry) => entry.trim());
    for (const entry of entries) if (!isAddressBlock(entry)) throw new Error(`holds ${entry}, which is no address or CIDR block`);
    return entries;
  },
};

function isAddressBlock(entry: string): boolean {
  const [address = "", length, ...rest] = entry.split("/");
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return false;
  if (length === undefined) return true;
  try {
    new BlockList().addSubnet(address, Number(length), family === 6 ? "ipv6" : "ipv4");
    return /^\d{1,3}$/.test(length);
  } catch {
    return false;
  }
}

interface ListenConfig {
  readonly PORT: number;
  readonly NEXUS_BIND_HOST: string;
  readonly NEXUS_INTERNAL_BIND_HOST: string;
}

/** Faults between fields: for the `rules` of `loadConfig`. */
export function serverRules(config: ListenConfig, internalPort: number | undefined): string[] {
  if (internalPort === undefined && config.PORT + internalOffset > 65_535) {
    return [`PORT ${config.PORT} leaves no room for a private port above it; name the private port`];
  }
  if (internalPort !== undefined && internalPort !== 0 && internalPort === config.PORT)
    return [`PORT ${config.PORT} is also the private port`];
  return [];
}

/** Where to listen. A free published port (0) without a named private one takes a free private one too. */
export function listenAddressOf(config: ListenConfig, internalPort: number | undefined): ListenAddress {
  return {
    host: config.NEXUS_BIND_HOST,
    port: config.PORT,
    internalHost: config.NEXUS_INTERNAL_BIND_HOST,
    internalPort: internalPort ?? (config.PORT === 0 ? 0 : config.PORT + internalOffset),
  };
}

export function trustedProxiesOf(config: { readonly NEXUS_TRUSTED_PROXIES: readonly string[] }): readonly string[] {
  return config.NEXUS_TRUSTED_PROXIES;
}
