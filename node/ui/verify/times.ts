/**
 * The time sandwich: when a statement must have been made, whatever its author says. Not after: the earliest moment at
 * which a quorum of witnesses had seen a tree that holds it. Not before: the latest moment at which a witness had seen a
 * head that its chain had embedded before it.
 */

import { type Hex, fromUtf8 } from "./bytes.js";
import { type Chains, all } from "./chain.js";
import { type Seen, cosignaturesBeside } from "./cosignature.js";
import { show } from "./ids.js";
import type { PublicKey } from "./key.js";
import { isStanding } from "./kind.js";
import { Membership } from "./membership.js";
import type { Basis } from "./payload/actuation.js";
import type { Anchor } from "./payload/mesh.js";
import type { StatementTimes } from "./report.js";

/** A size of a chain, and when a quorum had seen it. */
interface Sighting {
  size: bigint;
  at: bigint;
}

/** Seconds from the earlier moment on; none where it is not earlier. */
export function since(time: bigint, earlier: bigint): bigint {
  return time > earlier ? time - earlier : 0n;
}

type Witnesses = Map<Hex, PublicKey>;

function later(one: bigint | undefined, other: bigint | undefined): bigint | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return one > other ? one : other;
}

/** The bounds of every statement, chain by chain in order. */
export async function timesOf(chains: Chains): Promise<StatementTimes[]> {
  const witnesses: Witnesses = new Map([...chains].map(([id, chain]) => [id, chain.state.description["witness-key"]]));
  const sightings = await allSightings(chains, witnesses);
  const found: StatementTimes[] = [];
  for (const [organisation, chain] of chains) {
    const seen = firstSeen(sightings.get(organisation) ?? []);
    let notBefore: bigint | undefined;
    // Positions go up, so trees that end before one hold none of those that follow.
    let next = 0;
    for (const { statement, position, payload } of chain.statements) {
      while ((seen[next]?.size ?? position + 1n) <= position) next += 1;
      found.push({ statement: show("stmt", statement.id), notBefore, notAfter: seen[next]?.at });
      if (payload.kind === "anchor") notBefore = later(notBefore, await embedded(payload.says, witnesses));
    }
  }
  return found;
}

/** For each size, smallest first, when a tree of that size or a larger one was seen first. */
function firstSeen(sightings: Sighting[]): Sighting[] {
  const sorted = [...sightings].sort((one, other) => (one.size < other.size ? -1 : one.size > other.size ? 1 : 0));
  let first: bigint | undefined;
  const reversed = sorted.reverse().map(({ size, at }) => {
    first = first !== undefined && first < at ? first : at;
    return { size, at: first };
  });
  return reversed.reverse();
}

/** The membership of the mesh whose charter is here; nothing where there is none, or more than one. */
function membershipOf(chains: Chains): Membership | undefined {
  const statements = all(chains).filter(({ payload }) => isStanding(payload.kind));
  const [charter, ...others] = statements.filter(({ payload }) => payload.kind === "charter");
  if (charter?.payload.kind !== "charter" || others.length > 0) return undefined;
  return new Membership(charter.statement.id, charter.payload.says, statements);
}

/** The earliest moment at which anybody had seen it. */
function firstTime(seen: Seen): bigint | undefined {
  return [...seen.values()].sort((one, other) => (one < other ? -1 : one > other ? 1 : 0))[0];
}

/**
 * Sizes of each chain that a quorum of its witnesses (anybody, where no mesh says who they are) had seen: from the heads of
 * this bundle and those that decisions embed.
 */
async function allSightings(chains: Chains, witnesses: Witnesses): Promise<Map<Hex, Sighting[]>> {
  const mesh = membershipOf(chains);
  const found = new Map<Hex, Sighting[]>();
  const note = (organisation: Hex, size: bigint, seen: Seen): void => {
    const at = mesh === undefined ? firstTime(seen) : mesh.witnessed(organisation, seen);
    if (at !== undefined) found.set(organisation, [...(found.get(organisation) ?? []), { size, at }]);
  };
  for (const [organisation, chain] of chains) note(organisation, chain.head.size, chain.seen);
  for (const { payload } of all(chains)) {
    if (payload.kind !== "decision") continue;
    for (const basis of payload.says.basis) {
      const sighting = await sightingOf(chains, basis, witnesses).catch(() => undefined);
      if (sighting !== undefined) note(basis.organisation, ...sighting);
    }
  }
  return found;
}

/** The size of a head that a decision embeds, and who had seen it; nothing where the chain is not here. */
async function sightingOf(chains: Chains, basis: Basis, witnesses: Witnesses): Promise<[bigint, Seen] | undefined> {
  const chain = chains.get(basis.organisation);
  if (chain === undefined) return undefined;
  const head = await chain.state.epochs.openHead(basis.head);
  await chain.checkBeginning(head.size, head.root);
  return [head.size, await cosignaturesBeside(head.note, basis.cosignatures, basis.organisation, witnesses)];
}

/** The latest moment at which a witness had seen one of the heads that an anchor embeds. */
async function embedded(anchor: Anchor, witnesses: Witnesses): Promise<bigint | undefined> {
  let latest: bigint | undefined;
  for (const { organisation, checkpoint } of anchor.heads) {
    const note = fromUtf8(checkpoint);
    if (note === undefined) continue;
    const seen = await cosignaturesBeside(note, [], organisation, witnesses).catch((): Seen => new Map());
    for (const at of seen.values()) latest = later(latest, at);
  }
  return latest;
}
