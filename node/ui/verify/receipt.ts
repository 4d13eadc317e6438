/**
 * COSE receipts of inclusion (RFC 9942) for the structure `RFC9162_SHA256`. Their payload is detached: it is the root.
 * Size and position are not signed, so a checkpoint of the same root has to stand beside them.
 */

import { type Bytes, type Hex, concat, equal, fromHex } from "./bytes.js";
import { CborError, type Entries, type Value, byteString, first, int, map, parse, text } from "./cbor.js";
import type { Checkpoint } from "./checkpoint.js";
import { ALG_EDDSA, label, toBeSigned } from "./cose.js";
import { show } from "./ids.js";
import type { PublicKey } from "./key.js";
import { NOTE_BYTES_MAX, PROOF_HASHES_MAX } from "./limits.js";
import * as shape from "./shape.js";
import { leafHash, rootOfInclusion } from "./tree.js";

export class ReceiptError extends Error {
  constructor(what: string) {
    super(`not a receipt of inclusion: ${what}`);
  }
}

const ALG_ED25519 = -19n;
const ISSUER = 1n;
const DATA_STRUCTURE = 395n;
const PROOFS = 396n;
const RFC9162_SHA256 = 1n;

interface Receipt {
  protected: Bytes;
  issuer: string;
  size: bigint;
  position: bigint;
  path: Bytes[];
  signature: Bytes;
}

/** Checks the signature over a root that a head carries for all receipts under it. */
export function verifiesRoot(organisation: Hex, chainKey: PublicKey, root: Bytes, signature: Bytes): Promise<boolean> {
  const header = map(
    [int(1), int(ALG_EDDSA)],
    [int(4), byteString(fromHex(chainKey.id))],
    [int(15), map([int(ISSUER), text(show("org", organisation))])],
    [int(DATA_STRUCTURE), int(RFC9162_SHA256)],
  );
  return chainKey.verifies(signature, toBeSigned(header, root));
}

function parseReceipt(bytes: Bytes): Receipt {
  if (bytes.length > NOTE_BYTES_MAX) throw new CborError(`${bytes.length} bytes, more than the ${NOTE_BYTES_MAX} allowed here`);
  let at = 0;
  const expect = (byte: number, otherwise: string): void => {
    if (bytes[at++] !== byte) throw new ReceiptError(otherwise);
  };
  const item = (): Value => {
    const [value, length] = first(bytes.subarray(at));
    at += length;
    return value;
  };
  expect(0xd2, "tag 18 is missing");
  expect(0x84, "it is no array of four");
  const header = item();
  const unprotected = item();
  expect(0xf6, "the payload is not detached");
  const signature = item();
  if (header.type !== "bytes" || unprotected.type !== "map" || signature.type !== "bytes" || at !== bytes.length) {
    throw new ReceiptError("the items have other types");
  }
  if (signature.bytes.length !== 64) throw new ReceiptError("a signature has 64 bytes");
  const issuer = readProtected(header.bytes);
  return { protected: header.bytes, issuer, signature: signature.bytes, ...readProof(unprotected.entries) };
}

function readProtected(bytes: Bytes): string {
  const header = parse(bytes, bytes.length);
  if (header.type !== "map") throw new ReceiptError("the protected header is no map");
  const labels = new Map<bigint, Value>();
  for (const [name, value] of header.entries) {
    const found = label(name);
    if (typeof found !== "bigint" || ![1n, 4n, 15n, DATA_STRUCTURE].includes(found)) {
      throw new ReceiptError("a protected header is not known");
    }
    labels.set(found, value);
  }
  const number = (name: bigint): bigint | undefined => {
    const value = labels.get(name);
    return value?.type === "int" ? value.int : undefined;
  };
  const algorithm = number(1n);
  if (algorithm !== ALG_EDDSA && algorithm !== ALG_ED25519) throw new ReceiptError("the algorithm is not Ed25519");
  if (number(DATA_STRUCTURE) !== RFC9162_SHA256) throw new ReceiptError("the data structure is not RFC9162_SHA256");
  const claims = labels.get(15n);
  const found = claims?.type === "map" ? claims.entries.find(([name]) => label(name) === ISSUER) : undefined;
  if (found?.[1].type !== "text") throw new ReceiptError("it names no issuer, so it is bound to no log");
  return found[1].text;
}

/** The value of the only entry of a map, if that has this label. */
function only(value: Value | Entries | undefined, wanted: bigint): Value | undefined {
  const entries = Array.isArray(value) ? value : value?.type === "map" ? value.entries : [];
  return entries.length === 1 && entries[0] !== undefined && label(entries[0][0]) === wanted ? entries[0][1] : undefined;
}

function readProof(unprotected: Entries): { size: bigint; position: bigint; path: Bytes[] } {
  const proofs = only(only(unprotected, PROOFS), -1n);
  const proof = proofs?.type === "array" && proofs.items.length === 1 ? proofs.items[0] : undefined;
  if (proof?.type !== "bytes") throw new ReceiptError("it has not exactly one proof of inclusion");
  const value = parse(proof.bytes, NOTE_BYTES_MAX);
  const [size, position, hashes, ...more] = value.type === "array" ? value.items : [];
  if (size === undefined || position === undefined || hashes === undefined || more.length > 0) {
    throw new ReceiptError("its proof is no array of three");
  }
  const path = shape.list(shape.byteString(32))(hashes, "path");
  if (path.length > PROOF_HASHES_MAX) throw new ReceiptError("its proof is too long");
  return { size: shape.u64(size, "tree size"), position: shape.u64(position, "position"), path };
}

/** Checks a receipt of the organisation for a statement's digest, and that the checkpoint beside it is of its tree. */
export async function checkReceipt(
  bytes: Bytes,
  organisation: Hex,
  chainKey: PublicKey,
  digest: Bytes,
  checkpoint: Checkpoint,
): Promise<void> {
  const receipt = parseReceipt(concat(bytes));
  const expected = show("org", organisation);
  if (receipt.issuer !== expected) throw new Error(`it was issued by ${receipt.issuer.slice(0, 80)}, not by ${expected}`);
  const root = await rootOfInclusion(await leafHash(digest), receipt.position, receipt.size, receipt.path);
  if (!(await chainKey.verifies(receipt.signature, toBeSigned(receipt.protected, root)))) {
    throw new Error("the signature over the root that the path leads to does not verify");
  }
  if (!equal(root, checkpoint.root) || receipt.size !== checkpoint.size) {
    throw new Error("the checkpoint beside the receipt has another size or root");
  }
}
