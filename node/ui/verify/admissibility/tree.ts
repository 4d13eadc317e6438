/** The composed rule as one tree of thresholds over numbered leaves. */

/** `true` always holds, `false` never; a threshold where the weights of its parts that hold reach what it needs. */
export type Tree = boolean | { leaf: number } | { need: number; parts: Part[] };

interface Part {
  weight: number;
  tree: Tree;
}

export function atLeast(need: number, trees: Tree[]): Tree {
  return { need, parts: trees.map((tree) => ({ weight: 1, tree })) };
}

export function all(trees: Tree[]): Tree {
  return atLeast(trees.length, trees);
}

/** Whether it holds when exactly the leaves for which `has` says so do. */
export function isSatisfied(tree: Tree, has: (leaf: number) => boolean): boolean {
  if (typeof tree === "boolean") return tree;
  if ("leaf" in tree) return has(tree.leaf);
  const reached = tree.parts.filter((part) => isSatisfied(part.tree, has)).reduce((sum, part) => sum + part.weight, 0);
  return reached >= tree.need;
}

/** Sees each node, what is above before what is below. */
export function visit(tree: Tree, see: (tree: Tree) => void): void {
  see(tree);
  if (typeof tree === "object" && "parts" in tree) for (const part of tree.parts) visit(part.tree, see);
}
