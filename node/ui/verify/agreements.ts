/**
 * Agreements: what two or more organisations let cross between them. One proposes in its chain, each other party accepts in
 * its own, and it is in force from its first to its last second while nobody's latest word is that they withdraw.
 */

import type { Hex } from "./bytes.js";
import { show } from "./ids.js";
import type { Kind } from "./kind.js";
import { keyOf, shown } from "./lineage/edges.js";
import type { Agreement } from "./payload/mesh.js";
import { type Subject, matches } from "./payload/parts.js";
import type { Verified } from "./state.js";

/** So many characters of a subject are shown. */
const SHOWN_MAX = 160;

interface Word {
  position: bigint;
  withdrawn: boolean;
}

/** What is to cross: who said what about which subjects, and where the signer acts. */
export interface Crossing {
  author: Hex;
  reader: Hex;
  kind: Kind;
  subjects: Subject[];
  jurisdictions: string[];
}

export class Agreements {
  private readonly proposals = new Map<Hex, { by: Hex; says: Agreement }>();
  /** By agreement and party. */
  private readonly words = new Map<Hex, Map<Hex, Word>>();

  constructor(standing: Verified[]) {
    for (const { payload, statement, organisation, position } of standing) {
      if (payload.kind === "agreement") this.proposals.set(statement.id, { by: organisation, says: payload.says });
      if (payload.kind === "acceptance") this.hear(organisation, position, payload.says);
    }
  }

  private hear(party: Hex, position: bigint, { agreement, withdrawn }: { agreement: Hex; withdrawn: boolean }): void {
    const words = this.words.get(agreement) ?? new Map<Hex, Word>();
    this.words.set(agreement, words);
    const before = words.get(party);
    if (before === undefined || before.position < position) words.set(party, { position, withdrawn });
  }

  /** Why something does not cross under an agreement; nothing where it does. */
  outside(agreement: Hex, time: bigint, what: Crossing): string | undefined {
    const proposal = this.proposals.get(agreement);
    if (proposal === undefined) return `${show("stmt", agreement)} is no agreement that is known here`;
    const { by, says } = proposal;
    return (
      noParty(says, [by]) ??
      this.notInForce(agreement, by, says, time) ??
      noParty(says, [what.author, what.reader]) ??
      notCovered(says, what)
    );
  }

  private notInForce(id: Hex, by: Hex, { parties, from, until }: Agreement, time: bigint): string | undefined {
    if (until !== undefined && time > until) return `the agreement ended at ${until}`;
    for (const party of parties) {
      const word = this.words.get(id)?.get(party);
      if (word?.withdrawn === true) return `${show("org", party)} has withdrawn from the agreement`;
      if (word === undefined && party !== by) return `${show("org", party)} has not accepted the agreement`;
    }
    return time < from ? `the agreement begins at ${from}` : undefined;
  }
}

function noParty({ parties }: Agreement, organisations: Hex[]): string | undefined {
  const other = organisations.find((one) => !parties.includes(one));
  return other === undefined ? undefined : `${show("org", other)} is no party to the agreement`;
}

function notCovered(agreement: Agreement, { kind, subjects, jurisdictions }: Crossing): string | undefined {
  if (!agreement.kinds.includes(kind)) return `the agreement does not cover ${kind} statements`;
  if (agreement.subjects.length > 0) {
    const names = subjects.map((subject) => shown(keyOf(subject), (id) => show("stmt", id)));
    const other = names.find((name) => !agreement.subjects.some((pattern) => matches(pattern, name)));
    if (other !== undefined) return `the agreement does not cover subject ${[...other].slice(0, SHOWN_MAX).join("")}`;
    if (names.length === 0) return "the agreement names subjects, and the statement has none";
  }
  const isSomewhere = agreement.jurisdictions.length === 0 || agreement.jurisdictions.some((one) => jurisdictions.includes(one));
  return isSomewhere ? undefined : "the agreement does not cover the signer's jurisdictions";
}
