/** What an expression says about one observation: that it holds, that it does not, or why neither can be said. */

import { type Bytes, compare, compareText, equal } from "../bytes.js";
import type { Value } from "../cbor.js";
import { type Binary, type Expression, Unread } from "./syntax.js";

export type Data = bigint | string | boolean | null | Bytes | Data[] | Map<string, Data>;

/** Why it is neither true nor false, in the words that verdicts have. */
export class Undecided extends Error {}

const RANGE = "a number or an index is out of range";
const TYPE = "a value has another type than it needs";
const STEPS_MAX = 200_000;
const NAME_MAX = 80;

function range(): never {
  throw new Undecided(RANGE);
}

function type(): never {
  throw new Undecided(TYPE);
}

function missing(name: string): never {
  throw new Undecided(`field ${[...name].slice(0, NAME_MAX).join("")} is not there`);
}

/** A payload's value as expressions see it: entries whose keys are no texts are left out, numbers beyond 64 bits are null. */
export function dataOf(value: Value): Data {
  switch (value.type) {
    case "int":
      return BigInt.asIntN(64, value.int) === value.int ? value.int : null;
    case "text":
      return value.text;
    case "bool":
      return value.bool;
    case "bytes":
      return value.bytes;
    case "array":
      return value.items.map(dataOf);
    case "map":
      return new Map(value.entries.flatMap(([key, item]) => (key.type === "text" ? [[key.text, dataOf(item)]] : [])));
  }
}

/** Whether it holds with these variables. */
export function holds(expression: Expression, variables: Map<string, Data>): boolean {
  const found = new Evaluation(variables).value(expression);
  if (typeof found !== "boolean") throw new Undecided("it is neither true nor false");
  return found;
}

class Evaluation {
  private steps = 0;

  constructor(private readonly variables: Map<string, Data>) {}

  value(of: Expression): Data {
    this.steps += 1;
    if (this.steps > STEPS_MAX) throw new Unread("it takes more steps than are made here");
    switch (of.is) {
      case "literal":
        return of.value;
      case "name":
        return this.variables.get(of.name) ?? null;
      case "select":
        return field(this.value(of.from), of.field);
      case "has":
        return hasField(this.value(of.from), of.field);
      case "index": {
        const from = this.value(of.from);
        return item(from, this.value(of.at));
      }
      case "list":
        return of.items.map((one) => this.value(one));
      case "size":
        return size(this.value(of.of));
      case "method": {
        // Arguments come before what the method is called on.
        const argument = this.value(of.argument);
        const on = this.value(of.on);
        if (typeof on !== "string" || typeof argument !== "string") return type();
        if (of.method === "contains") return on.includes(argument);
        return of.method === "startsWith" ? on.startsWith(argument) : on.endsWith(argument);
      }
      case "all":
      case "exists":
        return this.each(this.value(of.over), of.name, of.each, of.is === "exists");
      case "not": {
        const found = this.value(of.of);
        return typeof found === "boolean" ? !found : type();
      }
      case "negate": {
        const found = this.value(of.of);
        return typeof found === "bigint" ? wide(-found) : type();
      }
      case "and":
      case "or":
        return this.logic(of.one, of.other, of.is === "or");
      case "choice": {
        const condition = this.value(of.condition);
        if (typeof condition !== "boolean") return type();
        return this.value(condition ? of.then : of.otherwise);
      }
      case "binary": {
        const one = this.value(of.one);
        return binary(of.operator, one, this.value(of.other));
      }
    }
  }

  /** True, false, or what kept it from being either. */
  private attempt(of: Expression): boolean | Undecided {
    try {
      const found = this.value(of);
      return typeof found === "boolean" ? found : new Undecided(TYPE);
    } catch (error) {
      if (error instanceof Undecided) return error;
      throw error;
    }
  }

  /** The side that decides by itself makes up for an error on the other one. */
  private logic(one: Expression, other: Expression, deciding: boolean): boolean {
    const left = this.attempt(one);
    if (left === deciding) return deciding;
    const right = this.value(other);
    if (right === deciding) return deciding;
    if (left instanceof Undecided) throw left;
    return typeof right === "boolean" ? right : type();
  }

  private each(over: Data, name: string, each: Expression, deciding: boolean): boolean {
    // Maps by their keys, in the order of these.
    if (over instanceof Map) return this.each([...over.keys()].sort(compareText), name, each, deciding);
    if (!Array.isArray(over)) return type();
    const inner = new Evaluation(new Map(this.variables));
    let pending: Undecided | undefined;
    for (const one of over) {
      inner.variables.set(name, one);
      inner.steps = this.steps;
      const found = inner.attempt(each);
      this.steps = inner.steps;
      if (found === deciding) return deciding;
      if (found instanceof Undecided) pending = found;
    }
    if (pending !== undefined) throw pending;
    return !deciding;
  }
}

function field(from: Data, name: string): Data {
  if (!(from instanceof Map)) return type();
  return from.get(name) ?? (from.has(name) ? null : missing(name));
}

function hasField(from: Data, name: string): boolean {
  return from instanceof Map ? from.has(name) : type();
}

function item(from: Data, at: Data): Data {
  if (Array.isArray(from)) {
    if (typeof at !== "bigint") return type();
    const found = at >= 0n && at < BigInt(from.length) ? from[Number(at)] : undefined;
    return found === undefined ? range() : found;
  }
  if (!(from instanceof Map)) return type();
  if (typeof at === "string") return field(from, at);
  return typeof at === "bigint" || typeof at === "boolean" ? missing(String(at)) : type();
}

function size(of: Data): bigint {
  if (typeof of === "string") return BigInt([...of].length);
  if (of instanceof Map) return BigInt(of.size);
  return Array.isArray(of) || of instanceof Uint8Array ? BigInt(of.length) : type();
}

function wide(value: bigint): bigint {
  return BigInt.asIntN(64, value) === value ? value : range();
}

function isEqual(one: Data, other: Data): boolean {
  if (Array.isArray(one)) {
    return Array.isArray(other) && one.length === other.length && one.every((item, at) => isEqual(item, other[at] ?? null));
  }
  if (one instanceof Map) {
    if (!(other instanceof Map) || one.size !== other.size) return false;
    return [...one].every(([name, item]) => other.has(name) && isEqual(item, other.get(name) ?? null));
  }
  if (one instanceof Uint8Array) return other instanceof Uint8Array && equal(one, other);
  return one === other;
}

/** Below zero, zero or above; texts in the order of their bytes. */
function order(one: Data, other: Data): number {
  if (typeof one === "bigint" && typeof other === "bigint") return one < other ? -1 : one > other ? 1 : 0;
  if (typeof one === "string" && typeof other === "string") return compareText(one, other);
  if (typeof one === "boolean" && typeof other === "boolean") return Number(one) - Number(other);
  if (one instanceof Uint8Array && other instanceof Uint8Array) return compare(one, other);
  return type();
}

function contains(within: Data, one: Data): boolean {
  if (Array.isArray(within)) return within.some((item) => isEqual(item, one));
  if (!(within instanceof Map)) return type();
  if (typeof one === "string") return within.has(one);
  return typeof one === "bigint" || typeof one === "boolean" ? false : type();
}

function binary(operator: Binary, one: Data, other: Data): Data {
  switch (operator) {
    case "==":
      return isEqual(one, other);
    case "!=":
      return !isEqual(one, other);
    case "<":
      return order(one, other) < 0;
    case "<=":
      return order(one, other) <= 0;
    case ">":
      return order(one, other) > 0;
    case ">=":
      return order(one, other) >= 0;
    case "in":
      return contains(other, one);
    case "+":
      return sum(one, other);
    default:
      return typeof one === "bigint" && typeof other === "bigint" ? arithmetic(operator, one, other) : type();
  }
}

function sum(one: Data, other: Data): Data {
  if (typeof one === "bigint" && typeof other === "bigint") return wide(one + other);
  if (typeof one === "string" && typeof other === "string") return one + other;
  if (one instanceof Uint8Array && other instanceof Uint8Array) {
    const joined = new Uint8Array(one.length + other.length);
    joined.set(one);
    joined.set(other, one.length);
    return joined;
  }
  if (Array.isArray(one) && other instanceof Map) throw new Unread("a list and a map together are not read here");
  return Array.isArray(one) && Array.isArray(other) ? [...one, ...other] : type();
}

function arithmetic(operator: "-" | "*" | "/" | "%", one: bigint, other: bigint): bigint {
  if (operator === "-") return wide(one - other);
  if (operator === "*") return wide(one * other);
  if (other === 0n) return range();
  // The one quotient that does not fit; its remainder has no value either.
  const quotient = wide(one / other);
  return operator === "/" ? quotient : one % other;
}
