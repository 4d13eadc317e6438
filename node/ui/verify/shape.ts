/** From CBOR values to typed data. Unknown fields, missing fields and other types are refused, with the place named. */

import { type Bytes, type Hex, toHex } from "./bytes.js";
import { CborError, type Entries, type Value, parse } from "./cbor.js";

export type Read<T> = (value: Value, where: string) => T;

/** A field of a record: without `absent` it has to be there. */
interface Field<T> {
  read: Read<T>;
  absent?: () => T;
}

type Fields = Record<string, Field<unknown>>;

/** What a record's readers give. */
export type Content<F extends Fields> = { [K in keyof F]: F[K] extends Field<infer T> ? T : never };

function refuse(where: string, what: string): never {
  throw new CborError(`wrong shape: ${where}: ${what}`);
}

export const text: Read<string> = (value, where) =>
  value.type === "text" ? value.text : refuse(where, "a text is expected");

export const bool: Read<boolean> = (value, where) =>
  value.type === "bool" ? value.bool : refuse(where, "true or false is expected");

export const bytes: Read<Bytes> = (value, where) =>
  value.type === "bytes" ? value.bytes : refuse(where, "a byte string is expected");

/** Any value: its author's affair. */
export const any: Read<Value> = (value) => value;

export function byteString(length: number): Read<Bytes> {
  return (value, where) => {
    const found = bytes(value, where);
    return found.length === length ? found : refuse(where, `${found.length} bytes where ${length} are needed`);
  };
}

/** 32 bytes: an id or a digest. */
export const id: Read<Hex> = (value, where) => toHex(byteString(32)(value, where));

function integer(least: bigint, most: bigint): Read<bigint> {
  return (value, where) => {
    if (value.type !== "int") refuse(where, "an integer is expected");
    return value.int >= least && value.int <= most ? value.int : refuse(where, `${value.int} is out of range`);
  };
}

/** An unsigned integer of so many bits. */
export function uint(bits: number): Read<bigint> {
  return integer(0n, (1n << BigInt(bits)) - 1n);
}

export const u64 = uint(64);
export const i64 = integer(-(1n << 63n), (1n << 63n) - 1n);

/** An unsigned integer up to `most`. */
export function upTo(most: number): Read<number> {
  const read = integer(0n, BigInt(most));
  return (value, where) => Number(read(value, where));
}

export function oneOf<const T extends string>(names: readonly T[]): Read<T> {
  return (value, where) => {
    const found = text(value, where);
    return names.find((name) => name === found) ?? refuse(where, `${JSON.stringify(found.slice(0, 80))} is not known`);
  };
}

export function list<T>(read: Read<T>): Read<T[]> {
  return (value, where) => {
    if (value.type !== "array") refuse(where, "an array is expected");
    return value.items.map((item, at) => read(item, `${where}[${at}]`));
  };
}

/** An array of exactly two. */
export function pair<A, B>(one: Read<A>, other: Read<B>): Read<[A, B]> {
  return (value, where) => {
    const [first, second, ...more] = value.type === "array" ? value.items : [];
    if (first === undefined || second === undefined || more.length > 0) refuse(where, "an array of two is expected");
    return [one(first, `${where}[0]`), other(second, `${where}[1]`)];
  };
}

/** A map from texts, in bytewise order of the encoded keys. */
export function dictionary<K extends string, T>(key: Read<K>, read: Read<T>): Read<Map<K, T>> {
  return (value, where) =>
    new Map(entries(value, where).map(([name, item]) => {
      const found = key(name, where);
      return [found, read(item, `${where}.${found}`)];
    }));
}

export function entries(value: Value, where: string): Entries {
  return value.type === "map" ? value.entries : refuse(where, "a map is expected");
}

export function required<T>(read: Read<T>): Field<T> {
  return { read };
}

export function optional<T>(read: Read<T>): Field<T | undefined> {
  return { read, absent: () => undefined };
}

export function otherwise<T>(read: Read<T>, absent: T): Field<T> {
  return { read, absent: () => absent };
}

/** An array that may be left out where it is empty. */
export function many<T>(read: Read<T>): Field<T[]> {
  return { read: list(read), absent: () => [] };
}

export function record<F extends Fields>(fields: F): Read<Content<F>> {
  return (value, where) => {
    const found = new Map(entries(value, where).map(([name, item]) => [text(name, where), item]));
    const content: Record<string, unknown> = {};
    for (const [name, field] of Object.entries(fields)) {
      const item = found.get(name);
      if (item !== undefined) content[name] = field.read(item, `${where}.${name}`);
      else if (field.absent !== undefined) content[name] = field.absent();
      else refuse(where, `field ${name} is missing`);
      found.delete(name);
    }
    for (const name of found.keys()) refuse(where, `field ${JSON.stringify(name.slice(0, 80))} has no place here`);
    return content as Content<F>;
  };
}

/** A choice that carries something: a map of one entry, whose key says which. */
export function choice<R extends Record<string, Read<unknown>>>(
  readers: R,
): Read<{ [K in keyof R]: { kind: K; value: ReturnType<R[K]> } }[keyof R]> {
  return (value, where) => {
    const [only, ...more] = entries(value, where);
    if (only === undefined || more.length > 0) refuse(where, "a map of one entry is expected");
    const kind = text(only[0], where);
    const read = Object.hasOwn(readers, kind) ? readers[kind] : undefined;
    if (read === undefined) refuse(where, `${JSON.stringify(kind.slice(0, 80))} is not known`);
    return { kind, value: read(only[1], `${where}.${kind}`) } as { kind: keyof R; value: ReturnType<R[keyof R]> };
  };
}

/** Reads a whole document of at most `max` bytes. */
export function document<T>(read: Read<T>, encoded: Bytes, max: number, where: string): T {
  return read(parse(encoded, max), where);
}
