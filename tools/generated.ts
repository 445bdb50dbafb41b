/** Files that are written by a program. `npm run build` writes them; `npm run check` runs the same program with `--check`. */
export const generated: readonly { readonly name: string; readonly script: string }[] = [
  { name: "env-example", script: "tools/write-env-example.ts" },
  { name: "openapi", script: "tools/write-openapi.ts" },
  { name: "schema", script: "tools/write-schema.ts" },
  { name: "config-table", script: "tools/write-config-table.ts" },
];
