import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { type Bytes, equal, fromBase64, toHex, utf8 } from "../verify/bytes.js";
import { sha256 } from "../verify/digest.js";
import { GrowingTree, checkConsistency, leafHash, nodeHash, rootOfInclusion } from "../verify/tree.js";
import { ABSENT, sharedFiles } from "./shared.js";

interface Inclusion {
  leafIdx: number;
  treeSize: number;
  root: string;
  leafHash: string;
  proof: string[] | null;
  wantErr: boolean;
}

interface Consistency {
  size1: number;
  size2: number;
  root1: string;
  root2: string;
  proof: string[] | null;
  wantErr: boolean;
}

function hash(text: string): Bytes {
  const bytes = fromBase64(text);
  assert.ok(bytes?.length === 32, "not a hash");
  return bytes;
}

/** Whether a text is a root: some vectors have words there, to say that it does not matter. Here they are refused. */
function isHash(text: string): boolean {
  return fromBase64(text)?.length === 32;
}

/** Checks that every vector of a kind gives what it says. */
async function run<T extends { wantErr: boolean }>(
  files: string[],
  isWhole: (vector: T) => boolean,
  verifies: (vector: T) => Promise<boolean>,
): Promise<void> {
  for (const file of files) {
    // Sizes go up to 2^64: read them exactly.
    const text = readFileSync(file, "utf8").replace(/("(?:leafIdx|treeSize|size1|size2)": )(-?\d+)/g, '$1"$2"');
    const vector = JSON.parse(text) as T;
    const found = await verifies(vector).catch(() => false);
    assert.equal(found, !vector.wantErr && isWhole(vector), file);
  }
  assert.ok(files.length > 50, `${files.length} vectors ran`);
}

test("inclusion proofs", async (t) => {
  const files = sharedFiles("vectors/merkle-rfc6962/inclusion", ".json");
  if (files === undefined) return t.skip(ABSENT);
  await run<Inclusion>(files, () => true, async (vector) => {
    const path = (vector.proof ?? []).map(hash);
    const root = await rootOfInclusion(hash(vector.leafHash), BigInt(vector.leafIdx), BigInt(vector.treeSize), path);
    return equal(root, hash(vector.root));
  });
});

test("consistency proofs", async (t) => {
  const files = sharedFiles("vectors/merkle-rfc6962/consistency", ".json");
  if (files === undefined) return t.skip(ABSENT);
  const hasRoots = (vector: Consistency): boolean => isHash(vector.root1) && isHash(vector.root2);
  await run<Consistency>(files, hasRoots, async (vector) => {
    const [one, other] = [hash(vector.root1), hash(vector.root2)];
    await checkConsistency(BigInt(vector.size1), one, BigInt(vector.size2), other, (vector.proof ?? []).map(hash));
    return true;
  });
});

/** RFC 9162, section 2.1.1, word by word. */
async function definition(leaves: Bytes[]): Promise<Bytes> {
  const [first] = leaves;
  if (first === undefined) return sha256();
  if (leaves.length === 1) return first;
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return nodeHash(await definition(leaves.slice(0, split)), await definition(leaves.slice(split)));
}

test("a tree grows by leaves and by subtrees to the same root", async () => {
  const leaves = await Promise.all(Array.from({ length: 40 }, (_, n) => leafHash(utf8(`${n}`))));
  for (let size = 0; size <= leaves.length; size++) {
    const expected = toHex(await definition(leaves.slice(0, size)));
    const tree = new GrowingTree();
    for (const leaf of leaves.slice(0, size)) await tree.append(0n, leaf);
    assert.equal(toHex(await tree.root()), expected);
    const coarse = new GrowingTree();
    // The largest subtree that may begin here, again and again.
    for (let at = 0; at < size; ) {
      let width = 1;
      while (at % (width * 2) === 0 && at + width * 2 <= size) width *= 2;
      await coarse.append(BigInt(Math.log2(width)), await definition(leaves.slice(at, at + width)));
      at += width;
    }
    assert.equal(toHex(await coarse.root()), expected);
    assert.equal(coarse.size, BigInt(size));
  }
});

test("a subtree begins at a multiple of its width, and sizes have 64 bits", async () => {
  const tree = new GrowingTree();
  const leaf = await leafHash(utf8("x"));
  await tree.append(0n, leaf);
  await assert.rejects(tree.append(1n, leaf), /no complete subtree/);
  await assert.rejects(tree.append(64n, leaf), /no complete subtree/);
  await assert.rejects(tree.append(2n ** 32n - 1n, leaf), /no complete subtree/);
  const large = new GrowingTree();
  await large.append(63n, leaf);
  await assert.rejects(large.append(63n, leaf), /no complete subtree/);
  assert.equal(large.size, 2n ** 63n);
});
