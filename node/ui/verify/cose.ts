/** COSE_Sign1 (RFC 9052, section 4.2): tagged, Ed25519, unprotected header empty, payload attached. */

import { type Bytes, concat } from "./bytes.js";
import { type Value, byteString, first, head, text } from "./cbor.js";

export const ALG_EDDSA = -8n;

const TAG_18 = 0xd2;
const ARRAY_OF_FOUR = 0x84;
const EMPTY_MAP = 0xa0;
/** No part of a message that is read here is longer: its length has at most three bytes. */
const PART_BYTES_END = 1 << 24;

export interface Sign1 {
  protected: Bytes;
  payload: Bytes;
  signature: Bytes;
}

export class CoseError extends Error {
  constructor(what: string) {
    super(`not a tagged COSE_Sign1 with an empty unprotected header: ${what}`);
  }
}

export function parseSign1(bytes: Bytes): Sign1 {
  let at = 0;
  const expect = (byte: number, otherwise: string): void => {
    if (bytes[at++] !== byte) throw new CoseError(otherwise);
  };
  const part = (otherwise: string): Bytes => {
    let found: [Value, number];
    try {
      found = first(bytes.subarray(at));
    } catch {
      throw new CoseError(otherwise);
    }
    const [value, length] = found;
    if (value.type !== "bytes" || value.bytes.length >= PART_BYTES_END) throw new CoseError(otherwise);
    at += length;
    return value.bytes;
  };
  expect(TAG_18, "tag 18 is missing");
  expect(ARRAY_OF_FOUR, "it is not an array of four");
  const header = part("the protected header is no byte string");
  expect(EMPTY_MAP, "the unprotected header is not empty");
  const payload = part("the payload is no byte string");
  const signature = part("the signature is no byte string");
  if (at !== bytes.length) throw new CoseError("bytes follow the signature");
  if (signature.length !== 64) throw new CoseError("an Ed25519 signature has 64 bytes");
  return { protected: header, payload, signature };
}

/** What the signature is made over (RFC 9052, section 4.4), without external data. */
export function toBeSigned(header: Uint8Array, payload: Uint8Array): Bytes {
  return concat(head(4, 4), text("Signature1"), byteString(header), byteString(new Uint8Array()), byteString(payload));
}

/** A header's label: a number of 64 bits, or a text. */
export function label(value: Value): bigint | string | undefined {
  if (value.type === "text") return value.text;
  if (value.type === "int" && value.int >= -(1n << 63n) && value.int < 1n << 63n) return value.int;
  return undefined;
}
