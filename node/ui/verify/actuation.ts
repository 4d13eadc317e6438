/** Permits and effects, held against the decisions that they follow from. */

import { type Hex, compareText } from "./bytes.js";
import { type Value, parse } from "./cbor.js";
import { type Chains, all, find } from "./chain.js";
import { show } from "./ids.js";
import { PAYLOAD_BYTES_MAX } from "./limits.js";
import type { Decision, Effect, Permit } from "./payload/actuation.js";
import type { CorrectiveAction } from "./payload/governance.js";
import { scopes } from "./payload/parts.js";
import { type Report, message } from "./report.js";
import * as shape from "./shape.js";
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

/** One field of a map, where it is there. */
function field(value: Value | undefined, wanted: string): Value | undefined {
  if (value === undefined) return undefined;
  return shape.entries(value, "verdict").find(([name]) => name.type === "text" && name.text === wanted)?.[1];
}

/** What permits and reviews look at in a verdict. What else it says is the affair of whoever computes it anew. */
function ruling(verdict: Decision["verdict"]): { granted: Map<string, string[]>; stage: string; override: Hex | undefined } {
  const whole = parse(verdict, PAYLOAD_BYTES_MAX);
  const found = field(whole, "scopes");
  if (found === undefined) throw new Error("verdict: field scopes is missing");
  const governed = field(whole, "governed");
  const overridden = field(field(governed, "overridden"), "statement");
  const staged = overridden === undefined ? field(governed, "stage") : undefined;
  const count = (name: string): number => {
    const value = field(staged, name);
    return value === undefined ? 0 : shape.upTo(0xffff_ffff)(value, `verdict.${name}`);
  };
  const current = count("cleared") + 1;
  return {
    granted: scopes(found, "verdict.scopes"),
    stage: staged !== undefined && current <= count("of") ? `${current},${count("of")}` : "",
    override: overridden === undefined ? undefined : shape.id(overridden, "verdict.overridden"),
  };
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
  const [found, decided] = decisionOf(chains, permit) ?? [];
  if (found === undefined || decided === undefined) return undefined;
  if (found.organisation !== verified.organisation) throw new Error("it follows from another organisation's decision");
  const { granted, stage } = ruling(decided.verdict);
  if (permit.mode !== decided.mode || !equal(permit.scopes, granted)) {
    throw new Error("it permits another mode or other scopes than were decided");
  }
  if ((permit.stage ?? []).join() !== stage) throw new Error("it is for another stage than was decided");
  if (permit.actuator !== decided.request.actuator) throw new Error("it is for another actuator than the decision");
  return `${permit.mode} for ${permit.actuator}, as decided`;
}

/** An integer of up to 18 digits, with at most one blank before and after it. */
const NUMBER = " ?(-?[0-9]{1,18}) ?";
const RANGES: [RegExp, (one: bigint, other: bigint, found: bigint) => boolean][] = [
  [new RegExp(`^>=${NUMBER}()$`), (least, _, found) => found >= least],
  [new RegExp(`^<=${NUMBER}()$`), (most, _, found) => found <= most],
  [new RegExp(`^${NUMBER}\\.\\.${NUMBER}$`), (least, most, found) => found >= least && found <= most],
  [new RegExp(`^${NUMBER}\\+-${NUMBER}$`), (middle, by, found) => found >= middle - by && found <= middle + by],
];

/** Whether an observed value is one that was predicted: a number in a range, or exactly the text. */
export function holds(predicted: string, observed: string | undefined): boolean {
  if (observed === undefined) return false;
  for (const [form, isWithin] of RANGES) {
    const match = form.exec(predicted);
    if (match === null) continue;
    const found = new RegExp(`^${NUMBER}$`).exec(observed);
    return found !== null && isWithin(BigInt(match[1] ?? 0), BigInt(match[2] ?? 0), BigInt(found[1] ?? 0));
  }
  return predicted === observed;
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
