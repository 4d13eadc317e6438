/**
 * The items of a bundle:
 *
 * ```text
 * "CFBUNDLE" 0x02
 * Manifest
 * ( Section Entry* )*
 * BLAKE3 of everything before (bstr)
 * ```
 */

import { type Bytes, equal, utf8 } from "./bytes.js";
import { CborError, type Value, first } from "./cbor.js";
import { blake3 } from "./digest.js";
import { BUNDLE_ITEM_BYTES_MAX } from "./limits.js";
import * as shape from "./shape.js";

const MAGIC = utf8("CFBUNDLE");
const VERSION = 2;
/** The last item: the head of a byte string of 32 bytes, and the digest. */
const SEAL_BYTES = 2 + 32;

const range = shape.record({
  organisation: shape.required(shape.id),
  from: shape.required(shape.u64),
  to: shape.required(shape.u64),
});

/** A part of a chain that is here without a gap. */
export type Range = ReturnType<typeof range>;

const manifest = shape.record({
  about: shape.required(shape.list(shape.id)),
  absent: shape.many(shape.id),
  // Left out because they are limited to others than the file is for.
  limited: shape.many(shape.id),
  misbehaviour: shape.many(shape.bytes),
  ranges: shape.many(range),
  period: shape.optional(shape.pair(shape.u64, shape.u64)),
  sections: shape.required(shape.u64),
});

export type Manifest = ReturnType<typeof manifest>;

const section = shape.record({
  organisation: shape.required(shape.id),
  head: shape.required(shape.bytes),
  cosignatures: shape.many(shape.text),
  earlier: shape.many(
    shape.record({ size: shape.required(shape.u64), proof: shape.required(shape.list(shape.byteString(32))) }),
  ),
  entries: shape.required(shape.u64),
});

/** One chain, before its entries. */
export type Section = ReturnType<typeof section>;

/** A statement, or the root of 2^level leaves that are not here. */
export type Entry = { statement: Bytes; disclosures: Bytes[] } | { level: bigint; hash: Bytes };

/** A file that is no bundle, or not all of one. */
export class BundleError extends Error {}

const LENGTH = "the file ends early or has items that its manifest does not announce";

const levelOfSubtree = shape.uint(32);
const hashOfSubtree = shape.byteString(32);
const disclosures = shape.list(shape.bytes);

function readEntry(value: Value): Entry {
  if (value.type === "bytes") return { statement: value.bytes, disclosures: [] };
  const [one, other, ...more] = value.type === "array" ? value.items : [];
  if (one === undefined || other === undefined || more.length > 0) {
    throw new CborError("an entry is a statement, disclosed or not, or a subtree");
  }
  if (one.type === "int") return { level: levelOfSubtree(one, "level"), hash: hashOfSubtree(other, "hash") };
  const entry = { statement: shape.bytes(one, "statement"), disclosures: disclosures(other, "disclosures") };
  if (entry.disclosures.length === 0) throw new CborError("disclosures are there or left out");
  return entry;
}

/** Whether the file ends with the digest of what stands before it, whatever that is. */
export function sealHolds(file: Bytes): boolean {
  const seal = file.subarray(-SEAL_BYTES);
  if (seal.length < SEAL_BYTES || seal[0] !== 0x58 || seal[1] !== 0x20) return false;
  return equal(seal.subarray(2), blake3(file.subarray(0, -SEAL_BYTES)));
}

/** The items of a bundle, one after the other. */
export class Items {
  private at: number;
  private item = 0;

  constructor(private readonly file: Bytes) {
    this.at = MAGIC.length + 1;
    if (!equal(file.subarray(0, MAGIC.length), MAGIC) || file[MAGIC.length] !== VERSION) {
      throw new BundleError(`it does not begin with CFBUNDLE and a version that is read here (${VERSION})`);
    }
  }

  manifest(): Manifest {
    return this.read(manifest, "manifest");
  }

  section(): Section {
    return this.read(section, "section");
  }

  /** The entries of a section: grows with what is really there, whatever number was announced. */
  entries(count: bigint): Entry[] {
    const entries: Entry[] = [];
    for (let n = 0n; n < count; n++) entries.push(this.read(readEntry, "entry"));
    return entries;
  }

  /** Checks that nothing but the digest is left. */
  end(): void {
    const from = this.at;
    this.read(shape.any, "digest");
    if (this.at - from !== SEAL_BYTES || this.at !== this.file.length) throw new BundleError(LENGTH);
  }

  private read<T>(read: shape.Read<T>, where: string): T {
    if (this.at >= this.file.length) throw new BundleError(LENGTH);
    try {
      const [value, length] = first(this.file.subarray(this.at));
      if (length > BUNDLE_ITEM_BYTES_MAX) throw new CborError(`it has more than ${BUNDLE_ITEM_BYTES_MAX} bytes`);
      const content = read(value, where);
      this.at += length;
      this.item += 1;
      return content;
    } catch (error) {
      if (error instanceof CborError) throw new BundleError(`item ${this.item}: ${error.message}`);
      throw error;
    }
  }
}
