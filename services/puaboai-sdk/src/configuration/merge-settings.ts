import type { GatewaySettings, ReadTools } from "../settings/gateway-settings.ts";
import { type Entry, entryKinds, type SetAside } from "./entry.ts";
import { readEntry } from "./read-entry.ts";

export interface MergedSettings {
  settings: GatewaySettings;
  /** Entries that do not count, because the file has one of that name or because they lack what they name. */
  setAside: SetAside[];
}

/**
 * The file and what was set by API, as one. The same file and the same entries always make the same, whoever came first: the file
 * stands, and an entry that does not fit it is set aside alone.
 */
export function mergeSettings(file: GatewaySettings, entries: readonly Entry[], tools: ReadTools): MergedSettings {
  const settings: GatewaySettings = {
    ...file,
    providers: [...file.providers],
    models: [...file.models],
    routes: [...file.routes],
  };
  const setAside: SetAside[] = [];
  // A model needs its provider, a route its models.
  for (const kind of entryKinds) {
    for (const entry of entries.filter((one) => one.kind === kind)) {
      const read = readEntry(entry, settings, tools);
      if ("faults" in read) {
        setAside.push({ kind, name: entry.name, faults: read.faults });
        continue;
      }
      if (read.provider) settings.providers.push(read.provider);
      if (read.model) settings.models.push(read.model);
      if (read.route) settings.routes.push(read.route);
    }
  }
  return { settings, setAside };
}
