/** What a request's subjects rest on, and over which edges. */

import { compareText } from "../bytes.js";
import { LINEAGE_DEPTH_MAX } from "../limits.js";
import { EDGES } from "../payload/profile.js";
import { type Edge, type EdgeKind, type SubjectKey, sortable } from "./edges.js";

/** By {@link sortable} key, the kinds of the edges that lead there; for the subjects themselves none. */
export type Reached = Map<string, EdgeKind[]>;

const LINEAGE: EdgeKind[] = ["derived-from", "generated-by", "used", "supersedes", "links-to"];

/** An edge with the texts that its ends order by. */
interface Placed extends Edge {
  start: string;
  end: string;
}

function place(kind: EdgeKind): number {
  return EDGES.indexOf(kind);
}

function groupedBy(edges: Placed[], end: (edge: Placed) => string): Map<string, Placed[]> {
  const groups = new Map<string, Placed[]>();
  for (const edge of edges) {
    const group = groups.get(end(edge));
    if (group === undefined) groups.set(end(edge), [edge]);
    else group.push(edge);
  }
  return groups;
}

/**
 * Follows the lineage, breadth first and in the order of the edges, so that the first way there is a shortest one.
 *
 * From an artifact it goes on to what the artifact was made from, and to what the statements about it refer to. A
 * statement reached that way stands for what it is about.
 */
export function reach(subjects: SubjectKey[], edges: Edge[]): Reached {
  const placed = edges
    .map((edge): Placed => ({ ...edge, start: sortable(edge.from), end: sortable(edge.to) }))
    .sort(
      (one, other) =>
        compareText(one.start, other.start) || place(one.kind) - place(other.kind) || compareText(one.end, other.end),
    );
  const upstream = groupedBy(placed, (edge) => edge.start);
  const aboutIt = groupedBy(placed.filter((edge) => edge.kind === "about"), (edge) => edge.end);
  const reached: Reached = new Map();
  const queue: [string, EdgeKind[]][] = [];
  const visit = (key: string, path: EdgeKind[]): void => {
    if (reached.has(key) || path.length > LINEAGE_DEPTH_MAX) return;
    reached.set(key, path);
    queue.push([key, path]);
  };
  for (const subject of subjects) visit(sortable(subject), []);
  const looked = new Set<string>();
  for (const [node, path] of queue) {
    for (const { kind, end } of upstream.get(node) ?? []) {
      if (LINEAGE.includes(kind)) visit(end, [...path, kind]);
      // A statement: nothing else is about anything.
      else if (kind === "about") visit(end, path);
    }
    for (const { start } of aboutIt.get(node) ?? []) {
      if (looked.has(start)) continue;
      looked.add(start);
      for (const { kind, end } of upstream.get(start) ?? []) {
        if (LINEAGE.includes(kind)) visit(end, [...path, kind]);
      }
    }
  }
  return reached;
}
