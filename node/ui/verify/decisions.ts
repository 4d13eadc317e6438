/**
 * Decisions, computed anew from what they say they rest on: heads, profiles, evidence, request and time. The verdict that
 * follows has to be the one that is recorded, byte for byte.
 *
 * Only where a profile has an expression beyond what is read here, and evidence to look into, that is left open.
 */

import { evaluate } from "./admissibility/evaluate.js";
import { type Knowledge, gather, standingUnder } from "./admissibility/gather.js";
import { encodeVerdict } from "./admissibility/verdict.js";
import { type Hex, equal } from "./bytes.js";
import { type Chain, type Chains, all } from "./chain.js";
import { cosignaturesBeside } from "./cosignature.js";
import { Unread, parseExpression } from "./expression/syntax.js";
import { type Head, contradiction } from "./head.js";
import { show, short } from "./ids.js";
import type { PublicKey } from "./key.js";
import type { Basis, Decision } from "./payload/actuation.js";
import { type Report, message } from "./report.js";
import { OrganisationState, type Verified } from "./state.js";
import { isAscending } from "./statement.js";

/** Names the expressions of which it cannot be said whether they are any. */
export function checkExpressions(chains: Chains, report: Report): void {
  for (const { payload, statement } of all(chains)) {
    if (payload.kind !== "profile") continue;
    for (const [name, { expression }] of payload.says.requirements) {
      try {
        if (expression !== undefined) parseExpression(expression);
      } catch (error) {
        if (!(error instanceof Unread)) throw error;
        report.open("expression", show("stmt", statement.id), `the expression of requirement ${name}: ${error.message}`);
      }
    }
  }
}

/** What a decision weighed and is not here. */
class Absent extends Error {}

/** What rests on something that is `limited` to others than the file is for is not proven here. */
export async function checkDecisions(chains: Chains, forked: Set<Hex>, limited: Set<Hex>, report: Report): Promise<void> {
  for (const { payload, statement, organisation } of all(chains)) {
    if (payload.kind !== "decision") continue;
    const input = show("stmt", statement.id);
    for (const accused of payload.says.forked.filter((id) => !forked.has(id))) {
      report.open("misbehaviour", input, `no proof that ${short("org", accused)} signed contradicting heads is here`);
    }
    try {
      await checkDecision(chains, organisation, payload.says, limited);
      report.pass("decision", input, `computed anew from its inputs: ${payload.says.mode}, byte for byte`);
    } catch (error) {
      if (error instanceof Absent) report.open("decision", input, error.message);
      else if (error instanceof Unread) report.open("decision", input, `not computed here: ${error.message}`);
      else report.fail("decision", input, message(error));
    }
  }
}

function suppose(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(otherwise);
}

async function checkDecision(chains: Chains, decider: Hex, decision: Decision, limited: Set<Hex>): Promise<void> {
  const heads = new Map<Hex, Opened>();
  for (const basis of decision.basis) heads.set(basis.organisation, await checkBasis(chains, basis));
  const weighed = decision.evidence.map(({ organisation, position, statement }): Verified => {
    const found = chains.get(organisation)?.find(statement);
    const why = limited.has(statement) ? "is limited to others than this file is for" : "is not here";
    if (found === undefined) throw new Absent(`${show("stmt", statement)}, which it weighed, ${why}`);
    suppose(found.position === position, `${show("stmt", statement)} stands elsewhere than it says`);
    return found;
  });
  suppose(heads.has(decider), "the chain of the decider is not among its heads");
  const sorted = "what it rests on is repeated or out of order";
  suppose(isAscending(decision.basis.map((basis) => basis.organisation)), sorted);
  suppose(isAscending(decision.evidence.map((one) => one.organisation + place(one.position) + one.statement)), sorted);
  suppose(isAscending(decision.forked), sorted);
  const verdict = evaluate(gather(decider, decision, await knowledgeOf(chains, decision, heads), weighed));
  const isSame = verdict.mode === decision.mode && equal(encodeVerdict(verdict), decision.verdict);
  suppose(isSame, `it records ${decision.mode}; its inputs give ${verdict.mode} or otherwise differ`);
}

/** A position as a text that orders as the number does. */
function place(position: bigint): string {
  return position.toString(16).padStart(16, "0");
}

function chainOf(chains: Chains, organisation: Hex): Chain {
  const chain = chains.get(organisation);
  if (chain === undefined) throw new Error(`the chain of ${short("org", organisation)}, which it rests on, was left out`);
  return chain;
}

/** A head that a decider knew, and what the chain under it adds up to. */
interface Opened {
  head: Head;
  state: OrganisationState;
}

/** The head that a decider knew of a chain is an earlier one of the chain that is here. */
async function checkBasis(chains: Chains, basis: Basis): Promise<Opened> {
  const name = short("org", basis.organisation);
  const chain = chainOf(chains, basis.organisation);
  const head = await chain.state.epochs.openHead(basis.head);
  const isOne = head.organisation === basis.organisation && contradiction(head, chain.head) === undefined;
  suppose(isOne, `its head of ${name} contradicts the one in this bundle`);
  await chain.checkBeginning(head.size, head.root);
  const state = OrganisationState.under(chain.statements, head.size);
  const isWhole = state.standing === head.standing;
  suppose(isWhole, `its head of ${name}: the standing statements do not give that head's digest`);
  return { head, state };
}

/** What was known under these heads, with the cosignatures that stood beside them. */
async function knowledgeOf(chains: Chains, decision: Decision, heads: Map<Hex, Opened>): Promise<Knowledge> {
  const witnesses = new Map<Hex, PublicKey>(
    [...heads].map(([organisation, { state }]) => [organisation, state.description["witness-key"]]),
  );
  const knowledge: Knowledge = new Map();
  for (const { organisation, cosignatures, seen: confirmed } of decision.basis) {
    const opened = heads.get(organisation);
    if (opened === undefined) continue;
    const { head, state } = opened;
    const seen = await cosignaturesBeside(head.note, cosignatures, organisation, witnesses);
    const standing = standingUnder(chainOf(chains, organisation).statements, head.size);
    knowledge.set(organisation, { state, standing, seen, confirmed });
  }
  return knowledge;
}
