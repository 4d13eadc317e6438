import assert from "node:assert/strict";
import { test } from "node:test";

import { fromHex, toHex } from "../verify/bytes.js";
import { byteString, first, head, int, parse, text } from "../verify/cbor.js";
import { bool, choice, document, many, oneOf, optional, pair, record, required, u64, upTo } from "../verify/shape.js";

test("each departure from deterministic encoding is refused", () => {
  for (const [bytes, rule] of [
    ["1817", "not in shortest form"],
    ["1900ff", "not in shortest form"],
    ["1a0000ffff", "not in shortest form"],
    ["1b00000000ffffffff", "not in shortest form"],
    ["9fff", "indefinite"],
    ["5fff", "indefinite"],
    ["a201000100", "repeated or out of order"],
    ["a202000100", "repeated or out of order"],
    ["f6", "float, null"],
    ["f90000", "float, null"],
    ["c000", "tag"],
    ["61ff", "not UTF-8"],
    ["63eda080", "not UTF-8"],
    ["0000", "follow"],
    ["8200", "ends early"],
    ["1c", "reserved"],
    ["9bffffffffffffffff", "ends early"],
    ["bbffffffffffffffff", "ends early"],
    ["", "ends early"],
    ["81".repeat(26), "deep"],
  ] as const) {
    assert.throws(() => parse(fromHex(bytes), 64), new RegExp(rule), bytes);
  }
  assert.throws(() => parse(fromHex("0000"), 1), /more than the 1 allowed/);
});

test("what is strict is read and written the same", () => {
  for (const value of [0n, 23n, 24n, 255n, 256n, 65535n, 65536n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 64n - 1n, -1n, -(2n ** 64n)]) {
    assert.deepEqual(parse(int(value), 9), { type: "int", int: value });
  }
  assert.deepEqual(parse(text("\u{feff}ä𝄞"), 64), { type: "text", text: "\u{feff}ä𝄞" });
  assert.equal(toHex(byteString(new Uint8Array(300))).slice(0, 6), "59012c");
  assert.equal(toHex(head(4, 4)), "84");
  assert.deepEqual(first(fromHex("0102"))[1], 1);
});

test("shapes refuse what they do not name", () => {
  const sample = record({
    count: required(u64),
    flags: many(bool),
    level: optional(upTo(3)),
    way: required(oneOf(["in", "out"])),
  });
  const read = (bytes: string) => document(sample, fromHex(bytes), 100, "sample");
  const [way, count] = ["6377617963" + "6f7574", "65636f756e7401"];
  assert.deepEqual(read(`a2${way}${count}`), { count: 1n, flags: [], level: undefined, way: "out" });
  assert.throws(() => read(`a1${way}`), /count is missing/);
  assert.throws(() => read(`a3617801${way}${count}`), /"x" has no place/);
  assert.throws(() => read(`a3${way}${count}656c6576656c04`), /4 is out of range/);
  assert.throws(() => read(`a2637761796378797a${count}`), /"xyz" is not known/);
  assert.throws(() => document(pair(u64, u64), fromHex("83010203"), 9, "pair"), /array of two/);
  assert.deepEqual(document(choice({ one: u64 }), fromHex("a1636f6e6505"), 9, "c"), { kind: "one", value: 5n });
  assert.throws(() => document(choice({ one: u64 }), fromHex("a168746f537472696e6705"), 19, "c"), /not known/);
});
