/**
 * Whether an organisation that cannot be heard might say what a requirement asks for, as the decider would read it.
 *
 * Patterns and names tell only so many kinds of terms apart, and one of each is tried: each name itself, and for each pattern
 * a term that begins like it and goes on like no other.
 */

import type { Recognition } from "../payload/mesh.js";
import { matches } from "../payload/parts.js";

/** What no label goes on with. */
const ONWARD = "\u{10ffff}";

function kindsOf(patterns: string[], names: Map<string, string>): string[] {
  const terms = patterns.map((pattern) => (pattern.endsWith("*") ? pattern.slice(0, -1) + ONWARD : pattern));
  return [...new Set([...terms, ...names.keys()])];
}

const isAmong = (patterns: string[], term: string): boolean => patterns.some((pattern) => matches(pattern, term));

function covers(recognition: Recognition, role: string, claim: string): boolean {
  const { roles, claims, "role-map": roleMap, "claim-map": claimMap } = recognition;
  const isAnyRole = roles.length === 0 && roleMap.size === 0;
  return (claimMap.has(claim) || isAmong(claims, claim)) && (isAnyRole || roleMap.has(role) || isAmong(roles, role));
}

/** Recognitions are of one organisation, in their order: the latest that covers a role and a claim decides about them. */
export function mayCount(recognitions: Recognition[], claims: string[], roles: string[]): boolean {
  const asked = roles.length > 0 ? roles : ["*"];
  return recognitions.some((one, at) => {
    const { "role-map": roleMap, "claim-map": claimMap } = one;
    const said = kindsOf([...one.claims, ...claims], claimMap).filter((claim) => isAmong(claims, claimMap.get(claim) ?? claim));
    const speakers = kindsOf([...one.roles, ...asked], roleMap).filter((role) => isAmong(asked, roleMap.get(role) ?? role));
    const isLatest = (role: string, claim: string): boolean =>
      covers(one, role, claim) && !recognitions.slice(at + 1).some((other) => covers(other, role, claim));
    return !one.withdrawn && speakers.some((role) => said.some((claim) => isLatest(role, claim)));
  });
}
