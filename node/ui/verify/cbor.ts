/**
 * Strict CBOR: the core deterministic encoding of RFC 8949, section 4.2.1, without floats, null, tags and indefinite
 * lengths. What is accepted has exactly one encoding.
 */

import { type Bytes, compare, concat, fromUtf8, utf8 } from "./bytes.js";
import { CBOR_DEPTH_MAX, CBOR_ITEMS_MAX } from "./limits.js";

/** A map: its keys in the order of their encodings. */
export type Entries = [Value, Value][];

export type Value =
  | { type: "int"; int: bigint }
  | { type: "bytes"; bytes: Bytes }
  | { type: "text"; text: string }
  | { type: "array"; items: Value[] }
  | { type: "map"; entries: Entries }
  | { type: "bool"; bool: boolean };

/** Bytes that are not the strict CBOR that was asked for, or another shape of it. */
export class CborError extends Error {}

class Reader {
  at = 0;
  private items = 0;

  constructor(private readonly bytes: Bytes) {}

  take(count: number): Bytes {
    if (count > this.bytes.length - this.at) throw new CborError(`the CBOR ends early, at byte ${this.bytes.length}`);
    this.at += count;
    return this.bytes.subarray(this.at - count, this.at);
  }

  private argument(info: number, at: number): bigint {
    if (info < 24) return BigInt(info);
    if (info === 31) throw new CborError(`indefinite length at byte ${at}`);
    if (info > 27) throw new CborError(`reserved length at byte ${at}`);
    const width = 1 << (info - 24);
    const argument = this.take(width).reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
    const least = width === 1 ? 24n : 1n << BigInt(4 * width);
    if (argument < least) throw new CborError(`integer or length not in shortest form at byte ${at}`);
    return argument;
  }

  /** A count of things of at least so many bytes each, which the rest can hold. */
  private length(argument: bigint, bytesEach: number): number {
    if (argument * BigInt(bytesEach) > BigInt(this.bytes.length - this.at)) {
      throw new CborError(`the CBOR ends early, at byte ${this.bytes.length}`);
    }
    return Number(argument);
  }

  item(depth: number): Value {
    const at = this.at;
    this.items += 1;
    if (depth > CBOR_DEPTH_MAX) throw new CborError(`nesting too deep at byte ${at}`);
    if (this.items > CBOR_ITEMS_MAX) throw new CborError(`too many items at byte ${at}`);
    const initial = this.take(1)[0] ?? 0;
    if (initial === 0xf4 || initial === 0xf5) return { type: "bool", bool: initial === 0xf5 };
    const major = initial >> 5;
    if (major === 7) throw new CborError(`a float, null or simple value at byte ${at}`);
    const argument = this.argument(initial & 0x1f, at);
    switch (major) {
      case 0:
        return { type: "int", int: argument };
      case 1:
        return { type: "int", int: -1n - argument };
      case 2:
        return { type: "bytes", bytes: this.take(this.length(argument, 1)) };
      case 3: {
        const text = fromUtf8(this.take(this.length(argument, 1)));
        if (text === undefined) throw new CborError(`text that is not UTF-8 at byte ${at}`);
        return { type: "text", text };
      }
      case 4:
        return { type: "array", items: this.array(this.length(argument, 1), depth) };
      case 5:
        return { type: "map", entries: this.map(this.length(argument, 2), depth) };
      default:
        throw new CborError(`a tag that has no place here at byte ${at}`);
    }
  }

  private array(length: number, depth: number): Value[] {
    const items: Value[] = [];
    for (let n = 0; n < length; n++) items.push(this.item(depth + 1));
    return items;
  }

  private map(length: number, depth: number): Entries {
    const entries: Entries = [];
    let previous: Bytes | undefined;
    for (let n = 0; n < length; n++) {
      const from = this.at;
      const key = this.item(depth + 1);
      const encoded = this.bytes.subarray(from, this.at);
      if (previous !== undefined && compare(previous, encoded) >= 0) {
        throw new CborError(`map keys repeated or out of order at byte ${from}`);
      }
      previous = encoded;
      entries.push([key, this.item(depth + 1)]);
    }
    return entries;
  }
}

/** The one item that these bytes are, of at most `max` bytes. */
export function parse(bytes: Bytes, max: number): Value {
  if (bytes.length > max) throw new CborError(`${bytes.length} bytes, more than the ${max} allowed here`);
  const [value, length] = first(bytes);
  if (length !== bytes.length) throw new CborError(`${bytes.length - length} bytes follow the CBOR item`);
  return value;
}

/** The first item of a sequence, and how many bytes it takes. */
export function first(bytes: Bytes): [Value, number] {
  const reader = new Reader(bytes);
  const value = reader.item(0);
  return [value, reader.at];
}

/** Major type and argument in their shortest form. */
export function head(major: number, argument: number | bigint): Bytes {
  const value = BigInt(argument);
  if (value < 24n) return Uint8Array.of((major << 5) | Number(value));
  const info = value < 0x100n ? 0 : value < 0x1_0000n ? 1 : value < 0x1_0000_0000n ? 2 : 3;
  const bytes = new Uint8Array(1 + (1 << info));
  bytes[0] = (major << 5) | (24 + info);
  for (let at = bytes.length - 1, rest = value; at > 0; at--, rest >>= 8n) bytes[at] = Number(rest & 0xffn);
  return bytes;
}

export function int(value: number | bigint): Bytes {
  const wide = BigInt(value);
  return wide < 0n ? head(1, -1n - wide) : head(0, wide);
}

export function byteString(bytes: Uint8Array): Bytes {
  return concat(head(2, bytes.length), bytes);
}

export function text(value: string): Bytes {
  const bytes = utf8(value);
  return concat(head(3, bytes.length), bytes);
}

/** A map of encoded keys and values, which the caller gives in the order of the keys. */
export function map(...entries: [Uint8Array, Uint8Array][]): Bytes {
  return concat(head(5, entries.length), ...entries.flat());
}

/** The one encoding of a value: the keys of its maps in the order of their encodings. */
export function encode(value: Value): Bytes {
  switch (value.type) {
    case "int":
      return int(value.int);
    case "bytes":
      return byteString(value.bytes);
    case "text":
      return text(value.text);
    case "bool":
      return Uint8Array.of(value.bool ? 0xf5 : 0xf4);
    case "array":
      return concat(head(4, value.items.length), ...value.items.map(encode));
    case "map": {
      const entries = value.entries.map(([key, item]): [Bytes, Bytes] => [encode(key), encode(item)]);
      return map(...entries.sort(([one], [other]) => compare(one, other)));
    }
  }
}
