/** What a case consists of: evidence, and findings that speak against going ahead. */

import type { Hex } from "../bytes.js";
import type { EdgeKind, SubjectKey } from "../lineage/edges.js";
import type { Request } from "../payload/actuation.js";
import type { Credential } from "../payload/identity.js";
import type { Observation } from "../payload/observation.js";
import type { Recognition } from "../payload/mesh.js";
import type { Composition, Profile } from "../payload/profile.js";
import type { Standing } from "../state.js";
import type { Governance } from "./declared.js";

/** A foreign term, and the own one that it is read as. */
export interface Term {
  foreign: string;
  own: string;
}

/** What a recognition made of a statement's terms; of those that it maps. */
export interface Translation {
  by: Hex;
  role: Term | undefined;
  claim: Term | undefined;
}

/** What comes of it that evidence is another organisation's. */
export interface Crossing {
  recognition: "own" | "recognised" | "unrecognised";
  translation: Translation | undefined;
  /** The most that its signer counts for in the dimension of authority. */
  cap: number | undefined;
}

/** One observation, with all that decides what it is worth. Role and claim are in the decider's terms. */
export interface Evidence extends Crossing {
  statement: Hex;
  organisation: Hex;
  authority: Hex;
  kind: Credential["kind"];
  role: string;
  /** Levels of delegation below the root keys. */
  depth: number;
  standing: Standing;
  observation: Observation;
  /** The edges over which it is reached; none where it is about the subject itself. */
  path: EdgeKind[];
  receipt: "none" | "receipted" | { witnessed: bigint };
  /** The parent that the organisation declares. */
  parent: string | undefined;
  /** How old what is known of its chain is, in seconds, where that is too old. */
  stale: bigint | undefined;
  /** Since when its organisation, where it was asked, is unreachable, if what is known of its chain is too old. */
  unreachable: bigint | undefined;
  /** Why the agreement that it is limited to does not let it be used. */
  barred: string | undefined;
}

export interface Finding {
  kind: "recall" | "adverse" | "fork" | "dispute";
  organisation: Hex;
  statement?: Hex;
  /** Evidence that it takes the ground from. */
  evidence: Hex[];
  subjects: SubjectKey[];
  reason: string;
}

export interface DeclaredProfile {
  declaredBy: Hex;
  profile: Profile;
}

export interface Unheard {
  organisation: Hex;
  since: bigint | undefined;
}

/** An organisation that cannot be heard, and the decider's recognitions of it, in their order, where they count. */
export interface Silence extends Unheard {
  recognitions: Recognition[];
}

/** All that a verdict depends on. */
export interface Case {
  request: Request;
  time: bigint;
  profiles: DeclaredProfile[];
  composition: Composition;
  evidence: Evidence[];
  findings: Finding[];
  /** Organisations that cannot be heard, in the order of their ids, with when each was last confirmed, if it ever was. */
  unheard: Silence[];
  /** What governs the action besides profiles. */
  governance: Governance;
}
