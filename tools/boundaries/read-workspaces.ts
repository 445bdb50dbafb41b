import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";

/** One folder of code as its package.json and its TypeScript projects describe it. */
export interface Workspace {
  /** Relative to the root, such as `packages/core`. */
  readonly folder: string;
  readonly name: string;
  readonly dependencies: ReadonlySet<string>;
  readonly devDependencies: ReadonlySet<string>;
  /** Folders referenced by tsconfig.json. */
  readonly references: ReadonlySet<string>;
  /** Folders referenced by tsconfig.test.json, without its own; `undefined` where there is no such project. */
  readonly testReferences: ReadonlySet<string> | undefined;
  /** Source files, relative to the root. */
  readonly files: readonly string[];
}

/** The members of a package.json that matter here. */
export interface Manifest {
  name?: string;
  workspaces?: string[];
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

const skipped = new Set(["node_modules", ".git", ".tsbuild", ".nexus", "dist", "coverage"]);

/** Every file below `folder`, relative to the root, without what is built or installed. */
export function listFiles(root: string, folder: string): string[] {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (skipped.has(entry.name)) return [];
    return entry.isDirectory() ? listFiles(root, path) : entry.isFile() ? [path] : [];
  });
}

export const isTest = (file: string): boolean => file.endsWith(".test.ts");

/** Folders of the projects that a tsconfig references, relative to the root. A reference to a file counts as its folder. */
export function readReferences(root: string, tsconfig: string): string[] {
  const { references = [] } = readJson(join(root, tsconfig)) as { references?: { path: string }[] };
  return references.map(({ path }) => normalize(join(dirname(tsconfig), path)));
}

export function readWorkspaces(root: string): Workspace[] {
  const { workspaces: patterns = [] } = readJson(join(root, "package.json")) as Manifest;
  return patterns
    .flatMap((pattern) => globSync(`${pattern}/package.json`, { cwd: root }))
    .map((manifest) => dirname(manifest))
    .filter((folder) => existsSync(join(root, folder, "tsconfig.json")))
    .toSorted()
    .map((folder) => readWorkspace(root, folder));
}

function readWorkspace(root: string, folder: string): Workspace {
  const manifest = readJson(join(root, folder, "package.json")) as Manifest;
  const testProject = join(folder, "tsconfig.test.json");
  return {
    folder,
    name: manifest.name ?? folder,
    dependencies: new Set(Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies })),
    devDependencies: new Set(Object.keys(manifest.devDependencies ?? {})),
    references: new Set(readReferences(root, join(folder, "tsconfig.json"))),
    testReferences: existsSync(join(root, testProject))
      ? new Set(readReferences(root, testProject).filter((path) => dirname(path) !== folder))
      : undefined,
    files: listFiles(root, folder).filter((file) => /\.tsx?$/.test(file) && relative(folder, file).startsWith("src")),
  };
}

export function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, "utf8"));
}
