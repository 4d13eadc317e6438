/** What a statement rests on or answers: what has to be in a bundle together with it. */

import type { Hex } from "./bytes.js";
import type { Subject } from "./payload/parts.js";
import type { Payload } from "./payload/payload.js";
import type { Verified } from "./state.js";

function among(subjects: Subject[]): Hex[] {
  return subjects.flatMap((subject) => (subject.kind === "statement" ? [subject.value] : []));
}

/** The statements that a payload's edges lead from or to. */
function named(payload: Payload): Hex[] {
  switch (payload.kind) {
    case "observation":
      return [...among(payload.says.subjects), ...among(payload.says.materials), ...payload.says.derived_from];
    case "link": {
      const { target, from } = payload.says;
      return from === undefined ? [target.statement] : [target.statement, from];
    }
    case "counterfoil":
      return [payload.says.link];
    case "decision":
      return [...among(payload.says.request.subjects), ...payload.says.evidence.map((one) => one.statement)];
    case "permit":
      return [payload.says.decision];
    case "effect":
      return [payload.says.permit];
    case "nonconformity":
      return [payload.says.cause];
    case "override":
      return among(payload.says.subjects);
    case "corrective-action":
      return [payload.says.nonconformity, ...payload.says.causes, ...payload.says.evidence];
    case "recall":
      return [payload.says.statement, ...among(payload.says.subjects)];
    case "acknowledgement":
      return [payload.says.recall];
    default:
      return [];
  }
}

export function references({ statement, payload }: Verified): Set<Hex> {
  const found = new Set([...statement.header.refs, ...named(payload)]);
  found.delete(statement.id);
  return found;
}
