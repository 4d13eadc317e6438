/** Going along one chain: every statement in its position, every piece of the tree in its place. */

import { type Bytes, type Hex, equal } from "./bytes.js";
import type { Entry, Section } from "./bundle.js";
import type { Seen } from "./cosignature.js";
import { checkDisclosures } from "./disclosure.js";
import type { Head } from "./head.js";
import { show, short } from "./ids.js";
import { isStanding } from "./kind.js";
import { DISCLOSED_MAX } from "./limits.js";
import type { Recovery } from "./payload/identity.js";
import { type Report, message } from "./report.js";
import { OrganisationState, Refusal, type Verified } from "./state.js";
import { parseStatement } from "./statement.js";
import { GrowingTree, checkConsistency, statementLeaf } from "./tree.js";

/** One chain of a bundle, verified. */
export class Chain {
  private readonly byId: Map<Hex, Verified>;
  private readonly byPosition: Map<bigint, Verified>;
  /** Who had seen its head. */
  seen: Seen = new Map();

  constructor(
    readonly head: Head,
    readonly state: OrganisationState,
    /** In the order of their positions. */
    readonly statements: Verified[],
    /** Positions of single statements that are not here. */
    readonly withheld: Set<bigint>,
    private readonly earlier: Map<bigint, Bytes[]>,
  ) {
    this.byId = new Map(statements.map((one) => [one.statement.id, one]));
    this.byPosition = new Map(statements.map((one) => [one.position, one]));
  }

  find(id: Hex): Verified | undefined {
    return this.byId.get(id);
  }

  at(position: bigint): Verified | undefined {
    return this.byPosition.get(position);
  }

  /** Checks that a tree of this size and root is the beginning of this chain. */
  async checkBeginning(size: bigint, root: Bytes): Promise<void> {
    const proof = this.earlier.get(size) ?? (size === this.head.size ? [] : undefined);
    if (proof === undefined) throw new Error(`there is no proof that leads from size ${size} to the head`);
    await checkConsistency(size, root, this.head.size, this.head.root, proof);
  }
}

/** All chains of a bundle, by organisation. */
export type Chains = Map<Hex, Chain>;

/** Every statement, chain by chain. */
export function all(chains: Chains): Verified[] {
  return [...chains.values()].flatMap((chain) => chain.statements);
}

export function find(chains: Chains, id: Hex): Verified | undefined {
  for (const chain of chains.values()) {
    const found = chain.find(id);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A check that failed on a chain, so that nothing may rest on it. */
class Failure extends Error {
  constructor(
    readonly check: string,
    what: string,
    readonly position?: bigint,
  ) {
    super(what);
  }
}

/** Does what may fail under the name of the check that it is a part of. */
async function under<T>(check: string, what: () => T | Promise<T>, position?: bigint): Promise<T> {
  try {
    return await what();
  } catch (error) {
    throw new Failure(error instanceof Refusal ? error.check : check, message(error), position);
  }
}

/** How many sealed claims a bundle has disclosed so far. */
export interface Disclosed {
  count: number;
}

/** Verifies one chain; reports why not, and gives nothing, where it does not verify. */
export async function verifyChain(
  section: Section,
  entries: Entry[],
  disclosed: Disclosed,
  report: Report,
): Promise<Chain | undefined> {
  const input = short("org", section.organisation);
  try {
    const chain = await walk(section, entries, disclosed);
    const { size } = chain.head;
    const standing = chain.statements.filter((one) => isStanding(one.payload.kind)).length;
    report.pass("head", input, `signed by the chain key, ${size} statements`);
    report.pass("statements", input, `${chain.statements.length} of ${size}, each signed by an authority in force, each in its place`);
    for (const { payload, position } of chain.statements) {
      const recovery = payload.kind === "organisation" ? payload.says.content.recovery : undefined;
      if (recovery !== undefined) report.pass("recovery", input, recovered(position, recovery));
    }
    report.pass("completeness", input, `all ${standing} statements that change what others may rely on are here`);
    return chain;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const place = error.position === undefined ? input : `${input} position ${error.position}`;
    report.fail(error.check, place, error.message);
    report.fail("chain", input, "the chain does not verify, so nothing rests on it");
    return undefined;
  }
}

/** What a recovery means for whoever reads the chain. */
function recovered(position: bigint, { head, reason, asked, alone }: Recovery): string {
  const others = alone
    ? `not all other members of its mesh were asked; ${asked.length} hold nothing later`
    : `all ${asked.length} other members of its mesh said that they hold nothing later`;
  return (
    `at position ${position} it goes on with a new chain key, from a head of ${head.size} statements; ` +
    `whatever the former key signed beyond that was given up (${reason}); ${others}`
  );
}

async function walk(section: Section, entries: Entry[], disclosed: Disclosed): Promise<Chain> {
  const earlier = new Map(section.earlier.map(({ size, proof }) => [size, proof]));
  const sizes = section.earlier.map(({ size }) => size);
  if (sizes.some((size, n) => size <= (sizes[n - 1] ?? -1n))) {
    throw new Failure("file-form", "the earlier sizes do not ascend");
  }
  const tree = new GrowingTree();
  const statements: Verified[] = [];
  const withheld = new Set<bigint>();
  let state: OrganisationState | undefined;
  for (const entry of entries) {
    const position = tree.size;
    if ("statement" in entry) {
      state ??= await begin(entry.statement, section.organisation);
      const verified = await take(state, entry.statement, entry.disclosures, position);
      await checkRecovery(verified, tree);
      statements.push(verified);
      count(entry.disclosures, disclosed, position);
      await tree.append(0n, await statementLeaf(entry.statement));
    } else {
      await under("inclusion", () => tree.append(entry.level, entry.hash), position);
      if (state === undefined) throw new Failure("inception", "the chain's inception is missing", position);
      if (entry.level === 0n) withheld.add(position);
      state.skipTo(tree.size);
    }
  }
  if (state === undefined) throw new Failure("inception", "the chain's inception is missing");
  const head = await finish(section, tree, state);
  // The head's own size needs no proof: what stood beside it, nobody would check.
  const beyond = sizes.find((size) => size >= head.size);
  if (beyond !== undefined) {
    throw new Failure("file-form", `an earlier size is ${beyond}, and the head's is ${head.size}`);
  }
  return new Chain(head, state, statements, withheld, earlier);
}

/** The first entry is the inception of the organisation. */
async function begin(first: Bytes, organisation: Hex): Promise<OrganisationState> {
  const inception = await under("statement-form", () => parseStatement(first), 0n);
  const state = await under("inception", () => OrganisationState.founded(inception), 0n);
  if (state.id !== organisation) {
    throw new Failure("inception", `it is the inception of ${show("org", state.id)}`, 0n);
  }
  return state;
}

/** Takes the next statement, which has to be one that may stand here. */
async function take(state: OrganisationState, bytes: Bytes, disclosures: Bytes[], position: bigint): Promise<Verified> {
  const statement = await under("statement-form", () => parseStatement(bytes), position);
  const verified = await under("statement", () => state.admit(statement), position);
  if (disclosures.length > 0) {
    const { payload } = verified;
    if (payload.kind !== "observation") throw new Failure("disclosure", "it is no observation", position);
    await under("disclosure", () => checkDisclosures(payload.says.sealed, disclosures), position);
  }
  return verified;
}

/** Where the chain key was replaced, the tree so far goes on from the head that is named. */
async function checkRecovery({ payload, position }: Verified, tree: GrowingTree): Promise<void> {
  const recovery = payload.kind === "organisation" ? payload.says.content.recovery : undefined;
  if (recovery === undefined) return;
  const { head, proof } = recovery;
  const root = await tree.root();
  await under("recovery", () => checkConsistency(head.size, head.root, position, root, proof), position);
}

function count(disclosures: Bytes[], disclosed: Disclosed, position: bigint): void {
  if (disclosures.length > 0 && disclosed.count > DISCLOSED_MAX) {
    throw new Failure("size", `it discloses more than ${DISCLOSED_MAX} sealed claims`, position);
  }
  disclosed.count += disclosures.length;
}

/** The head, signed by the chain's key, has exactly the tree that the entries make up. */
async function finish(section: Section, tree: GrowingTree, state: OrganisationState): Promise<Head> {
  const head = await under("head", () => state.epochs.openHead(section.head));
  if (tree.size !== head.size) {
    throw new Failure("inclusion", `the entries make a tree of ${tree.size}, the head has one of ${head.size}`);
  }
  if (!equal(await tree.root(), head.root)) {
    throw new Failure("inclusion", "the entries lead to another root than the head's");
  }
  if (state.standing !== head.standing) {
    throw new Failure(
      "completeness",
      "a credential, revocation, vote, profile, recall or the like was left out or added",
    );
  }
  return head;
}
