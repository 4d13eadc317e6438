/** Signed notes (C2SP signed-note): a text, a blank line, and lines `— <name> base64(key id || signature)`. */

import { type Bytes, base64, concat, equal, fromBase64, fromUtf8, toHex, utf8 } from "./bytes.js";
import { sha256 } from "./digest.js";
import { PublicKey } from "./key.js";
import { LABEL_BYTES_MAX, NOTE_BYTES_MAX, NOTE_SIGNATURES_MAX } from "./limits.js";

export class NoteError extends Error {}

export const TYPE_ED25519 = 0x01;
export const TYPE_COSIGNATURE = 0x04;

export interface SignatureLine {
  name: string;
  keyId: Bytes;
  signature: Bytes;
}

export interface Note {
  /** With its last newline. */
  text: string;
  signatures: SignatureLine[];
}

/** A name, and the key that its signatures are of. */
export interface VerifierKey {
  name: string;
  type: number;
  key: PublicKey;
  keyId: Bytes;
}

function isName(name: string): boolean {
  return name !== "" && utf8(name).length <= LABEL_BYTES_MAX && !/[\p{White_Space}\p{Cc}+]/u.test(name);
}

export async function verifierKey(name: string, type: number, key: PublicKey): Promise<VerifierKey> {
  const digest = await sha256(utf8(`${name}\n`), Uint8Array.of(type), key.bytes);
  return { name, type, key, keyId: digest.slice(0, 4) };
}

export function showVerifierKey(verifier: VerifierKey): string {
  const key = base64(concat(Uint8Array.of(verifier.type), verifier.key.bytes));
  return `${verifier.name}+${toHex(verifier.keyId)}+${key}`;
}

/** Reads `name+key id+base64`; nothing where the text is no verifier key. */
export async function parseVerifierKey(text: string): Promise<VerifierKey | undefined> {
  const parts = /^([^+]*)\+([^+]*)\+(.*)$/su.exec(text);
  const [name, keyId, encoded] = [parts?.[1], parts?.[2], fromBase64(parts?.[3] ?? "")];
  const type = encoded?.[0];
  if (name === undefined || !isName(name) || encoded === undefined) return undefined;
  if (type !== TYPE_ED25519 && type !== TYPE_COSIGNATURE) return undefined;
  const key = PublicKey.ofEd25519(encoded.slice(1));
  if (key === undefined) return undefined;
  const verifier = await verifierKey(name, type, key);
  return toHex(verifier.keyId) === keyId ? verifier : undefined;
}

function parseLine(line: string): SignatureLine {
  const parts = /^\u2014 ([^ ]*) (.*)$/su.exec(line);
  const [name, bytes] = [parts?.[1], fromBase64(parts?.[2] ?? "")];
  if (name === undefined || !isName(name) || bytes === undefined || bytes.length < 5) {
    throw new NoteError("not a signed note: a signature line is not '— name base64'");
  }
  return { name, keyId: bytes.slice(0, 4), signature: bytes.slice(4) };
}

export function parseNote(bytes: Bytes): Note {
  const form = (what: string): NoteError => new NoteError(`not a signed note: ${what}`);
  if (bytes.length > NOTE_BYTES_MAX) {
    throw new NoteError(`a note has at most ${NOTE_BYTES_MAX} bytes, this has ${bytes.length}`);
  }
  const whole = fromUtf8(bytes);
  if (whole === undefined) throw form("it is not UTF-8");
  const blank = whole.lastIndexOf("\n\n");
  if (blank < 0) throw form("there is no blank line");
  const text = whole.slice(0, blank + 1);
  if (/[^\P{Cc}\n]/u.test(text)) throw form("the text has control characters");
  const lines = whole.slice(blank + 2).split("\n");
  if (lines.pop() !== "") throw form("the last line is not ended");
  if (lines.length === 0) throw form("there is no signature line");
  if (lines.length > NOTE_SIGNATURES_MAX) throw form("there are too many signature lines");
  return { text, signatures: lines.map(parseLine) };
}

/** Checks that the verifier's key signed the note: every line of its name and key id has to verify. */
export async function checkNote(note: Note, verifier: VerifierKey): Promise<void> {
  const lines = note.signatures.filter((line) => line.name === verifier.name && equal(line.keyId, verifier.keyId));
  if (lines.length === 0) throw new NoteError(`there is no signature by ${verifier.name}`);
  for (const line of lines) {
    if (!(await verifier.key.verifies(line.signature, utf8(note.text)))) {
      throw new NoteError(`the signature by ${verifier.name} does not verify`);
    }
  }
}
