import assert from "node:assert/strict";
import { test } from "node:test";

import { base32, base64, fromBase32, fromBase64, fromHex, toHex, utf8 } from "../verify/bytes.js";
import { checkNote, parseNote, parseVerifierKey, showVerifierKey } from "../verify/note.js";
import { parseCheckpoint } from "../verify/checkpoint.js";
import "./shared.js";

/** The example of the specification (C2SP signed-note). */
const KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const NOTE =
  "If you think cryptography is the answer to your problem,\n" +
  "then you don't know what your problem is.\n" +
  "\n" +
  "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

test("the note of the specification verifies, and nothing else does", async () => {
  const key = await parseVerifierKey(KEY);
  assert.ok(key !== undefined && showVerifierKey(key) === KEY);
  await checkNote(parseNote(utf8(NOTE)), key);
  await assert.rejects(checkNote(parseNote(utf8(NOTE.replace("answer", "question"))), key), /does not verify/);
  await assert.rejects(checkNote(parseNote(utf8(NOTE.replace("Neumann x", "Newman x"))), key), /no signature by/);
  for (const wrong of [KEY.replace("c7", "c8"), KEY.slice(0, -1), KEY.replace("+A", "+B"), "x", "++", ""]) {
    assert.equal(await parseVerifierKey(wrong), undefined, wrong);
  }
});

test("notes that are none are refused", () => {
  for (const [text, why] of [
    ["", "blank line"],
    ["text\n\n", "no signature line"],
    ["text\n\n— name AAAAAAA=", "not ended"],
    ["text\n\n- name AAAAAAA=\n", "signature line"],
    ["text\n\n— name  AAAAAAA=\n", "signature line"],
    ["text\n\n— na+me AAAAAAA=\n", "signature line"],
    ["text\n\n— na\u00a0me AAAAAAA=\n", "signature line"],
    ["text\n\n— name AAAAAA==\n", "signature line"],
    ["te\u0007xt\n\n— name AAAAAAA=\n", "control"],
    ["te\u0085xt\n\n— name AAAAAAA=\n", "control"],
    [`text\n\n${"— name AAAAAAA=\n".repeat(129)}`, "too many"],
    ["x".repeat(33_000), "at most"],
  ] as const) {
    assert.throws(() => parseNote(utf8(text)), new RegExp(why), text.slice(0, 40));
  }
  assert.equal(parseNote(utf8(`a\n\nb\n\n${"— name AAAAAAA=\n".repeat(128)}`)).signatures.length, 128);
});

test("checkpoints have three lines and a canonical size", () => {
  const root = base64(new Uint8Array(32));
  assert.equal(parseCheckpoint(`log\n18446744073709551615\n${root}\n`).size, 2n ** 64n - 1n);
  for (const text of [
    `log\n1\n${root}`,
    `log\n1\n${root}\nextra\n`,
    `\n1\n${root}\n`,
    `log\n01\n${root}\n`,
    `log\n+1\n${root}\n`,
    `log\n\n${root}\n`,
    `log\n18446744073709551616\n${root}\n`,
    `log\n1\n${root.slice(4)}\n`,
  ]) {
    assert.throws(() => parseCheckpoint(text), /not a checkpoint/, text);
  }
});

test("base32 and base64 have one text for each string of bytes", () => {
  for (let length = 0; length < 12; length++) {
    const bytes = Uint8Array.from({ length }, (_, n) => 37 * n + 200);
    assert.equal(toHex(fromBase64(base64(bytes)) ?? new Uint8Array(99)), toHex(bytes));
    assert.equal(base64(bytes), Buffer.from(bytes).toString("base64"));
    assert.equal(toHex(fromBase32(base32(bytes)) ?? new Uint8Array(99)), toHex(bytes));
  }
  assert.equal(base32(fromHex("666f6f626172")), "mzxw6ytboi");
  for (const text of ["A", "AA", "AAA", "AB==", "AAB=", "AA=A", "A===", "AA==AA==", "AAAA====", "A-_A", "AAA\n"]) {
    assert.equal(fromBase64(text), undefined, text);
  }
  for (const text of ["a", "ab", "aaa", "aaaaaa", "AA", "a1", "mz======"]) {
    assert.equal(fromBase32(text), undefined, text);
  }
});
