/** Checkpoints (C2SP tlog-checkpoint): `origin\nsize\nbase64(root)\n`, as the text of a note signed by the origin. */

import { type Bytes, type Hex, base32, fromBase64, fromHex } from "./bytes.js";
import type { PublicKey } from "./key.js";
import { type Note, TYPE_ED25519, type VerifierKey, checkNote, parseNote, verifierKey } from "./note.js";

export interface Checkpoint {
  origin: string;
  size: bigint;
  root: Bytes;
}

export class CheckpointError extends Error {
  constructor(what: string) {
    super(`not a checkpoint: ${what}`);
  }
}

export function originOf(organisation: Hex): string {
  return `counterfoil/${base32(fromHex(organisation))}`;
}

/** The verifier key under which an organisation signs its checkpoints. */
export function logKey(organisation: Hex, chainKey: PublicKey): Promise<VerifierKey> {
  return verifierKey(originOf(organisation), TYPE_ED25519, chainKey);
}

export function parseCheckpoint(text: string): Checkpoint {
  const [origin, number, encoded, end, ...more] = text.split("\n");
  if (origin === undefined || number === undefined || encoded === undefined || end !== "" || more.length > 0) {
    throw new CheckpointError("it has not three lines");
  }
  if (origin === "") throw new CheckpointError("the origin is empty");
  const size = /^(0|[1-9][0-9]{0,19})$/.test(number) ? BigInt(number) : undefined;
  if (size === undefined || size >= 1n << 64n) {
    throw new CheckpointError("the size is no decimal number without leading zeros");
  }
  const root = fromBase64(encoded);
  if (root?.length !== 32) throw new CheckpointError("the root is not 32 bytes in base64");
  return { origin, size, root };
}

/** Reads a checkpoint, and checks that it is the organisation's. */
export async function openCheckpoint(bytes: Bytes, organisation: Hex, chainKey: PublicKey): Promise<[Checkpoint, Note]> {
  const note = parseNote(bytes);
  const checkpoint = parseCheckpoint(note.text);
  const expected = originOf(organisation);
  if (checkpoint.origin !== expected) {
    throw new CheckpointError(`it is of ${JSON.stringify(checkpoint.origin.slice(0, 100))}, not of ${expected}`);
  }
  await checkNote(note, await logKey(organisation, chainKey));
  return [checkpoint, note];
}
