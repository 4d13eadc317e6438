/** Permits and effects, held against the decisions that they follow from. */

import { type Hex, compareText } from "./bytes.js";
import { parse } from "./cbor.js";
import { type Chains, all, find } from "./chain.js";
import { show } from "./ids.js";
import { PAYLOAD_BYTES_MAX } from "./limits.js";
import type { Decision, Effect, Permit } from "./payload/actuation.js";
import { scopes } from "./payload/parts.js";
import { type Report, message } from "./report.js";
import * as shape from "./shape.js";
import type { Verified } from "./state.js";

export function checkActuation(chains: Chains, report: Report): void {
  const used = new Set<Hex>();
  for (const verified of all(chains)) {
    const { payload, statement } = verified;
    if (payload.kind !== "permit" && payload.kind !== "effect") continue;
    const input = show("stmt", statement.id);
    try {
      const found = payload.kind === "permit" ? follows(chains, verified, payload.says) : compared(chains, payload.says, used);
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

/** The scopes that a verdict grants. What else it says is the affair of whoever computes it anew. */
function granted(verdict: Decision["verdict"]): Map<string, string[]> {
  const fields = shape.entries(parse(verdict, PAYLOAD_BYTES_MAX), "verdict");
  const found = fields.find(([name]) => name.type === "text" && name.text === "scopes");
  if (found === undefined) throw new Error("verdict: field scopes is missing");
  return scopes(found[1], "verdict.scopes");
}

/** Strict CBOR has one order, so two equal maps have it as well. */
function equal(one: Map<string, string[]>, other: Map<string, string[]>): boolean {
  return JSON.stringify([...one]) === JSON.stringify([...other]);
}

function follows(chains: Chains, verified: Verified, permit: Permit): string | undefined {
  const [found, decided] = decisionOf(chains, permit) ?? [];
  if (found === undefined || decided === undefined) return undefined;
  if (found.organisation !== verified.organisation) throw new Error("it follows from another organisation's decision");
  if (permit.mode !== decided.mode || !equal(permit.scopes, granted(decided.verdict))) {
    throw new Error("it permits another mode or other scopes than were decided");
  }
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
    .filter(([what, predicted]) => effect.observed.get(what) !== predicted)
    .map(([what, predicted]) => ({ name: what, predicted, observed: effect.observed.get(what) }))
    .sort((one, other) => compareText(one.name, other.name));
  if (JSON.stringify(expected) !== JSON.stringify(effect.mismatches)) {
    throw new Error("its comparison with what was predicted is wrong");
  }
  return `${expected.length} mismatches with what was predicted`;
}
