/** Heads: what an organisation signs its chain to be, one after the other. */

import { type Bytes, type Hex, fromHex, toHex } from "./bytes.js";
import { type Value, parse } from "./cbor.js";
import { type Checkpoint, openCheckpoint, parseCheckpoint } from "./checkpoint.js";
import { ALG_EDDSA, type Sign1, label, parseSign1, toBeSigned } from "./cose.js";
import { idOf } from "./digest.js";
import { readId } from "./ids.js";
import type { PublicKey } from "./key.js";
import { HEAD_BYTES_MAX } from "./limits.js";
import { parseNote } from "./note.js";
import { verifiesRoot } from "./receipt.js";
import { type Content, byteString, bytes, document, id, optional, record, required, u64 } from "./shape.js";

const CONTENT_TYPE = "application/vnd.counterfoil.head+cbor";

const bodyFields = {
  checkpoint: required(bytes),
  receipt: required(byteString(64)),
  seq: required(u64),
  previous: optional(id),
  standing: required(id),
};

/** A head, read but not verified. */
export interface ClaimedHead {
  hash: Hex;
  organisation: Hex;
  /** The chain key that it names. */
  key: Hex;
  seq: bigint;
  size: bigint;
  root: Bytes;
  /** The digest over the standing statements. */
  standing: Hex;
  /** The signed checkpoint, as it was signed. */
  note: string;
  parts: Sign1;
  checkpoint: Bytes;
  receipt: Bytes;
}

/** A head whose signatures were checked. */
export type Head = ClaimedHead;

class HeadError extends Error {
  constructor(what: string) {
    super(`head: ${what}`);
  }
}

export function parseHead(encoded: Bytes): ClaimedHead {
  if (encoded.length > HEAD_BYTES_MAX) throw new HeadError(`at most ${HEAD_BYTES_MAX} bytes, this has ${encoded.length}`);
  const parts: Sign1 = parseSign1(encoded);
  const { organisation, key } = readProtected(parts.protected);
  const body: Content<typeof bodyFields> = document(record(bodyFields), parts.payload, HEAD_BYTES_MAX, "head");
  const claimed: Checkpoint = parseCheckpoint(parseNote(body.checkpoint).text);
  return {
    hash: idOf(encoded),
    organisation,
    key,
    seq: body.seq,
    size: claimed.size,
    root: claimed.root,
    standing: body.standing,
    note: new TextDecoder("utf-8", { ignoreBOM: true }).decode(body.checkpoint),
    parts,
    checkpoint: body.checkpoint,
    receipt: body.receipt,
  };
}

/** Checks that this chain key made a head: head, checkpoint, and the signature for receipts. */
export async function verifyHead(head: ClaimedHead, chainKey: PublicKey): Promise<Head> {
  if (head.key !== chainKey.id) throw new HeadError("it names another key than the one that signs heads of its epoch");
  if (!(await chainKey.verifies(head.parts.signature, toBeSigned(head.parts.protected, head.parts.payload)))) {
    throw new HeadError("the signature does not verify");
  }
  await openCheckpoint(head.checkpoint, head.organisation, chainKey);
  if (!(await verifiesRoot(head.organisation, chainKey, head.root, head.receipt))) {
    throw new HeadError("the signature for receipts does not verify");
  }
  return head;
}

function readProtected(bytes: Bytes): { organisation: Hex; key: Hex } {
  const header = parse(bytes, bytes.length);
  if (header.type !== "map") throw new HeadError("the protected header is not a map");
  let algorithm: bigint | undefined;
  let contentType: string | undefined;
  let keyId: Hex | undefined;
  let claims: [Value, Value][] = [];
  for (const [name, value] of header.entries) {
    const found = label(name);
    if (found === 1n && value.type === "int") algorithm = value.int;
    else if (found === 3n && value.type === "text") contentType = value.text;
    else if (found === 4n && value.type === "bytes") keyId = toHex(value.bytes);
    else if (found === 15n && value.type === "map") claims = value.entries;
    else throw new HeadError("a label of the protected header has no place here");
  }
  if (algorithm !== ALG_EDDSA || contentType !== CONTENT_TYPE || keyId === undefined || fromHex(keyId).length !== 32) {
    throw new HeadError("algorithm, content type or key id is not a head's");
  }
  let organisation: Hex | undefined;
  let issuedAt: bigint | undefined;
  for (const [name, value] of claims) {
    const found = label(name);
    if (found === 1n && value.type === "text") organisation = readId("org", value.text);
    else if (found === 6n && value.type === "int") issuedAt = value.int;
    else throw new HeadError("a claim has no place here");
  }
  if (organisation === undefined || issuedAt === undefined || issuedAt < 0n) {
    throw new HeadError("issuer or time of issue is missing");
  }
  return { organisation, key: keyId };
}

export type Contradiction = "sequence" | "order" | "root";

/** Whether one organisation cannot have signed both. */
export function contradiction(one: Head, other: Head): Contradiction | undefined {
  const [earlier, later] = one.seq <= other.seq ? [one, other] : [other, one];
  // What keys of different epochs signed does not contradict each other.
  if (one.organisation !== other.organisation || one.key !== other.key || one.hash === other.hash) return undefined;
  if (one.seq === other.seq) return "sequence";
  if (earlier.size > later.size) return "order";
  return one.size === other.size && toHex(one.root) !== toHex(other.root) ? "root" : undefined;
}
