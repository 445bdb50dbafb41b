/** The configuration that every serving process has. */
import { type Config, type ConfigSchema, type Field, integer, oneOf, optional, port, text } from "@nexus/config";

/** `internalPortName` is the variable of the private port; absent, it is the published port + 10,000. */
export function serverFields<const Name extends string>(defaults: { port: number; internalPortName: Name }) {
  const own = {
    [defaults.internalPortName]: optional(
      port({ doc: "Private port, for other services and /metrics; by default the published one + 10,000." }),
    ),
  };
  return {
    ...fields,
    PORT: integer({ doc: "Published port; 0 takes a free one.", default: defaults.port, min: 0, max: 65_535 }),
    ...(own as Record<Name, Field<number | undefined>>),
  };
}

const fields = {
  NEXUS_BIND_HOST: text({ doc: "Address that the published port listens on.", default: "127.0.0.1" }),
  NEXUS_INTERNAL_BIND_HOST: text({ doc: "Address that the private port listens on.", default: "127.0.0.1" }),
  NEXUS_LOG_LEVEL: oneOf({ doc: "Least severe log line written.", default: "info", values: ["debug", "info", "warn", "error"] }),
  NEXUS_TRUSTED_PROXIES: text({ doc: "Addresses or ranges, separated by commas, whose X-Forwarded-For counts.", default: "" }),
  NEXUS_COMMIT: text({ doc: "Commit that the image was built from.", default: "unknown", maxLength: 64 }),
  NEXUS_STOP_SECONDS: integer({ doc: "How long running requests may take to finish on stop.", default: 10, min: 0, max: 300 }),
} satisfies ConfigSchema;

type CommonConfig = Config<typeof fields> & { readonly PORT: number };

export function listenAddressOf(config: CommonConfig, internalPort: number | undefined) {
  return {
    host: config.NEXUS_BIND_HOST,
    port: config.PORT,
    internalHost: config.NEXUS_INTERNAL_BIND_HOST,
    internalPort: internalPort ?? (config.PORT === 0 ? 0 : config.PORT + 10_000),
  };
}

export function trustedProxiesOf(config: Pick<CommonConfig, "NEXUS_TRUSTED_PROXIES">): string[] {
  return config.NEXUS_TRUSTED_PROXIES.split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");
}
