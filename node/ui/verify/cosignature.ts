/** Cosignatures (C2SP tlog-cosignature, version 1): a witness's signature on a checkpoint, with the time. */

import { type Bytes, type Hex, base32, equal, fromHex, u64be, utf8 } from "./bytes.js";
import type { PublicKey } from "./key.js";
import { NoteError, type Note, TYPE_COSIGNATURE, parseNote, type VerifierKey, verifierKey } from "./note.js";

/** When each witness had seen the checkpoint. */
export type Seen = Map<Hex, bigint>;

export function witnessKey(witness: Hex, key: PublicKey): Promise<VerifierKey> {
  return verifierKey(`counterfoil/${base32(fromHex(witness))}/witness`, TYPE_COSIGNATURE, key);
}

/** The cosignatures of these witnesses on a note; of several by one witness the earliest. A wrong one refuses all. */
export async function cosignaturesOn(note: Note, witnesses: Map<Hex, PublicKey>): Promise<Seen> {
  const seen: Seen = new Map();
  for (const [witness, key] of witnesses) {
    const verifier = await witnessKey(witness, key);
    for (const line of note.signatures) {
      // Another key id is a key that this witness may have as well; it says nothing here.
      if (line.name !== verifier.name || !equal(line.keyId, verifier.keyId)) continue;
      const time = await timeOf(line.signature, key, note.text);
      if (time === undefined) throw new NoteError(`the signature by ${verifier.name} does not verify`);
      const earlier = seen.get(witness);
      seen.set(witness, earlier !== undefined && earlier < time ? earlier : time);
    }
  }
  return seen;
}

async function timeOf(signature: Bytes, key: PublicKey, text: string): Promise<bigint | undefined> {
  if (signature.length !== 8 + 64) return undefined;
  const time = signature.slice(0, 8).reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  const message = utf8(`cosignature/v1\ntime ${time}\n${text}`);
  return (await key.verifies(signature.slice(8), message)) && equal(u64be(time), signature.slice(0, 8)) ? time : undefined;
}

/** The cosignatures that stand beside an organisation's head; its own would say nothing. */
export async function cosignaturesBeside(
  note: string,
  lines: string[],
  organisation: Hex,
  witnesses: Map<Hex, PublicKey>,
): Promise<Seen> {
  const others = new Map(witnesses);
  others.delete(organisation);
  return cosignaturesOn(parseNote(utf8(note + lines.join(""))), others);
}
