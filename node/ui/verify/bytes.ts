/** Bytes and the texts that stand for them. */

/** Bytes as every Web API takes them. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** 32 bytes in lower-case hexadecimal: orders as the bytes do, and can be a key of a map. */
export type Hex = string;

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

export function toHex(bytes: Uint8Array): Hex {
  let text = "";
  for (const byte of bytes) text += HEX[byte];
  return text;
}

export function fromHex(text: Hex): Bytes {
  const bytes = new Uint8Array(text.length / 2);
  for (let at = 0; at < bytes.length; at++) bytes[at] = Number.parseInt(text.slice(2 * at, 2 * at + 2), 16);
  return bytes;
}

export function concat(...parts: Uint8Array[]): Bytes {
  const bytes = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Below zero, zero or above, as `one` comes before, is, or comes after `other` in bytewise order. */
export function compare(one: Uint8Array, other: Uint8Array): number {
  const shared = Math.min(one.length, other.length);
  for (let at = 0; at < shared; at++) {
    const difference = (one[at] ?? 0) - (other[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return one.length - other.length;
}

export function equal(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && compare(one, other) === 0;
}

/** A number of 64 bits, big-endian. */
export function u64be(value: bigint): Bytes {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function utf8(text: string): Bytes {
  return encoder.encode(text) as Bytes;
}

/** Nothing where the bytes are not UTF-8. */
export function fromUtf8(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** In bytewise order of the texts' UTF-8, which is not the order of JavaScript's strings. */
export function compareText(one: string, other: string): number {
  return one === other ? 0 : compare(utf8(one), utf8(other));
}

const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";
const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

function encode(bytes: Uint8Array, alphabet: string, width: number): string {
  let text = "";
  let held = 0;
  let bits = 0;
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xffff;
    bits += 8;
    while (bits >= width) {
      bits -= width;
      text += alphabet[(held >> bits) & ((1 << width) - 1)];
    }
  }
  if (bits > 0) text += alphabet[(held << (width - bits)) & ((1 << width) - 1)];
  return text;
}

/** Only the one text that {@link encode} gives is read back: what is left over is less than a character, and zero. */
function decode(text: string, alphabet: string, width: number): Bytes | undefined {
  const bytes = new Uint8Array(Math.floor((text.length * width) / 8));
  let held = 0;
  let bits = 0;
  let at = 0;
  for (const character of text) {
    const value = alphabet.indexOf(character);
    if (value < 0) return undefined;
    held = ((held << width) | value) & 0xffff;
    bits += width;
    if (bits >= 8) {
      bits -= 8;
      bytes[at++] = (held >> bits) & 0xff;
    }
  }
  return bits < width && (held & ((1 << bits) - 1)) === 0 ? bytes : undefined;
}

/** Lower-case base32 without padding. */
export function base32(bytes: Uint8Array): string {
  return encode(bytes, BASE32, 5);
}

/** Nothing where the text is not what {@link base32} gives. */
export function fromBase32(text: string): Bytes | undefined {
  return decode(text, BASE32, 5);
}

/** Standard base64 with padding. */
export function base64(bytes: Uint8Array): string {
  const text = encode(bytes, BASE64, 6);
  return text.padEnd(Math.ceil(text.length / 4) * 4, "=");
}

/** Nothing where the text is not what {@link base64} gives. */
export function fromBase64(text: string): Bytes | undefined {
  if (text.length % 4 !== 0) return undefined;
  return decode(text.replace(/={1,2}$/, ""), BASE64, 6);
}
