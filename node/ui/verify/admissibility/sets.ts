/** The minimal sets of leaves that satisfy a tree: the first of them, and how many there are. */

import { EXPLANATION_SETS_MAX, EXPLANATION_STEPS_MAX } from "../limits.js";
import { ALWAYS, Diagrams, Exhausted, NEVER, type Node } from "./diagram.js";
import { type Tree, isSatisfied, visit } from "./tree.js";

export interface Sets {
  /** The smallest first, then in the order in which the tree first names the leaves; each in ascending order. */
  sets: number[][];
  /** How many there are, those not listed included; nothing where the bound of work was reached. */
  count: bigint | undefined;
}

export function isTruncated({ sets, count }: Sets): boolean {
  return count !== BigInt(sets.length);
}

export function minimalSets(tree: Tree): Sets {
  try {
    return exact(tree);
  } catch (error) {
    if (error instanceof Exhausted) return { sets: someMinimalSets(tree), count: undefined };
    throw error;
  }
}

const ascending = (one: number, other: number): number => one - other;

function exact(tree: Tree): Sets {
  const diagrams = new Diagrams();
  // Leaves become variables in the order in which they are first named.
  const numbers = new Map<number, number>();
  visit(tree, (node) => {
    diagrams.step();
    if (typeof node === "object" && "leaf" in node && !numbers.has(node.leaf)) numbers.set(node.leaf, numbers.size);
  });
  const leaves = [...numbers.keys()];
  const family = new Family(diagrams, diagrams.minimal(functionOf(tree, diagrams, numbers)));
  const sets = family.smallest(leaves.length).map((set) => set.map((variable) => leaves[variable] ?? 0).sort(ascending));
  return { sets, count: family.count() };
}

function functionOf(tree: Tree, diagrams: Diagrams, numbers: Map<number, number>): Node {
  if (typeof tree === "boolean") return tree ? ALWAYS : NEVER;
  if ("leaf" in tree) return diagrams.variable(numbers.get(tree.leaf) ?? 0);
  const parts = tree.parts.map(({ weight, tree: part }) => ({ weight, node: functionOf(part, diagrams, numbers) }));
  // For each part, what can still be needed when it comes to it.
  const needs = [[tree.need]];
  for (const { weight } of parts) {
    const next = new Set<number>();
    for (const need of (needs.at(-1) ?? []).filter((need) => need > 0)) {
      diagrams.step();
      next.add(need).add(Math.max(0, need - weight));
    }
    needs.push([...next].sort(ascending));
  }
  // From the last part to the first: what it and those behind it reach, by what is needed of them.
  let behind = new Map<number, Node>();
  const reaching = (need: number): Node => (need === 0 ? ALWAYS : (behind.get(need) ?? NEVER));
  for (const [at, { weight, node }] of [...parts.entries()].reverse()) {
    const here = new Map<number, Node>();
    for (const need of (needs[at] ?? []).filter((need) => need > 0)) {
      here.set(need, diagrams.choose(node, reaching(Math.max(0, need - weight)), reaching(need)));
    }
    behind = here;
  }
  return reaching(tree.need);
}

/** A family of sets, counted and listed. */
class Family {
  private readonly counts = new Map<Node, bigint>([[NEVER, 0n], [ALWAYS, 1n]]);
  /** A bit for each size that a set below the node has. */
  private readonly sizes = new Map<Node, bigint>([[NEVER, 0n], [ALWAYS, 1n]]);

  constructor(
    private readonly diagrams: Diagrams,
    private readonly root: Node,
  ) {
    this.measure(root);
  }

  private measure(node: Node): void {
    if (this.counts.has(node)) return;
    const [high, low] = [this.diagrams.high(node), this.diagrams.low(node)];
    this.measure(high);
    this.measure(low);
    this.counts.set(node, this.of(this.counts, high) + this.of(this.counts, low));
    this.sizes.set(node, (this.of(this.sizes, high) << 1n) | this.of(this.sizes, low));
  }

  private of(numbers: Map<Node, bigint>, node: Node): bigint {
    return numbers.get(node) ?? 0n;
  }

  count(): bigint {
    return this.of(this.counts, this.root);
  }

  private has(node: Node, size: number): boolean {
    return size >= 0 && ((this.of(this.sizes, node) >> BigInt(size)) & 1n) === 1n;
  }

  /** The first sets of variables: smallest first, then in the order of the variables. */
  smallest(variables: number): number[][] {
    const found: number[][] = [];
    const list = (node: Node, set: number[], left: number): void => {
      if (found.length === EXPLANATION_SETS_MAX || !this.has(node, left)) return;
      if (node === ALWAYS) {
        found.push(set);
        return;
      }
      list(this.diagrams.high(node), [...set, this.diagrams.variableOf(node)], left - 1);
      list(this.diagrams.low(node), set, left);
    };
    for (let size = 0; size <= variables; size++) list(this.root, [], size);
    return found;
  }
}

/** Some minimal sets, each found by leaving out one leaf after the other, beginning elsewhere each time. */
function someMinimalSets(tree: Tree): number[][] {
  const named = new Set<number>();
  let nodes = 0;
  visit(tree, (node) => {
    nodes += 1;
    if (typeof node === "object" && "leaf" in node) named.add(node.leaf);
  });
  const leaves = [...named].sort(ascending);
  if (!isSatisfied(tree, () => true)) return [];
  const affordable = Math.floor((8 * EXPLANATION_STEPS_MAX) / Math.max(1, nodes * leaves.length));
  const found = new Map<string, number[]>();
  for (let start = 0; start < Math.min(affordable, EXPLANATION_SETS_MAX, leaves.length); start++) {
    const kept = new Set(leaves);
    for (const leaf of [...leaves.slice(start), ...leaves.slice(0, start)]) {
      kept.delete(leaf);
      if (!isSatisfied(tree, (other) => kept.has(other))) kept.add(leaf);
    }
    const set = [...kept].sort(ascending);
    found.set(set.join(), set);
  }
  return [...found.values()].sort((one, other) => one.length - other.length || firstDifference(one, other));
}

function firstDifference(one: number[], other: number[]): number {
  const at = one.findIndex((leaf, at) => leaf !== other[at]);
  return at < 0 ? 0 : (one[at] ?? 0) - (other[at] ?? 0);
}
