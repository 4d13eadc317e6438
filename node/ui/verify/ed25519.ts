/**
 * Ed25519 as this format accepts it: RFC 8032 without the cofactor; keys and signature points of small order, and
 * encodings of `R` and `S` other than the canonical one, are refused.
 *
 * WebCrypto checks the equation. What engines leave open, or answer differently, is checked here first: whether the
 * key is a point of the curve at all, and the orders and encodings named above.
 */

import type { Bytes } from "./bytes.js";

/** The field's prime. */
const P = 2n ** 255n - 19n;
/** The order of the base point. */
const L = 2n ** 252n + 27742317777372353535851937790883648493n;
/** The curve's constant: -121665 / 121666. */
const D = 37095705934669439343138083508754565189542113879843219016388785533085940283555n;
/** The second coordinate of the points of order eight, up to its sign. */
const Y_OF_ORDER_EIGHT = 2707385501144840649318225287225658788936804267575313519463743609750303402022n;
/** The second coordinates of all eight points whose order divides the cofactor. */
const SMALL = new Set([0n, 1n, P - 1n, Y_OF_ORDER_EIGHT, P - Y_OF_ORDER_EIGHT]);

function littleEndian(bytes: Bytes): bigint {
  return bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

/** The second coordinate of an encoded point: the sign of the first stands in the highest bit. */
function second(point: Bytes): bigint {
  return littleEndian(point) & ((1n << 255n) - 1n);
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  let square = base % P;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * square) % P;
    square = (square * square) % P;
  }
  return result;
}

/** Whether 32 bytes are a point of the curve that can be a public key. */
export function isUsableKey(key: Bytes): boolean {
  const y = second(key) % P;
  if (SMALL.has(y)) return false;
  // The first coordinate's square is u / v, which has a root exactly if u * v has one (Euler's criterion).
  const u = y * y - 1n;
  const v = D * y * y + 1n;
  return power((u * v) % P, (P - 1n) / 2n) === 1n;
}

function isCanonical(signature: Bytes): boolean {
  const y = second(signature.subarray(0, 32));
  return y < P && !SMALL.has(y) && littleEndian(signature.subarray(32)) < L;
}

const imported = new WeakMap<Bytes, Promise<CryptoKey>>();

/** The engine's form of a key, which is made once for each array of bytes. */
function engineKey(key: Bytes): Promise<CryptoKey> {
  const known = imported.get(key);
  if (known !== undefined) return known;
  const made = crypto.subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
  imported.set(key, made);
  return made;
}

/** Whether `signature` is one that `key` made over `message`. The key is a usable one. */
export async function verifies(key: Bytes, signature: Bytes, message: Bytes): Promise<boolean> {
  if (signature.length !== 64 || !isCanonical(signature)) return false;
  return crypto.subtle.verify({ name: "Ed25519" }, await engineKey(key), signature, message);
}
