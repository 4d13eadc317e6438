/** What governs actions besides profiles: declared classes, harm orderings, overrides; and what is done afterwards. */

import { utf8 } from "../bytes.js";
import {
  HARM_CLASSES_MAX,
  PROSE_BYTES_MAX,
  REFS_MAX,
  STAGES_MAX,
  STAGE_VALUES_MAX,
  SUBJECTS_MAX,
} from "../limits.js";
import * as shape from "../shape.js";
import { isLabel, reversibility, rule, subject } from "./parts.js";

function isProse(text: string): boolean {
  return text !== "" && utf8(text).length <= PROSE_BYTES_MAX;
}

const actionClassFields = shape.record({
  action: shape.required(shape.text),
  reversibility: shape.required(reversibility),
  "point-of-no-return": shape.optional(
    shape.record({ what: shape.required(shape.text), "after-s": shape.optional(shape.u64) }),
  ),
  harm: shape.many(shape.text),
  stages: shape.optional(
    shape.record({
      dimension: shape.required(shape.text),
      steps: shape.required(shape.list(shape.list(shape.text))),
    }),
  ),
  "permit-s": shape.optional(shape.u64),
  "effect-s": shape.optional(shape.u64),
});

export type ActionClass = ReturnType<typeof actionClassFields>;

export const actionClass: shape.Read<ActionClass> = (value, where) => {
  const found = actionClassFields(value, where);
  const end = found["point-of-no-return"];
  const { stages } = found;
  rule(isLabel(found.action), "action has 1 to 256 bytes");
  rule(end === undefined || isLabel(end.what), "point-of-no-return has 1 to 256 bytes");
  const fits = found.reversibility === "compensable" || (found.reversibility === "irreversible") === (end !== undefined);
  rule(fits, "a point of no return is named for an irreversible action, and for no reversible one");
  rule(found.harm.length <= HARM_CLASSES_MAX, `more than ${HARM_CLASSES_MAX} harm classes`);
  rule(found.harm.every(isLabel), "harm has 1 to 256 bytes");
  if (stages !== undefined) {
    const within = (count: number, most: number): boolean => count >= 1 && count <= most;
    rule(isLabel(stages.dimension), "dimension has 1 to 256 bytes");
    rule(
      within(stages.steps.length, STAGES_MAX) && stages.steps.every((step) => within(step.length, STAGE_VALUES_MAX)),
      `stages are 1 to ${STAGES_MAX} steps of 1 to ${STAGE_VALUES_MAX} values each`,
    );
    rule(stages.steps.flat().every(isLabel), "a stage's value has 1 to 256 bytes");
  }
  rule(found["permit-s"] !== 0n && found["effect-s"] !== 0n, "a permit is usable, and its effect due, after a second at least");
  return found;
};

const harmOrderingFields = shape.record({
  jurisdiction: shape.required(shape.text),
  order: shape.required(shape.list(shape.text)),
  "refuse-missing-from": shape.optional(shape.text),
  "human-role-from": shape.optional(shape.text),
});

export type HarmOrdering = ReturnType<typeof harmOrderingFields>;

export const harmOrdering: shape.Read<HarmOrdering> = (value, where) => {
  const found = harmOrderingFields(value, where);
  const { order } = found;
  rule(isLabel(found.jurisdiction), "jurisdiction has 1 to 256 bytes");
  rule(order.length >= 1 && order.length <= HARM_CLASSES_MAX, `1 to ${HARM_CLASSES_MAX} kinds of harm are ordered`);
  rule(order.every(isLabel), "harm has 1 to 256 bytes");
  rule(new Set(order).size === order.length, "a kind of harm stands in the order twice");
  for (const threshold of [found["refuse-missing-from"], found["human-role-from"]]) {
    rule(threshold === undefined || order.includes(threshold), `${threshold} is not in the order`);
  }
  return found;
};

const overrideFields = shape.record({
  request: shape.required(shape.id),
  action: shape.required(shape.text),
  subjects: shape.required(shape.list(subject)),
  reason: shape.required(shape.text),
});

export type Override = ReturnType<typeof overrideFields>;

export const override: shape.Read<Override> = (value, where) => {
  const found = overrideFields(value, where);
  const subjects = found.subjects.length;
  rule(
    isLabel(found.action) && subjects >= 1 && subjects <= SUBJECTS_MAX && isProse(found.reason),
    `an override names an action, 1 to ${SUBJECTS_MAX} subjects and a reason of 1 to ${PROSE_BYTES_MAX} bytes`,
  );
  return found;
};

const correctiveActionFields = shape.record({
  nonconformity: shape.required(shape.id),
  action: shape.required(shape.text),
  causes: shape.many(shape.id),
  responsible: shape.optional(shape.text),
  due: shape.optional(shape.u64),
  closes: shape.otherwise(shape.bool, false),
  evidence: shape.many(shape.id),
});

export type CorrectiveAction = ReturnType<typeof correctiveActionFields>;

export const correctiveAction: shape.Read<CorrectiveAction> = (value, where) => {
  const found = correctiveActionFields(value, where);
  const { responsible } = found;
  rule(isProse(found.action) && (responsible === undefined || isLabel(responsible)), "an action, or whoever is responsible, is not described");
  rule(found.causes.length + found.evidence.length < REFS_MAX, `it names more than ${REFS_MAX} statements`);
  rule(found.evidence.length === 0 || found.closes, "closing evidence stands in the action that closes");
  return found;
};
