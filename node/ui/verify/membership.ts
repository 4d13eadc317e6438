/** Who is a member of a mesh, as the votes in the chains say: its quorum of witnesses follows from that. */

import type { Hex } from "./bytes.js";
import type { Charter } from "./payload/mesh.js";
import type { Verified } from "./state.js";

type Ballot = "admit" | "expel";

/** The votes of each organisation, about each, of which its last one counts. */
function votes(mesh: Hex, statements: Verified[]): Map<Hex, Map<Hex, Ballot>> {
  const found = new Map<Hex, Map<Hex, Ballot>>();
  for (const { payload, organisation } of statements) {
    if (payload.kind !== "admission" || payload.says.mesh !== mesh) continue;
    const about = found.get(payload.says.organisation) ?? new Map<Hex, Ballot>();
    about.set(organisation, payload.says.ballot);
    found.set(payload.says.organisation, about);
  }
  return found;
}

/** The members: founders and those whom enough members admitted, without those whom as many expelled. */
function members(mesh: Hex, charter: Charter, statements: Verified[]): Hex[] {
  const cast = votes(mesh, statements);
  const count = (voters: Set<Hex>, about: Hex, ballot: Ballot): number =>
    [...(cast.get(about) ?? [])].filter(([voter, vote]) => vote === ballot && voters.has(voter)).length;
  const admitted = new Set(charter.members);
  for (let before = -1; before !== admitted.size; ) {
    before = admitted.size;
    for (const candidate of cast.keys()) {
      if (count(admitted, candidate, "admit") >= charter["admission-threshold"]) admitted.add(candidate);
    }
  }
  return [...admitted].filter((member) => count(admitted, member, "expel") < charter["admission-threshold"]);
}

/** How many cosignatures of others a head needs; the statements are in the order of their chains. */
export function witnessQuorum(mesh: Hex, charter: Charter, statements: Verified[]): number {
  return Math.min(charter["witness-quorum"], Math.max(0, members(mesh, charter, statements).length - 1));
}
