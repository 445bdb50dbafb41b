/**
 * Who may import whom: the drawing of ARCHITECTURE.md as data. A test holds the two together.
 * A package imports only rows below its own, and the peers named here.
 */
export interface Place {
  /** Folders, relative to the root, that product code of this folder may import. */
  readonly mayImport: readonly string[];
  /** Further folders that its tests may import. */
  readonly testsMayImport: readonly string[];
}

const rows: readonly (readonly string[])[] = [
  ["core", "contracts"],
  ["config", "processes", "db", "redis", "telemetry"],
  ["http", "audit", "change-feed", "limits", "testing"],
  ["key-check"],
];

/** Exceptions to "only rows below": within row 1 contracts builds on core, within row 2 everything may read configuration, and what runs servers may look at processes. */
const peers: Readonly<Record<string, readonly string[]>> = {
  contracts: ["core"],
  db: ["config", "processes"],
  redis: ["config", "processes"],
  telemetry: ["config"],
};

/** Imported by tests alone: it starts databases and fakes. */
const testsOnly = "packages/testing";
const folder = (name: string): string => `packages/${name}`;
const allPackages = rows.flat().map(folder);
const productPackages = allPackages.filter((name) => name !== testsOnly);
const services = ["services/puabo-api", "services/puaboai-sdk", "services/pv-keys"];

function packagePlaces(): [string, Place][] {
  return rows.flatMap((row, index) =>
    row.map((name): [string, Place] => {
      const below = rows.slice(0, index).flat();
      const mayImport = [...below, ...(peers[name] ?? [])].map(folder).filter((other) => other !== testsOnly);
      return [folder(name), { mayImport, testsMayImport: [testsOnly] }];
    }),
  );
}

/** Every folder that may hold code. One that is missing here is refused. */
export const places: ReadonlyMap<string, Place> = new Map<string, Place>([
  ...packagePlaces(),
  ...services.map((name): [string, Place] => [name, { mayImport: productPackages, testsMayImport: [testsOnly] }]),
  ["services/db-admin", { mayImport: productPackages, testsMayImport: [testsOnly] }],
  ["services/all-in-one", { mayImport: [...productPackages, ...services], testsMayImport: [testsOnly] }],
  ["apps/cli", { mayImport: ["packages/core", "packages/contracts"], testsMayImport: [testsOnly] }],
  ["tests", { mayImport: [...allPackages, ...services, "services/all-in-one"], testsMayImport: [] }],
  ["bench", { mayImport: [...allPackages, ...services, "services/all-in-one"], testsMayImport: [] }],
]);
