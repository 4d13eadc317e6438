/** From one piece of evidence to its weight vector in parts per million, step by step. */

import { compareText } from "../bytes.js";
import type { Evidence } from "../admissibility/evidence.js";
import type { Observation } from "../payload/observation.js";
import type { DIMENSIONS, Profile } from "../payload/profile.js";
import { since } from "../times.js";
import { corroboration } from "./corroboration.js";
import { recency } from "./recency.js";

export type Dimension = (typeof DIMENSIONS)[number];
export type Weight = Record<Dimension, number>;

export interface Step {
  dimension: Dimension;
  found: string;
  value: number;
}

export interface Weighed {
  weight: Weight;
  derivation: Step[];
}

const FULL = 1_000_000;

/** Corroboration depends on what else there is: it starts with this item alone. */
export function weigh(evidence: Evidence, time: bigint, halfLife: bigint, rubric: Profile["quality"]): Weighed {
  const age = since(time, evidence.observation.effective);
  const derivation: Step[] = [
    { dimension: "quality", ...quality(evidence.observation.metrics, rubric) },
    { dimension: "provenance", ...provenance(evidence) },
    { dimension: "recency", found: `${age} s old, half-life ${halfLife} s`, value: recency(age, halfLife) },
    { dimension: "authority", ...authority(evidence) },
    { dimension: "corroboration", found: "by itself", value: corroboration(1) },
  ];
  const weight = Object.fromEntries(derivation.map(({ dimension, value }) => [dimension, value])) as Weight;
  return { weight, derivation };
}

type Found = Omit<Step, "dimension">;

/** How a profile reads a metric: nothing up to the floor, everything from the target on, straight in between. */
export function rated(ppm: bigint, { floor, target }: { floor: bigint; target: bigint }): number {
  if (floor === target) return ppm >= target ? FULL : 0;
  const parts = ((ppm - floor) * BigInt(FULL)) / (target - floor);
  return parts < 0n ? 0 : parts > BigInt(FULL) ? FULL : Number(parts);
}

/** The worst of the metrics that the rubric knows; full where it asks for none. */
function quality(metrics: Observation["metrics"], rubric: Profile["quality"]): Found {
  if (rubric.size === 0) return { found: "the profile declares no rubric", value: FULL };
  const known = metrics.flatMap(({ name, ppm }) => {
    const scale = rubric.get(name);
    return scale === undefined ? [] : [{ name, ppm, value: rated(ppm, scale) }];
  });
  known.sort((one, other) => {
    if (one.value !== other.value) return one.value - other.value;
    return compareText(one.name, other.name) || (one.ppm < other.ppm ? -1 : one.ppm > other.ppm ? 1 : 0);
  });
  const [worst] = known;
  if (worst === undefined) return { found: "none of the rubric's metrics is declared", value: FULL };
  return { found: `${worst.name} is ${worst.ppm} ppm`, value: worst.value };
}

const DOCUMENT = {
  unsigned: ["its document is not signed", 600_000],
  unverified: ["its document's signature is not verified", 650_000],
  verified: ["its document's signature is verified", 950_000],
  "verified-and-logged": ["its document is verified and logged", FULL],
} as const;

/** The ladder of proven origin. An imported document stands no higher than its own signature allows. */
function provenance({ recognition, receipt, observation }: Evidence): Found {
  const [how, proven] =
    recognition === "unrecognised"
      ? (["signed by an unrecognised authority", 200_000] as const)
      : receipt === "none"
        ? (["signed by a recognised authority", 500_000] as const)
        : receipt === "receipted"
          ? (["recognised and in a chain", 800_000] as const)
          : (["recognised, in a chain, witnessed by a quorum", FULL] as const);
  const [document, limit] = observation.source === undefined ? (["first-hand", FULL] as const) : DOCUMENT[observation.source.signature];
  return { found: `${how}; ${document}`, value: Math.min(proven, limit) };
}

const KINDS = {
  "human-role": ["human role", FULL],
  "external-body": ["external body", FULL],
  service: ["service", 800_000],
  sensor: ["sensor", 800_000],
  model: ["model", 600_000],
} as const;

export const STANDING = {
  "in-force": "in force",
  "not-yet-valid": "not valid yet",
  expired: "expired",
  suspended: "suspended",
  revoked: "revoked",
  compromised: "signed after its key was compromised",
  unknown: "unknown",
} as const;

/**
 * By kind, less a tenth for each level of delegation, and no more than a recognition lets it count for; nothing where the
 * credential is not in force.
 */
function authority({ standing, kind, role, depth, cap }: Evidence): Found {
  if (standing !== "in-force") return { found: `its credential is ${STANDING[standing]}`, value: 0 };
  const [name, base] = KINDS[kind];
  const value = Math.max(0, base - (base / 10) * depth);
  const found = `${name} ${role}, ${depth} levels below the root`;
  if (cap !== undefined && cap < value) return { found: `${found}, capped by its recognition`, value: cap };
  return { found, value };
}
