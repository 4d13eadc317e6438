/**
 * Decisions, held against what they say they rest on. What follows from that is not computed anew here: each decision
 * that passes is reported as not proven, and so is each expression of a profile, which is not compiled.
 */

import type { Hex } from "./bytes.js";
import { type Chain, type Chains, all } from "./chain.js";
import { cosignaturesBeside } from "./cosignature.js";
import { type Head, contradiction } from "./head.js";
import { show, short } from "./ids.js";
import type { PublicKey } from "./key.js";
import { isStanding } from "./kind.js";
import type { Basis, Decision } from "./payload/actuation.js";
import { type Report, message } from "./report.js";
import { OrganisationState } from "./state.js";
import { isAscending } from "./statement.js";

const OPEN = "its heads, evidence and profiles are as it says; its verdict was not computed anew here";

/** Names the expressions that nobody looked into. */
export function checkExpressions(chains: Chains, report: Report): void {
  for (const { payload, statement } of all(chains)) {
    if (payload.kind !== "profile") continue;
    for (const [name, { expression }] of payload.says.requirements) {
      if (expression === undefined) continue;
      report.open("expression", show("stmt", statement.id), `the expression of requirement ${name} was not compiled here`);
    }
  }
}

export async function checkDecisions(chains: Chains, forked: Set<Hex>, report: Report): Promise<void> {
  for (const { payload, statement, organisation } of all(chains)) {
    if (payload.kind !== "decision") continue;
    const input = show("stmt", statement.id);
    for (const accused of payload.says.forked.filter((id) => !forked.has(id))) {
      report.open("misbehaviour", input, `no proof that ${short("org", accused)} signed contradicting heads is here`);
    }
    try {
      report.open("decision", input, (await checkInputs(chains, organisation, payload.says)) ?? OPEN);
    } catch (error) {
      report.fail("decision", input, message(error));
    }
  }
}

function suppose(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(otherwise);
}

/** Checks what a decision rests on; gives what of it is not here. */
async function checkInputs(chains: Chains, decider: Hex, decision: Decision): Promise<string | undefined> {
  const heads = new Map<Hex, Head>();
  for (const basis of decision.basis) heads.set(basis.organisation, await checkBasis(chains, basis));
  for (const { organisation, position, statement } of decision.evidence) {
    const found = chains.get(organisation)?.find(statement);
    if (found === undefined) return `${show("stmt", statement)}, which it weighed, is not here`;
    suppose(found.position === position, `${show("stmt", statement)} stands elsewhere than it says`);
    const size = heads.get(organisation)?.size ?? 0n;
    suppose(position < size, `evidence ${show("stmt", statement)} is in none of the chains under the heads given`);
  }
  const sorted = "what it rests on is repeated or out of order";
  suppose(isAscending(decision.basis.map((basis) => basis.organisation)), sorted);
  suppose(isAscending(decision.evidence.map((one) => one.organisation + place(one.position) + one.statement)), sorted);
  suppose(isAscending(decision.forked), sorted);
  await checkWitnesses(chains, decision, heads);
  checkActivation(chains, decider, decision, heads.get(decider)?.size);
  return undefined;
}

/** A position as a text that orders as the number does. */
function place(position: bigint): string {
  return position.toString(16).padStart(16, "0");
}

/** The head that a decider knew of a chain is an earlier one of the chain that is here. */
async function checkBasis(chains: Chains, basis: Basis): Promise<Head> {
  const name = short("org", basis.organisation);
  const chain = chains.get(basis.organisation);
  if (chain === undefined) throw new Error(`the chain of ${name}, which it rests on, was left out`);
  const head = await chain.state.epochs.openHead(basis.head);
  const isOne = head.organisation === basis.organisation && contradiction(head, chain.head) === undefined;
  suppose(isOne, `its head of ${name} contradicts the one in this bundle`);
  await chain.checkBeginning(head.size, head.root);
  const { standing } = OrganisationState.under(chain.statements, head.size);
  suppose(standing === head.standing, `its head of ${name}: the standing statements do not give that head's digest`);
  return head;
}

async function checkWitnesses(chains: Chains, decision: Decision, heads: Map<Hex, Head>): Promise<void> {
  const witnesses = new Map<Hex, PublicKey>();
  for (const organisation of heads.keys()) {
    const key = chains.get(organisation)?.state.description["witness-key"];
    if (key !== undefined) witnesses.set(organisation, key);
  }
  for (const { organisation, cosignatures } of decision.basis) {
    await cosignaturesBeside(heads.get(organisation)?.note ?? "", cosignatures, organisation, witnesses);
  }
}

/** The profiles are those that the decider had activated last. */
function checkActivation(chains: Chains, decider: Hex, decision: Decision, size: bigint | undefined): void {
  const chain: Chain | undefined = chains.get(decider);
  if (chain === undefined || size === undefined) throw new Error("the chain of the decider is not among its heads");
  const standing = chain.statements.filter((one) => isStanding(one.payload.kind) && one.position < size);
  const last = standing.filter((one) => one.payload.kind === "activation").at(-1);
  if (last?.payload.kind !== "activation") throw new Error("no profile is active");
  suppose(last.statement.id === decision.activation, "it names another activation than the one in force");
  for (const id of last.payload.says.profiles) {
    const declared = standing.some((one) => one.statement.id === id && one.payload.kind === "profile");
    suppose(declared, `the activation names ${show("stmt", id)}, which is no profile of this chain`);
  }
}
