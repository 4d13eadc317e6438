/** Permits and effects, held against the decisions that they follow from. */

import { type Hex, compareText } from "./bytes.js";
import { type Chains, all, find } from "./chain.js";
import { show } from "./ids.js";
import type { Decision, Effect, Permit } from "./payload/actuation.js";
import type { CorrectiveAction } from "./payload/governance.js";
import { holds } from "./predict.js";
import { type Report, message } from "./report.js";
import { permitStage, ruling } from "./ruling.js";
import type { Verified } from "./state.js";

export function checkActuation(chains: Chains, report: Report): void {
  checkOverrides(chains, report);
  const used = new Set<Hex>();
  for (const verified of all(chains)) {
    const { payload, statement } = verified;
    if (payload.kind !== "permit" && payload.kind !== "effect" && payload.kind !== "corrective-action") continue;
    const input = show("stmt", statement.id);
    try {
      const found =
        payload.kind === "permit"
          ? follows(chains, verified, payload.says)
          : payload.kind === "effect"
            ? compared(chains, payload.says, used)
            : corrected(chains, payload.says);
      if (found === undefined) report.open(payload.kind, input, "what it follows from is not here");
      else report.pass(payload.kind, input, found);
    } catch (error) {
      report.fail(payload.kind, input, message(error));
    }
  }
}

function decisionOf(chains: Chains, permit: Permit): [Verified, Decision] | undefined {
  const found = find(chains, permit.decision);
  if (found === undefined) return undefined;
  if (found.payload.kind !== "decision") throw new Error(`${show("stmt", permit.decision)} is no decision`);
  return [found, found.payload.says];
}

/** Each decision that stands on an override is the only one that does, and a nonconformity asks for its review. */
function checkOverrides(chains: Chains, report: Report): void {
  const used = new Set<Hex>();
  const reviewed = new Set<Hex>();
  for (const { payload } of all(chains)) if (payload.kind === "nonconformity") reviewed.add(payload.says.cause);
  for (const { payload, statement } of all(chains)) {
    if (payload.kind !== "decision") continue;
    let overridden: Hex | undefined;
    try {
      overridden = ruling(payload.says.verdict).override;
    } catch {
      // A verdict that cannot be read stands on nothing; that it cannot is said elsewhere.
    }
    if (overridden === undefined) continue;
    const input = show("stmt", statement.id);
    const isFirst = !used.has(overridden);
    used.add(overridden);
    if (!isFirst) report.fail("override", input, `${show("stmt", overridden)} was used for a decision before`);
    else if (reviewed.has(statement.id)) report.pass("override", input, "to be reviewed");
    else report.open("override", input, "no nonconformity that asks for its review is here");
  }
}

function corrected(chains: Chains, action: CorrectiveAction): string | undefined {
  const found = find(chains, action.nonconformity);
  if (found === undefined) return undefined;
  if (found.payload.kind !== "nonconformity") throw new Error(`${show("stmt", action.nonconformity)} is no nonconformity`);
  return action.closes ? "it closes its nonconformity" : "its nonconformity stays open";
}

/** Strict CBOR has one order, so two equal maps have it as well. */
function equal(one: Map<string, string[]>, other: Map<string, string[]>): boolean {
  return JSON.stringify([...one]) === JSON.stringify([...other]);
}

function follows(chains: Chains, verified: Verified, permit: Permit): string | undefined {
  const [decision, decided] = decisionOf(chains, permit) ?? [];
  if (decision === undefined || decided === undefined) return undefined;
  if (decision.organisation !== verified.organisation) throw new Error("it follows from another organisation's decision");
  const found = ruling(decided.verdict);
  if (permit.mode !== decided.mode || !equal(permit.scopes, found.granted)) {
    throw new Error("it permits another mode or other scopes than were decided");
  }
  if (permit.stage?.join() !== permitStage(found)?.join()) throw new Error("it is for another stage than was decided");
  if (permit.actuator !== decided.request.actuator) throw new Error("it is for another actuator than the decision");
  return `${permit.mode} for ${permit.actuator}, as decided`;
}

/** A permit is for one use: `used` are those that effects before this one, in the order of the chains, made use of. */
function compared(chains: Chains, effect: Effect, used: Set<Hex>): string | undefined {
  const isFirst = !used.has(effect.permit);
  used.add(effect.permit);
  const permit = find(chains, effect.permit);
  if (permit === undefined) return undefined;
  const name = show("stmt", effect.permit);
  if (permit.payload.kind !== "permit") throw new Error(`${name} is no permit`);
  const [, decided] = decisionOf(chains, permit.payload.says) ?? [];
  if (decided === undefined) return undefined;
  if (!isFirst) throw new Error(`${name} was used before`);
  const expected = [...decided.request.predicted]
    .filter(([what, predicted]) => !holds(predicted, effect.observed.get(what)))
    .map(([what, predicted]) => ({ name: what, predicted, observed: effect.observed.get(what) }))
    .sort((one, other) => compareText(one.name, other.name));
  if (JSON.stringify(expected) !== JSON.stringify(effect.mismatches)) {
    throw new Error("its comparison with what was predicted is wrong");
  }
  return `${expected.length} mismatches with what was predicted`;
}
