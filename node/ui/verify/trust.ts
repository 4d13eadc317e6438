/**
 * The auditor's trust file: whose chains are meant, and whose cosignatures count. It has the form of a C2SP tlog-policy,
 * with lines for organisations added:
 *
 * ```text
 * log <vkey> [url]
 * witness <name> <vkey> [url]
 * group <name> all|any|<k> <witness or group>...
 * quorum <witness or group>|none
 * organisation <org id> [what it is called here]
 * ```
 */

import { type Hex, utf8 } from "./bytes.js";
import type { Chain, Chains } from "./chain.js";
import { logKey } from "./checkpoint.js";
import { witnessKey } from "./cosignature.js";
import { readId, short } from "./ids.js";
import { LABEL_BYTES_MAX, NOTE_BYTES_MAX } from "./limits.js";
import { parseVerifierKey, showVerifierKey } from "./note.js";
import type { Report } from "./report.js";

const GROUP_DEPTH_MAX = 8;

/** How many of these witnesses and groups. */
interface Group {
  need: number;
  members: string[];
}

export class TrustFile {
  private readonly logs = new Set<string>();
  /** Verifier keys by name. */
  private readonly witnesses = new Map<string, string>();
  private readonly groups = new Map<string, Group>();
  private quorum: string | undefined;
  private readonly organisations = new Set<Hex>();

  static async parse(text: string): Promise<TrustFile> {
    if (utf8(text).length > NOTE_BYTES_MAX) throw new Error(`a trust file has at most ${NOTE_BYTES_MAX} bytes`);
    const file = new TrustFile();
    for (const [at, line] of text.split("\n").entries()) {
      const words = line.split(/\p{White_Space}+/u).filter((word) => word !== "");
      if (words[0] === undefined || words[0].startsWith("#")) continue;
      try {
        await file.line(words[0], words.slice(1));
      } catch (error) {
        throw new Error(`line ${at + 1}: ${(error as Error).message}`);
      }
    }
    return file;
  }

  private async line(what: string, words: string[]): Promise<void> {
    const [one, two] = words;
    if (what === "log" && (words.length === 1 || words.length === 2)) {
      this.logs.add(await verifier(one));
    } else if (what === "witness" && one !== undefined && (words.length === 2 || words.length === 3)) {
      this.claim(one);
      this.witnesses.set(one, await verifier(two));
    } else if (what === "group" && one !== undefined && two !== undefined) {
      this.claim(one);
      this.groups.set(one, this.group(two, words.slice(2)));
    } else if (what === "quorum" && one !== undefined && words.length === 1) {
      if (one !== "none" && !this.knows(one)) throw new Error(`${one} is no witness or group of an earlier line`);
      this.quorum = one === "none" ? undefined : one;
    } else if (what === "organisation" && one !== undefined) {
      const id = readId("org", one);
      if (id === undefined) throw new Error(`${one} is not an id of the form org:<52 lower-case base32 characters>`);
      this.organisations.add(id);
    } else {
      throw new Error(`${what} is not log, witness, group, quorum or organisation with what belongs to it`);
    }
  }

  private group(need: string, members: string[]): Group {
    const count = need === "all" ? members.length : need === "any" ? 1 : /^\+?\d+$/.test(need) ? Number(need) : NaN;
    if (!(count > 0 && count <= members.length)) throw new Error(`${need} of ${members.length} members can never decide anything`);
    // Members come before the groups that name them, so no group can hold itself.
    const unknown = members.find((member) => !this.knows(member));
    if (unknown !== undefined) throw new Error(`${unknown} is no witness or group of an earlier line`);
    return { need: count, members };
  }

  private knows(name: string): boolean {
    return this.witnesses.has(name) || this.groups.has(name);
  }

  private claim(name: string): void {
    if (this.knows(name) || name === "none" || utf8(name).length > LABEL_BYTES_MAX) throw new Error(`${name} is taken or no name`);
  }

  private isSatisfied(name: string, signed: Set<string>, depth: number): boolean {
    const witness = this.witnesses.get(name);
    if (witness !== undefined) return signed.has(witness);
    const group = depth <= GROUP_DEPTH_MAX ? this.groups.get(name) : undefined;
    if (group === undefined) return false;
    return group.members.filter((member) => this.isSatisfied(member, signed, depth + 1)).length >= group.need;
  }

  /** Holds the chains against what the auditor trusts. */
  async check(chains: Chains, report: Report): Promise<void> {
    for (const [organisation, chain] of chains) {
      const input = short("org", organisation);
      const keys = chain.state.epochs.keys.map(async (key) => showVerifierKey(await logKey(organisation, key)));
      const logs = await Promise.all(keys);
      if (this.organisations.has(organisation) || logs.some((log) => this.logs.has(log))) report.pass("trust", input, "the trust file names it");
      else report.fail("trust", input, "the trust file names neither the organisation nor its log key");
      if (this.quorum === undefined) continue;
      if (this.isSatisfied(this.quorum, await signers(chains, chain), 0)) {
        report.pass("trust-quorum", input, `${this.quorum} had seen its head`);
      } else {
        report.fail("trust-quorum", input, `${this.quorum} of the trust file had not seen its head`);
      }
    }
  }
}

async function verifier(text: string | undefined): Promise<string> {
  const found = await parseVerifierKey(text ?? "");
  if (found === undefined) throw new Error(`${text} is no verifier key`);
  return showVerifierKey(found);
}

/** The verifier keys of those whose cosignatures on a chain's head were verified. */
async function signers(chains: Chains, chain: Chain): Promise<Set<string>> {
  const found = new Set<string>();
  for (const witness of chain.seen.keys()) {
    const key = chains.get(witness)?.state.description["witness-key"];
    if (key !== undefined) found.add(showVerifierKey(await witnessKey(witness, key)));
  }
  return found;
}
