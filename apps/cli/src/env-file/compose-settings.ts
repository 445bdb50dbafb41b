import { envFields } from "./env-fields.ts";

/** What compose may put into its file: settings with their defaults. Secrets reach containers as files alone. */
export function settingsForCompose(values: ReadonlyMap<string, string>): Record<string, string> {
  const settings = envFields.filter((field) => field.kind === "setting");
  return Object.fromEntries(settings.map((field) => [field.name, values.get(field.name) || field.default]));
}
