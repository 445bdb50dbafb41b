import { ConfigError, loadConfig } from "@nexus/config";
import { describe, expect, it } from "vitest";
import { listenAddressOf, serverFields, serverRules, trustedProxiesOf } from "./server-fields.ts";

const schema = serverFields({ port: 3041, internalPortName: "NEXUS_PV_KEYS_INTERNAL_PORT" });

function addressOf(env: Record<string, string>) {
  const config = loadConfig(schema, env);
  return listenAddressOf(config, config.NEXUS_PV_KEYS_INTERNAL_PORT);
}

describe("where a service listens", () => {
  it("is loopback on its own port, and 10,000 above for other services", () => {
    expect(addressOf({})).toEqual({ host: "127.0.0.1", port: 3041, internalHost: "127.0.0.1", internalPort: 13_041 });
  });

  it("follows PORT, and its own variable for the private port", () => {
    expect(addressOf({ PORT: "5000" })).toMatchObject({ port: 5000, internalPort: 15_000 });
    expect(addressOf({ PORT: "5000", NEXUS_PV_KEYS_INTERNAL_PORT: "6000" })).toMatchObject({ port: 5000, internalPort: 6000 });
  });

  it("takes free ports for PORT=0", () => {
    expect(addressOf({ PORT: "0" })).toMatchObject({ port: 0, internalPort: 0 });
  });

  it("faults between the ports are found", () => {
    const config = loadConfig(schema, { PORT: "60000" });
    expect(serverRules(config, undefined)).toHaveLength(1);
    expect(serverRules(config, 60_000)).toHaveLength(1);
    expect(serverRules(config, 60_001)).toEqual([]);
  });

  it.each(["PORT=-1", "PORT=70000", "PORT=80a", "NEXUS_LOG_LEVEL=loud", "NEXUS_COMMIT=<b>", "NEXUS_STOP_SECONDS=1e9"])(
    "%s is refused by name",
    (setting) => {
      const [name = "", value = ""] = setting.split("=");
      expect(() => loadConfig(schema, { [name]: value })).toThrow(new RegExp(`  ${name} `));
      expect(() => loadConfig(schema, { [name]: value })).toThrow(ConfigError);
    },
  );

  it("a wrong log level is told every right one", () => {
    expect(() => loadConfig(schema, { NEXUS_LOG_LEVEL: "loud" })).toThrow(
      /NEXUS_LOG_LEVEL must be one of trace, debug, info, warn, error, fatal, silent/,
    );
  });

  it("believes nobody's X-Forwarded-For unless told, and takes addresses and blocks only", () => {
    expect(trustedProxiesOf(loadConfig(schema, {}))).toEqual([]);
    const list = "10.0.0.0/8, 192.168.1.5, fd00::/8,::1";
    expect(trustedProxiesOf(loadConfig(schema, { NEXUS_TRUSTED_PROXIES: list }))).toHaveLength(4);
    for (const wrong of ["proxy.internal", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8/8", "10.0.0.1,,", "true"]) {
      expect(() => loadConfig(schema, { NEXUS_TRUSTED_PROXIES: wrong })).toThrow("NEXUS_TRUSTED_PROXIES");
    }
  });
});
