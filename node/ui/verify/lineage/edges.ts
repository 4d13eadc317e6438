/** Edges: how one thing rests on another. They follow from the fields of statements and from nothing else. */

import { type Bytes, type Hex, toHex } from "../bytes.js";
import { EDGES } from "../payload/profile.js";
import type { Subject } from "../payload/parts.js";
import type { Payload } from "../payload/payload.js";

export type EdgeKind = (typeof EDGES)[number];

/** What decides whether two subjects are the same: bytes, name or statement, never what somebody calls them. */
export type SubjectKey =
  | { digest: { algorithm: "sha256" | "sha512" | "sha384" | "blake3"; value: Bytes } }
  | { name: string }
  | { statement: Hex };

export interface Edge {
  from: SubjectKey;
  kind: EdgeKind;
  to: SubjectKey;
}

export function keyOf(subject: Subject): SubjectKey {
  switch (subject.kind) {
    case "artifact":
      return { digest: subject.value.digest };
    case "named":
      return { name: subject.value };
    case "statement":
      return { statement: subject.value };
  }
}

const ALGORITHMS = ["sha256", "sha512", "sha384", "blake3"];

/** A text that is one key's alone, and orders as the keys do: digests, then names, then statements. */
export function sortable(key: SubjectKey): string {
  if ("digest" in key) return `0${ALGORITHMS.indexOf(key.digest.algorithm)}${toHex(key.digest.value)}`;
  return "name" in key ? `1${key.name}` : `2${key.statement}`;
}

/** A subject as people read it. */
export function shown(key: SubjectKey, statement: (id: Hex) => string): string {
  if ("digest" in key) return `${key.digest.algorithm}:${toHex(key.digest.value)}`;
  return "name" in key ? `name:${key.name}` : statement(key.statement);
}

const RELATIONS: Record<string, EdgeKind> = { uses: "used", "derived-from": "derived-from", supersedes: "supersedes" };

/** The edges that may be followed from evidence to what it rests on. */
export function edgesOf(statement: Hex, payload: Payload): Edge[] {
  const own: SubjectKey = { statement };
  const to = (kind: EdgeKind, ids: Hex[]): Edge[] => ids.map((id) => ({ from: own, kind, to: { statement: id } }));
  const about = (subjects: Subject[]): Edge[] =>
    subjects.map((subject) => ({ from: own, kind: "about", to: keyOf(subject) }));
  switch (payload.kind) {
    case "observation": {
      const { subjects, materials, derived_from: sources } = payload.says;
      const made = subjects.flatMap((subject) =>
        materials.map((material): Edge => ({ from: keyOf(subject), kind: "derived-from", to: keyOf(material) })),
      );
      return [...about(subjects), ...made, ...to("derived-from", sources)];
    }
    case "link": {
      const { target, relation, from } = payload.says;
      const further: Edge[] =
        from === undefined
          ? []
          : [{ from: { statement: from }, kind: RELATIONS[relation] ?? "links-to", to: { statement: target.statement } }];
      return [...to("links-to", [target.statement]), ...further];
    }
    case "counterfoil":
      return to("acknowledges", [payload.says.link]);
    case "decision":
      return [
        ...about(payload.says.request.subjects),
        ...to("evidence-for", payload.says.evidence.map((one) => one.statement)),
      ];
    case "permit":
      return to("decided-by", [payload.says.decision]);
    case "effect":
      return to("actuated-by", [payload.says.permit]);
    case "nonconformity":
      return to("effect-of", [payload.says.cause]);
    case "acknowledgement":
      return to("acknowledges", [payload.says.recall]);
    case "recall":
      return [{ statement: payload.says.statement }, ...payload.says.subjects.map(keyOf)].map((from) => ({
        from,
        kind: "recalled-by",
        to: own,
      }));
    default:
      return [];
  }
}
