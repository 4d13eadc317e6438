/** The SHA-256 tree of RFC 9162, section 2.1: its hashes, its proofs, and its root from subtrees in order. */

import { type Bytes, equal } from "./bytes.js";
import { sha256 } from "./digest.js";
import { PROOF_HASHES_MAX } from "./limits.js";

/** A proof that does not prove what it should. */
export class ProofError extends Error {}

/** Sizes have 64 bits. */
const SIZE_END = 1n << 64n;

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

export function leafHash(entry: Uint8Array): Promise<Bytes> {
  return sha256(LEAF, entry);
}

/** The leaf of a statement: the tree holds its digest. */
export async function statementLeaf(statement: Uint8Array): Promise<Bytes> {
  return leafHash(await sha256(statement));
}

export function nodeHash(left: Uint8Array, right: Uint8Array): Promise<Bytes> {
  return sha256(NODE, left, right);
}

/** The root that an inclusion path leads to (section 2.1.3.2). */
export async function rootOfInclusion(leaf: Bytes, position: bigint, size: bigint, path: Bytes[]): Promise<Bytes> {
  if (position >= size) throw new ProofError(`position ${position} lies outside a tree of ${size}`);
  const wrongLength = new ProofError(`the proof has not the length that ${position} of ${size} asks for`);
  if (path.length > PROOF_HASHES_MAX) throw wrongLength;
  let [fn, sn, root] = [position, size - 1n, leaf];
  for (const hash of path) {
    if (sn === 0n) throw wrongLength;
    if (fn % 2n === 1n || fn === sn) {
      root = await nodeHash(hash, root);
      while (fn % 2n === 0n && fn !== 0n) [fn, sn] = [fn >> 1n, sn >> 1n];
    } else {
      root = await nodeHash(root, hash);
    }
    [fn, sn] = [fn >> 1n, sn >> 1n];
  }
  if (sn !== 0n) throw wrongLength;
  return root;
}

/** Checks that a tree of one size and root is the beginning of another (section 2.1.4.2). */
export async function checkConsistency(
  first: bigint,
  firstRoot: Bytes,
  second: bigint,
  secondRoot: Bytes,
  proof: Bytes[],
): Promise<void> {
  if (first > second) throw new ProofError(`a tree of ${first} is no earlier state of a tree of ${second}`);
  const wrongLength = new ProofError(`the proof has not the length that ${first} to ${second} asks for`);
  const otherRoot = new ProofError("the proof leads to another root");
  if (first === second || first === 0n) {
    if (proof.length > 0) throw wrongLength;
    const expected = first === second ? secondRoot : await sha256();
    if (!equal(firstRoot, expected)) throw otherRoot;
    if (first === 0n && !equal(firstRoot, await sha256())) throw otherRoot;
    return;
  }
  if (proof.length > PROOF_HASHES_MAX) throw wrongLength;
  const isPowerOfTwo = (first & (first - 1n)) === 0n;
  const [seed, ...rest] = isPowerOfTwo ? [firstRoot, ...proof] : proof;
  if (seed === undefined) throw wrongLength;
  let [fn, sn] = [first - 1n, second - 1n];
  while (fn % 2n === 1n) [fn, sn] = [fn >> 1n, sn >> 1n];
  let [older, newer] = [seed, seed];
  for (const hash of rest) {
    if (sn === 0n) throw wrongLength;
    if (fn % 2n === 1n || fn === sn) {
      older = await nodeHash(hash, older);
      newer = await nodeHash(hash, newer);
      while (fn % 2n === 0n && fn !== 0n) [fn, sn] = [fn >> 1n, sn >> 1n];
    } else {
      newer = await nodeHash(newer, hash);
    }
    [fn, sn] = [fn >> 1n, sn >> 1n];
  }
  if (sn !== 0n) throw wrongLength;
  if (!equal(older, firstRoot) || !equal(newer, secondRoot)) throw otherRoot;
}

/** A tree as it grows from left to right by perfect subtrees; it keeps only the largest that they make up. */
export class GrowingTree {
  private readonly peaks: { level: bigint; hash: Bytes }[] = [];
  size = 0n;

  /** Appends the perfect subtree of 2^level leaves with this hash; it begins at a multiple of its width. */
  async append(level: bigint, hash: Bytes): Promise<void> {
    const size = level < 64n ? this.size + (1n << level) : SIZE_END;
    if (size >= SIZE_END || size % (1n << level) !== 0n) {
      throw new ProofError(`no complete subtree of level ${level} begins behind ${this.size} leaves`);
    }
    let peak = { level, hash };
    for (let left = this.peaks.at(-1); left?.level === peak.level; left = this.peaks.at(-1)) {
      this.peaks.pop();
      peak = { level: peak.level + 1n, hash: await nodeHash(left.hash, peak.hash) };
    }
    this.peaks.push(peak);
    this.size = size;
  }

  async root(): Promise<Bytes> {
    let root: Bytes | undefined;
    for (const { hash } of [...this.peaks].reverse()) root = root === undefined ? hash : await nodeHash(hash, root);
    return root ?? sha256();
  }
}
