/** Digests: BLAKE3 names what is the project's own; SHA-256 is what the public log formats use. */

import { blake3 as blake3Of } from "@noble/hashes/blake3.js";

import { type Bytes, type Hex, concat, toHex, utf8 } from "./bytes.js";

export function blake3(bytes: Uint8Array): Bytes {
  return blake3Of(bytes) as Bytes;
}

/** The id of a statement: the digest of its bytes. */
export function idOf(bytes: Uint8Array): Hex {
  return toHex(blake3(bytes));
}

/** BLAKE3 in the mode that derives keys: digests of different contexts never meet. */
export function blake3In(context: string, ...parts: Uint8Array[]): Bytes {
  return blake3Of(concat(...parts), { context: utf8(context) }) as Bytes;
}

export async function sha256(...parts: Uint8Array[]): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", concat(...parts)));
}
