import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { fromHex, toHex, utf8 } from "../verify/bytes.js";
import { isUsableKey, verifies } from "../verify/ed25519.js";
import { ABSENT, sharedFiles } from "./shared.js";

interface EdgeCase {
  number: number;
  key: string;
  sig: string;
  msg: string;
  flags: string[] | null;
}

/** The flags of the cases that are refused; a component of low order that cancels out is not among them. */
const REFUSED = [
  "low_order_A",
  "low_order_R",
  "non_canonical_A",
  "non_canonical_R",
  "low_order_residue",
  "reencoded_k",
];

test("which edge cases of Ed25519 are accepted is frozen", async (t) => {
  const files = sharedFiles("vectors/ed25519-cctv", ".json");
  if (files === undefined) return t.skip(ABSENT);
  let ran = 0;
  for (const file of files) {
    for (const edge of JSON.parse(readFileSync(file, "utf8")) as EdgeCase[]) {
      const key = fromHex(edge.key);
      const accepted = isUsableKey(key) && (await verifies(key, fromHex(edge.sig), utf8(edge.msg)));
      const expected = !(edge.flags ?? []).some((flag) => REFUSED.includes(flag));
      assert.equal(accepted, expected, `case ${edge.number}: ${edge.flags}`);
      ran += 1;
    }
  }
  assert.ok(ran > 100, `${ran} cases ran`);
});

/** RFC 8032, section 7.1, test 2. */
const KEY = fromHex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
const SIGNATURE = fromHex(
  "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" +
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
);

test("a signature of the specification is accepted, and no other scalar for it", async () => {
  assert.ok(isUsableKey(KEY));
  assert.ok(await verifies(KEY, SIGNATURE, Uint8Array.of(0x72)));
  assert.ok(!(await verifies(KEY, SIGNATURE, Uint8Array.of(0x73))));
  // The order of the base point, added to the scalar, changes nothing in the equation.
  const scalar = BigInt(`0x${toHex(SIGNATURE.slice(32).reverse())}`) + 2n ** 252n + 27742317777372353535851937790883648493n;
  const other = SIGNATURE.slice();
  other.set(fromHex(scalar.toString(16).padStart(64, "0")).reverse(), 32);
  assert.ok(!(await verifies(KEY, other, Uint8Array.of(0x72))));
});

test("what is no point of the curve is no key", () => {
  const unusable = [...Array(64).keys()].filter((y) => {
    const bytes = new Uint8Array(32);
    bytes[0] = y;
    return !isUsableKey(bytes);
  });
  // About half of all numbers; 0 and 1 belong to points of small order.
  assert.ok(unusable.includes(0) && unusable.includes(1) && unusable.includes(2));
  assert.ok(unusable.length > 20 && unusable.length < 44, `${unusable.length}`);
});
