/** Public keys, which say what algorithm they are for. */

import { type Bytes, type Hex, concat, toHex } from "./bytes.js";
import { CborError } from "./cbor.js";
import { blake3In } from "./digest.js";
import { isUsableKey, verifies } from "./ed25519.js";
import { type Read, bytes } from "./shape.js";

const ED25519 = 0x01;

export class PublicKey {
  /** Names the key: the digest of its algorithm and bytes. */
  readonly id: Hex;
  /** Says beforehand that this key will follow, without showing it. */
  readonly commitment: Hex;

  private constructor(readonly bytes: Bytes) {
    this.id = toHex(blake3In("counterfoil 2026 key id v1", this.tagged));
    this.commitment = toHex(blake3In("counterfoil 2026 next root key v1", this.tagged));
  }

  private static readonly known = new Map<Hex, PublicKey>();

  /** The key that these 32 bytes are; nothing where they are none that may sign. */
  static ofEd25519(raw: Bytes): PublicKey | undefined {
    const name = toHex(raw);
    const known = PublicKey.known.get(name);
    if (known !== undefined) return known;
    if (raw.length !== 32 || !isUsableKey(raw)) return undefined;
    const key = new PublicKey(raw.slice());
    PublicKey.known.set(name, key);
    return key;
  }

  /** Algorithm and bytes. */
  get tagged(): Bytes {
    return concat(Uint8Array.of(ED25519), this.bytes);
  }

  verifies(signature: Bytes, message: Bytes): Promise<boolean> {
    return verifies(this.bytes, signature, message);
  }
}

export const publicKey: Read<PublicKey> = (value, where) => {
  const tagged = bytes(value, where);
  if (tagged[0] !== ED25519) throw new CborError(`wrong shape: ${where}: key algorithm ${tagged[0]} is not known`);
  const key = PublicKey.ofEd25519(tagged.slice(1));
  if (key === undefined) throw new CborError(`wrong shape: ${where}: not a usable Ed25519 public key`);
  return key;
};
