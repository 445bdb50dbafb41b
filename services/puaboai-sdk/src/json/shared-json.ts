const texts = new WeakMap<object, string>();

/** The JSON of an object that never changes and that many rows share, such as a price: made once. */
export function sharedJson(value: object | null): string {
  if (value === null) return "null";
  let text = texts.get(value);
  if (text === undefined) texts.set(value, (text = JSON.stringify(value)));
  return text;
}

/** Adds members of which the JSON is at hand to the text of an object that has others. */
export function withMembers(object: string, members: string): string {
  return `${object.slice(0, -1)},${members}}`;
}
