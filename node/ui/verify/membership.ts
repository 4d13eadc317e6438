/**
 * Who is a member of a mesh and under which terms, as the statements in the chains say, and who witnesses which chain. The
 * same fold over what had been said by some second gives the membership of that time.
 */

import { type Bytes, type Hex, compare, compareText, fromHex, toHex, u64be, utf8 } from "./bytes.js";
import type { Seen } from "./cosignature.js";
import { blake3In } from "./digest.js";
import { show } from "./ids.js";
import { type Charter, type Terms, highestThreshold } from "./payload/mesh.js";
import { type Ballot, History, type Said, last } from "./standing.js";
import type { Verified } from "./state.js";

/** Most witnesses of one chain where the charter does not say. */
const WITNESSES = 7;
/** Most votes of one member about one thing that are remembered, the latest ones. */
const VOTES_KEPT_MAX = 32;

/** A second after everything that is said here. */
const ALWAYS = (1n << 64n) - 1n;

type By<T> = Map<Hex, Said<T>>;

function say<T>(by: By<T>, author: Hex, time: bigint, what: T, key: string): void {
  const said = [...(by.get(author) ?? []), { time, what, key }];
  if (said.length > VOTES_KEPT_MAX) {
    // What says the same again adds nothing. Else what was said first is forgotten first.
    const again = said.findIndex((one, index) => one.key === said[index - 1]?.key);
    said.splice(Math.max(again, 0), 1);
  }
  by.set(author, said);
}

function inside<K, T>(map: Map<K, By<T>>, key: K): By<T> {
  const found = map.get(key) ?? new Map();
  map.set(key, found);
  return found;
}

/** Members and terms at one time. */
interface Era {
  terms: Terms;
  members: Hex[];
}

export class Membership {
  /** By the organisation voted about, then by the voter. */
  private readonly votes = new Map<Hex, By<Ballot>>();
  /** By version, then by the voter. */
  private readonly amendments = new Map<bigint, By<Terms>>();
  private readonly departures: By<Hex> = new Map();
  private readonly parents = new Map<Hex, string>();

  /** The statements are in the order of their chains. */
  constructor(
    private readonly mesh: Hex,
    private readonly charter: Charter,
    statements: Verified[],
  ) {
    for (const { statement, payload, organisation } of statements) {
      const time = statement.header.issuedAt;
      if (payload.kind === "organisation") {
        const { parent } = payload.says.content;
        if (parent === undefined) this.parents.delete(organisation);
        else this.parents.set(organisation, parent);
      } else if (payload.kind === "admission" && payload.says.mesh === mesh) {
        const { ballot, after } = payload.says;
        const votes = inside(this.votes, payload.says.organisation);
        say(votes, organisation, time, { ballot, after }, `${ballot} ${after ?? ""}`);
      } else if (payload.kind === "amendment" && payload.says.mesh === mesh) {
        const { version, terms } = payload.says;
        const amendments = inside(this.amendments, version);
        say(amendments, organisation, time, terms, toHex(this.digest(version, terms)));
      } else if (payload.kind === "leave" && payload.says.mesh === mesh) {
        say(this.departures, organisation, time, statement.id, statement.id);
      }
    }
  }

  /** The terms in force, as everything here says. */
  get terms(): Terms {
    return this.era(ALWAYS).terms;
  }

  /** When a quorum of the chain's witnesses had seen a head: each counts if it was one when it signed, and no other decides. */
  witnessed(chain: Hex, seen: Seen): bigint | undefined {
    const inOrder = [...seen].sort(([one, at], [other, then]) =>
      at === then ? compareText(one, other) : at < then ? -1 : 1,
    );
    let counted = 0;
    for (const [witness, time] of inOrder) {
      const era = this.era(time);
      const witnesses = this.witnesses(era, chain);
      if (!witnesses.includes(witness)) continue;
      counted += 1;
      const quorum = Math.min(era.terms["witness-quorum"], witnesses.length);
      if (quorum > 0 && counted >= quorum) return time;
    }
    return undefined;
  }

  /** The members that suit a chain best, of which no two declare one parent, nor that of the chain's organisation. */
  private witnesses({ terms, members }: Era, chain: Hex): Hex[] {
    const own = members.includes(chain) ? this.group(chain) : undefined;
    const score = (member: Hex): Bytes =>
      blake3In("counterfoil 2026 choice of witnesses v1", fromHex(this.mesh), fromHex(chain), fromHex(member));
    const scored = members
      .filter((member) => member !== chain && this.group(member) !== own)
      .map((member) => ({ member, score: score(member) }))
      .sort((one, other) => compare(other.score, one.score));
    const groups = new Set<Hex>();
    const chosen: Hex[] = [];
    for (const { member } of scored) {
      const group = this.group(member);
      if (chosen.length < (terms.witnesses ?? WITNESSES) && !groups.has(group)) {
        groups.add(group);
        chosen.push(member);
      }
    }
    return chosen;
  }

  /** What members with one declared parent have in common. */
  private group(member: Hex): Hex {
    return toHex(blake3In("counterfoil 2026 parent v1", utf8(this.parents.get(member) ?? show("org", member))));
  }

  /** Terms follow terms, version by version; then those are left out who have left or whom enough members voted out. */
  private era(until: bigint): Era {
    let terms: Terms = this.charter;
    let admitted = this.admitted(terms, until);
    for (let version = 1n; ; version += 1n) {
      const next = this.accepted(terms, version, admitted, until);
      if (next === undefined) break;
      terms = next;
      admitted = this.admitted(terms, until);
    }
    const enough = terms["admission-threshold"];
    const members = [...admitted].filter((member) =>
      this.history(admitted, member, until).isIn(this.charter.members.includes(member), enough),
    );
    return { terms, members };
  }

  /** Founders, and those whom enough of them and of each other have voted for. */
  private admitted(terms: Terms, until: bigint): Set<Hex> {
    const admitted = new Set(this.charter.members);
    for (let before = -1; before !== admitted.size; ) {
      before = admitted.size;
      for (const candidate of this.votes.keys()) {
        const history = this.history(admitted, candidate, until);
        if (history.wasAdmitted(terms["admission-threshold"])) admitted.add(candidate);
      }
    }
    return admitted;
  }

  /** What was said about an organisation by then, by itself and by those whose votes count. */
  private history(voters: Set<Hex>, about: Hex, until: bigint): History {
    const votes = [...(this.votes.get(about) ?? [])].filter(([voter]) => voters.has(voter));
    return new History(
      votes.map(([, said]) => said),
      this.departures.get(about) ?? [],
      until,
    );
  }

  /** The terms of this version that enough members ask for; of several those with the most votes. */
  private accepted(terms: Terms, version: bigint, admitted: Set<Hex>, until: bigint): Terms | undefined {
    const found = new Map<Hex, { terms: Terms; votes: number }>();
    for (const [voter, said] of this.amendments.get(version) ?? []) {
      const asked = last(said, until);
      if (asked === undefined || !admitted.has(voter)) continue;
      const digest = toHex(this.digest(version, asked));
      found.set(digest, { terms: asked, votes: (found.get(digest)?.votes ?? 0) + 1 });
    }
    const enough = terms["amendment-threshold"] ?? terms["admission-threshold"];
    const [first] = [...found]
      .filter(([, { terms: asked, votes }]) => votes >= enough && highestThreshold(asked) <= admitted.size)
      .sort(([one, { votes }], [other, { votes: others }]) => others - votes || compareText(one, other));
    return first?.[1].terms;
  }

  private digest(version: bigint, terms: Terms): Bytes {
    const numbers = [
      version,
      terms["admission-threshold"],
      terms["amendment-threshold"] ?? 0,
      terms["witness-quorum"],
      terms.witnesses ?? 0,
      terms["freshness-s"],
      terms["link-answer-s"],
      terms["on-fork"] === "keep" ? 1 : 0,
    ];
    const encoded = numbers.map((number) => u64be(BigInt(number)));
    return blake3In("counterfoil 2026 amendment v1", fromHex(this.mesh), ...encoded);
  }
}
