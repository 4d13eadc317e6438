/** Ids as people read them: what they name, a colon, and lower-case base32. Inside they are hexadecimal. */

import { type Hex, base32, fromBase32, fromHex, toHex } from "./bytes.js";

export type Named = "org" | "stmt" | "key" | "auth" | "mesh";

export function show(named: Named, id: Hex): string {
  return `${named}:${base32(fromHex(id))}`;
}

/** Enough of an id to tell it from others on one page. */
export function short(named: Named, id: Hex): string {
  return show(named, id).slice(0, named.length + 1 + 10);
}

/** Nothing where the text is no such id. */
export function readId(named: Named, text: string): Hex | undefined {
  if (!text.startsWith(`${named}:`)) return undefined;
  const bytes = fromBase32(text.slice(named.length + 1));
  return bytes?.length === 32 ? toHex(bytes) : undefined;
}
