/** Refuses imports that the drawing in ARCHITECTURE.md does not allow, or that are not declared where they must be. */
import { readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { basename, dirname, join, normalize, resolve } from "node:path";
import {
  isTest,
  listFiles,
  type Manifest,
  readJson,
  readReferences,
  readWorkspaces,
  type Workspace,
} from "./boundaries/read-workspaces.ts";
import { type Place, places } from "./boundaries/rows.ts";
import { type ModuleUse, scanSource } from "./boundaries/scan-source.ts";

/** The list, and its test beside it. */
const publishedValues = "packages/core/src/published-values";
const processImports = new Set(["process", "node:process"]);

export interface BoundaryReport {
  readonly faults: string[];
  readonly files: number;
}

/** @param root the folder of the root package.json */
export function checkBoundaries(root: string): BoundaryReport {
  const workspaces = readWorkspaces(root);
  const byName = new Map(workspaces.map((workspace) => [workspace.name, workspace]));
  const shared = new Set(Object.keys((readJson(join(root, "package.json")) as Manifest).devDependencies ?? {}));
  const files = workspaces.reduce((sum, { files: own }) => sum + own.length, 0);
  const faults = workspaces.flatMap((workspace) => {
    const place = places.get(workspace.folder);
    if (!place) return [`${workspace.folder}: has no place in tools/boundaries/rows.ts`];
    if (workspace.files.length === 0) return [`${workspace.folder}: holds no source file`];
    return [
      ...declarationFaults(workspace, byName),
      ...workspace.files.flatMap((file) => fileFaults({ root, file, workspace, place, byName, shared })),
    ];
  });
  if (files === 0) faults.push(`${root}: no source file was found, so nothing was checked`);
  return { faults: [...faults, ...rootReferenceFaults(root, workspaces), ...publishedValueFaults(root)], files };
}

/** package.json and tsconfig references are two statements of one fact. */
function declarationFaults(workspace: Workspace, byName: ReadonlyMap<string, Workspace>): string[] {
  const folders = (names: Iterable<string>): Set<string> => new Set([...names].flatMap((name) => byName.get(name)?.folder ?? []));
  const product = folders(workspace.dependencies);
  const all = new Set([...product, ...folders(workspace.devDependencies)]);
  const compare = (tsconfig: string, references: ReadonlySet<string>, dependencies: ReadonlySet<string>): string[] => [
    ...[...references]
      .filter((to) => !dependencies.has(to))
      .map((to) => `${tsconfig}: references ${to}, which package.json does not declare`),
    ...[...dependencies]
      .filter((to) => !references.has(to))
      .map((to) => `${tsconfig}: does not reference ${to}, which package.json declares`),
  ];
  const { folder, references, testReferences } = workspace;
  return [
    ...compare(`${folder}/tsconfig.json`, references, testReferences ? product : all),
    ...(testReferences ? compare(`${folder}/tsconfig.test.json`, testReferences, all) : []),
  ];
}

/** A project that the root does not reference is never compiled. */
function rootReferenceFaults(root: string, workspaces: readonly Workspace[]): string[] {
  const referenced = new Set(readReferences(root, "tsconfig.json"));
  return workspaces.flatMap(({ folder, testReferences }) =>
    [folder, ...(testReferences ? [join(folder, "tsconfig.test.json")] : [])]
      .filter((project) => !referenced.has(project))
      .map((project) => `tsconfig.json: does not reference ${project}, so nobody compiles it`),
  );
}

interface FileContext {
  readonly root: string;
  readonly file: string;
  readonly workspace: Workspace;
  readonly place: Place;
  readonly byName: ReadonlyMap<string, Workspace>;
  /** What the root package.json offers to every test. */
  readonly shared: ReadonlySet<string>;
}

function fileFaults(context: FileContext): string[] {
  const { file, root, workspace } = context;
  const facts = scanSource(readFileSync(join(root, file), "utf8"));
  const mayTouchProcess =
    basename(file) === "main.ts" || processOwners.has(file) || isTestCode(workspace, file) || workspace.folder === "bench";
  const processLines = mayTouchProcess
    ? []
    : [...facts.processLines, ...facts.modules.filter(({ specifier }) => processImports.has(specifier)).map(({ line }) => line)];
  return [
    ...processLines.map((line) => `${file}:${line}: only main.ts touches process`),
    ...facts.modules.flatMap((use) => moduleFaults(context, use).map((fault) => `${file}:${use.line}: ${fault}`)),
  ];
}

/** Files whose subject is other programs: pids, signals, user ids. */
const processOwners: ReadonlySet<string> = new Set(["packages/processes/src/processes.ts"]);

const isTestCode = (workspace: Workspace, file: string): boolean =>
  isTest(file) || workspace.folder === "tests" || workspace.folder === "packages/testing";

function moduleFaults(context: FileContext, use: ModuleUse): string[] {
  const { specifier } = use;
  if (specifier.startsWith(".")) return relativeFaults(context, specifier);
  if (specifier.startsWith("node:")) return [];
  if (builtinModules.includes(specifier)) return [`import "node:${specifier}" instead of "${specifier}"`];
  const name = specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
  const target = context.byName.get(name);
  return target ? workspaceFaults(context, target) : thirdPartyFaults(context, name, use.typeOnly);
}

function relativeFaults({ file, workspace }: FileContext, specifier: string): string[] {
  const target = normalize(join(dirname(file), specifier));
  if (!target.startsWith(`${workspace.folder}/`))
    return [`${specifier} leaves ${workspace.folder}; import the package by its name`];
  // `src/` itself is where a service is put together, and belongs to no feature.
  const feature = (path: string): string | undefined =>
    dirname(path)
      .slice(workspace.folder.length + 1)
      .split("/")[1];
  const from = feature(file);
  if (!specifier.endsWith(".store.ts") || isTest(file) || from === undefined || from === feature(target)) return [];
  return [`${specifier} is the store of another feature; reach it through that feature's use cases`];
}

function workspaceFaults({ file, workspace, place }: FileContext, target: Workspace): string[] {
  if (target === workspace) return [`imports its own package; use a relative path`];
  const test = isTest(file);
  const faults: string[] = [];
  if (![...place.mayImport, ...(test ? place.testsMayImport : [])].includes(target.folder)) {
    faults.push(`${workspace.folder} may not import ${target.folder}`);
  }
  if (!workspace.dependencies.has(target.name) && !(test && workspace.devDependencies.has(target.name))) {
    faults.push(`${target.name} is not declared in ${workspace.folder}/package.json`);
  }
  const references = test ? (workspace.testReferences ?? workspace.references) : workspace.references;
  if (!references.has(target.folder)) faults.push(`${target.folder} is not in the references of the tsconfig`);
  return faults;
}

function thirdPartyFaults({ file, workspace, shared }: FileContext, name: string, typeOnly: boolean): string[] {
  if (workspace.dependencies.has(name)) return [];
  if ((isTestCode(workspace, file) || typeOnly) && (workspace.devDependencies.has(name) || shared.has(name))) return [];
  return [`${name} is not declared in ${workspace.folder}/package.json`];
}

/** Values that were printed as somebody's password stay out of every file but the list that refuses them. */
function publishedValueFaults(root: string): string[] {
  const text = readFileSync(join(root, `${publishedValues}.ts`), "utf8");
  // Short ones ("admin", "secret") are ordinary words.
  const values = [...text.matchAll(/^ {2}"([^"]{12,})",$/gm)].flatMap((match) => match[1] ?? []);
  if (values.length === 0) return [`${publishedValues}.ts: no published value was found, so nothing was checked`];
  return listFiles(root, ".")
    .filter((file) => !file.startsWith(`${publishedValues}.`) && !ignored.test(file))
    .flatMap((file) => {
      const content = readFileSync(join(root, file), "latin1");
      return values
        .filter((value) => content.includes(value))
        .map((value) => `${file}: holds the published value ${value.slice(0, 4)}…`);
    });
}

/** Files that git ignores. */
const ignored = /^(?:secrets\/|\.env\.pf$)|\.log$|\.tgz$/;

if (import.meta.main) {
  const { faults, files } = checkBoundaries(resolve(process.argv[2] ?? "."));
  for (const fault of faults) console.error(fault);
  console.log(`${files} files, ${faults.length} faults`);
  if (faults.length > 0) process.exitCode = 1;
}
