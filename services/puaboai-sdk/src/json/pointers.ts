/** JSON Pointers (RFC 6901), and the same places as people write them: `messages.0.role`, `models[0].kind`. */

/** `/messages/0/role` → `messages.0.role`; empty for the whole. */
export function dotted(pointer: string): string {
  return pointer.slice(1).replaceAll("/", ".");
}

/** `models[0].kind` → `/models/0/kind`; empty for the whole. A path may begin with its dot. */
export function pointerOf(path: string): string {
  const pointer = path.replaceAll(/\[(\d+)\]/g, "/$1").replaceAll(".", "/");
  return pointer === "" || pointer.startsWith("/") ? pointer : `/${pointer}`;
}
