/**
 * The fold over a chain's standing statements: which keys and authorities are in force at each position, and who may
 * therefore say what there.
 */

import { type Bytes, type Hex, fromHex, toHex, u64be } from "./bytes.js";
import { blake3In } from "./digest.js";
import { Epochs } from "./epochs.js";
import { show, short } from "./ids.js";
import type { PublicKey } from "./key.js";
import { type Kind, isStanding } from "./kind.js";
import { SUCCESSION_BYTES_MAX } from "./limits.js";
import {
  type Credential,
  type Endorsed,
  type NodeBinding,
  type Organisation,
  type Recovery,
  bindingMessage,
  countApprovals,
  covers,
  widens,
} from "./payload/identity.js";
import { matches } from "./payload/parts.js";
import { type Payload, readPayload } from "./payload/payload.js";
import { type Statement, isAuthentic } from "./statement.js";

/** A statement that was checked in full, at the one position for which it was checked. */
export interface Verified {
  statement: Statement;
  payload: Payload;
  organisation: Hex;
  position: bigint;
  /** Who stands behind it: the root keys, or an authority. */
  signatory: "root" | Hex;
}

/** A statement that may not stand where it stands; `check` names the rule. */
export class Refusal extends Error {
  constructor(
    readonly check: string,
    what: string,
  ) {
    super(what);
  }
}

function identity(holds: boolean, otherwise: string): void {
  if (!holds) throw new Refusal("identity", otherwise);
}

interface Authority {
  credential: Credential;
  issuedAt: bigint;
  /** Levels of delegation below the root keys. */
  depth: number;
  /** From where, and up to where if it was lifted. */
  suspensions: { from: bigint; to?: bigint }[];
  revokedAt?: bigint;
  compromisedSince?: bigint;
  /** When its key may have come into other hands. */
  compromisedAt?: bigint;
}

export type Standing = "in-force" | "not-yet-valid" | "expired" | "suspended" | "revoked" | "compromised" | "unknown";

function isSuspendedAt(authority: Authority, position: bigint): boolean {
  return authority.suspensions.some(({ from, to }) => position >= from && (to === undefined || position < to));
}

export class OrganisationState {
  /** How many positions of the chain lie behind. */
  size = 0n;
  /** The running digest over the standing statements. */
  standing: Hex = "00".repeat(32);
  /** Which chain key signs which sizes of the chain. */
  readonly epochs: Epochs;
  /** Bytes of all organisation statements. */
  private successionBytes = 0;
  private readonly authorities = new Map<Hex, Authority>();
  /** Of which authority each key is or was. */
  private readonly holders = new Map<Hex, Hex>();
  /** Every key that ever had a place in this organisation. */
  private readonly keys = new Map<Hex, PublicKey>();
  private readonly nodes = new Map<Hex, NodeBinding>();
  /** The activation, as its payload's bytes, that each authority stands behind since the last one. */
  private readonly approvals = new Map<Hex, Hex>();

  private constructor(
    readonly id: Hex,
    public description: Organisation,
  ) {
    this.epochs = new Epochs(id, description["chain-key"]);
    this.addRootKeys();
  }

  /** The state before the first statement, which is the one that founds the organisation. */
  static founded(inception: Statement): OrganisationState {
    const { kind, issuer } = inception.header;
    const payload = kind === "organisation" && issuer === undefined ? readPayload(kind, inception.payload) : undefined;
    if (payload?.kind !== "organisation") throw new Error("a chain begins with the inception of its organisation");
    if (payload.says.content.version !== 0n) throw new Error("an inception has version 0");
    return new OrganisationState(inception.id, payload.says.content);
  }

  /** The state when the chain had `size` statements. */
  static under(statements: Verified[], size: bigint): OrganisationState {
    const standing = statements.filter((one) => isStanding(one.payload.kind) && one.position < size);
    const [inception] = standing;
    if (inception === undefined) throw new Error("the chain's inception is missing");
    const state = OrganisationState.founded(inception.statement);
    for (const verified of standing) {
      state.skipTo(verified.position);
      state.apply(verified);
    }
    state.skipTo(size);
    return state;
  }

  private addRootKeys(): void {
    for (const key of this.description["root-keys"]) this.keys.set(key.id, key);
  }

  skipTo(position: bigint): void {
    if (position > this.size) this.size = position;
  }

  /** What is known of an authority. */
  authorityOf(id: Hex): Readonly<Pick<Authority, "credential" | "depth">> | undefined {
    return this.authorities.get(id);
  }

  /**
   * How an authority stands for a statement at a position, which a quorum of witnesses had seen at `witnessed`: what they
   * had seen before the key may have come into other hands stands.
   */
  standingAt(id: Hex, position: bigint, time: bigint, witnessed?: bigint): Standing {
    const authority = this.authorities.get(id);
    if (authority === undefined) return "unknown";
    const { credential, compromisedSince, compromisedAt } = authority;
    const isOlder = witnessed !== undefined && compromisedAt !== undefined && witnessed < compromisedAt;
    if (compromisedSince !== undefined && position >= compromisedSince && !isOlder) return "compromised";
    if (authority.revokedAt !== undefined && position >= authority.revokedAt) return "revoked";
    if (isSuspendedAt(authority, position)) return "suspended";
    if (time < credential.not_before || position < authority.issuedAt) return "not-yet-valid";
    if (credential.expires !== undefined && time > credential.expires) return "expired";
    if (credential.issuer === undefined) return "in-force";
    // What the issuer could not do when it issued, those who stand on its word cannot do; its validity may have ended
    // since, but while it is suspended, so are they.
    const issuers = this.standingAt(credential.issuer, authority.issuedAt, time, witnessed);
    if (issuers !== "in-force" && issuers !== "expired" && issuers !== "not-yet-valid") return issuers;
    const issuer = this.authorities.get(credential.issuer);
    return issuer !== undefined && isSuspendedAt(issuer, position) ? "suspended" : "in-force";
  }

  /** Checks that the statement may stand at the next position, and makes it part of the state. */
  async admit(statement: Statement): Promise<Verified> {
    const key = this.keys.get(statement.header.key);
    if (key === undefined || !(await isAuthentic(statement, key))) {
      const why = key === undefined ? "its key has no place in the organisation" : "the signature does not verify";
      throw new Refusal("signature", why);
    }
    if (statement.organisation !== this.id) {
      throw new Refusal("chain", `it is a statement of ${short("org", statement.organisation)}`);
    }
    const payload = this.read(statement);
    const position = this.size;
    identity(
      (statement.header.issuer === undefined) === (position === 0n),
      "an inception stands at position 0 and nowhere else",
    );
    const signatory = await this.signatory(statement, payload);
    await this.checkRules(payload, signatory);
    if (payload.kind === "activation") this.checkQuorum(statement, signatory);
    const verified = { statement, payload, organisation: this.id, position, signatory };
    this.apply(verified);
    return verified;
  }

  private read(statement: Statement): Payload {
    try {
      return readPayload(statement.header.kind, statement.payload);
    } catch (error) {
      throw new Refusal("payload", `payload of a ${statement.header.kind} statement: ${(error as Error).message}`);
    }
  }

  private async signatory(statement: Statement, payload: Payload): Promise<"root" | Hex> {
    const { header } = statement;
    if (this.description["root-keys"].some((key) => key.id === header.key)) {
      await this.checkRootAct(payload, header.key, statement.bytes.length);
      return "root";
    }
    const holder = this.holders.get(header.key);
    if (holder === undefined) throw new Refusal("key", "its key is neither a root key nor the key of an authority");
    this.checkAuthority(holder, statement, payload);
    return holder;
  }

  private async checkRootAct(payload: Payload, envelope: Hex, bytes: number): Promise<void> {
    switch (payload.kind) {
      case "organisation":
        if (this.size === 0n) return this.checkThreshold(payload.kind, payload.says.endorsed, this.description, envelope);
        await this.checkRotation(payload.says.content, payload.says.endorsed, envelope);
        if (payload.says.content.recovery !== undefined) {
          await this.checkRecovery(payload.says.content, payload.says.content.recovery, bytes);
        }
        return;
      case "credential":
      case "revocation":
      case "suspension":
        return this.checkThreshold(payload.kind, payload.says.endorsed, this.description, envelope);
      case "node":
        return;
      default:
        throw new Refusal("root-act", `root keys do not sign ${payload.kind} statements`);
    }
  }

  private async checkThreshold(kind: Kind, act: Endorsed, of: Organisation, envelope: Hex): Promise<void> {
    const found = await countApprovals(kind, act, of["root-keys"], envelope);
    if (found < of.threshold) {
      throw new Refusal("threshold", `${found} of the ${of.threshold} root keys needed stand behind this ${kind} statement`);
    }
  }

  private async checkRotation(next: Organisation, act: Endorsed, envelope: Hex): Promise<void> {
    const current = this.description;
    identity(next.version === current.version + 1n, `version ${next.version} follows version ${current.version}`);
    await this.checkThreshold("organisation", act, current, envelope);
    await this.checkThreshold("organisation", act, next, envelope);
    const stays = (name: "chain-key" | "witness-key"): boolean => next[name].id === current[name].id;
    const explained = stays("chain-key") || next.recovery !== undefined;
    identity(explained && stays("witness-key"), "a rotation of root keys leaves chain and witness keys alone");
    const known = new Set(current["root-keys"].map((key) => key.id));
    const promised = new Set(current["next-root-keys"]);
    identity(
      next["root-keys"].every((key) => known.has(key.id) || promised.has(key.commitment)),
      `a root key was not committed to by version ${current.version}`,
    );
  }

  /** A recovery names a head that the chain key in force signed, and brings a key that never had a place here. */
  private async checkRecovery(next: Organisation, { head }: Recovery, bytes: number): Promise<void> {
    const { id } = next["chain-key"];
    const isNew = !this.keys.has(id) && this.epochs.keys.every((key) => key.id !== id);
    identity(isNew, "its chain key has a place in this organisation already");
    const isCovered = head.size <= this.size && this.epochs.at(head.size) === this.epochs.latest;
    identity(isCovered, "the base of the recovery is not a head of the epoch that ends here");
    try {
      await this.epochs.verifyHead(head);
    } catch (error) {
      throw new Refusal("identity", `the base of the recovery: ${(error as Error).message}`);
    }
    const fits = this.successionBytes + bytes <= SUCCESSION_BYTES_MAX;
    identity(fits, `the organisation's versions have more than ${SUCCESSION_BYTES_MAX} bytes together`);
  }

  private checkAuthority(holder: Hex, statement: Statement, payload: Payload): void {
    const { header } = statement;
    const name = short("auth", holder);
    // No credential stands for the thresholds and commitments of a rotation.
    if (payload.kind === "organisation") throw new Refusal("root-act", "organisation statements are signed by root keys alone");
    const standing = this.standingAt(holder, this.size, header.issuedAt);
    if (standing !== "in-force") {
      const check = standing === "unknown" ? "credential-in-force" : `credential-${standing}`;
      throw new Refusal(check, `authority ${name} cannot sign at position ${this.size}: ${standing}`);
    }
    const credential = this.authorities.get(holder)?.credential;
    if (credential?.key.id !== header.key) {
      throw new Refusal("former-key", `it is signed with a former key of ${name}`);
    }
    const claim = payload.kind === "observation" ? payload.says.claim : undefined;
    if (!covers(credential, header.kind, claim, header.subject)) {
      throw new Refusal("scope", `the credential of ${name} (role ${credential.role}) does not cover it`);
    }
    const beyond = payload.kind === "credential" ? widens(payload.says.content, credential) : undefined;
    if (beyond !== undefined) throw new Refusal("delegation", `it goes beyond its issuer's credential: ${beyond}`);
  }

  /** Rules of the payloads that this fold reads, whoever signed them. */
  private async checkRules(payload: Payload, signatory: "root" | Hex): Promise<void> {
    switch (payload.kind) {
      case "credential":
        return this.checkCredential(payload.says.content, signatory);
      case "suspension": {
        const { authority, lifted } = payload.says.content;
        const found = this.authority(authority);
        identity(found.revokedAt === undefined, "its authority is revoked; there is nothing to suspend");
        identity(isSuspendedAt(found, this.size) === lifted, lifted ? "it is not suspended" : "it is suspended already");
        return;
      }
      case "revocation": {
        const { authority, compromised_since: since } = payload.says.content;
        identity(this.authority(authority).revokedAt === undefined, "its authority is revoked already");
        identity(since === undefined || since <= this.size, "compromised_since lies in the future");
        return;
      }
      case "status": {
        const all = [...this.authorities].sort(([one], [other]) => (one < other ? -1 : 1));
        const those = (which: (authority: Authority) => boolean): string =>
          all.filter(([, authority]) => which(authority)).map(([id]) => id).join();
        const revoked = those((one) => one.revokedAt !== undefined);
        const suspended = those((one) => one.revokedAt === undefined && isSuspendedAt(one, this.size));
        const { says } = payload;
        identity(
          says.revoked.join() === revoked && says.suspended.join() === suspended,
          "the status is not what the chain says at this position",
        );
        return;
      }
      case "node": {
        const { counter, expires, peer_key: peer, peer_signature: signature } = payload.says;
        const message = bindingMessage(fromHex(this.id), u64be(counter), u64be(expires), peer);
        identity(await peer.verifies(signature, message), "the peer's key did not sign this binding");
        const earlier = this.nodes.get(peer.id);
        identity(earlier === undefined || earlier.counter < counter, "its counter does not exceed the earlier one");
        return;
      }
      default:
    }
  }

  /** As many authorities in force as the organisation asks for stand behind just this activation. */
  private checkQuorum(statement: Statement, signatory: "root" | Hex): void {
    const quorum = this.description["activation-quorum"];
    if (quorum === undefined) return;
    // A payload has one encoding, so the same bytes are the same activation.
    const content = toHex(statement.payload);
    const behind = [...this.authorities].filter(([id, { credential }]) => {
      const counts = quorum.roles.length === 0 || quorum.roles.some((role) => matches(role, credential.role));
      const inForce = this.standingAt(id, this.size, statement.header.issuedAt) === "in-force";
      return counts && inForce && (id === signatory || this.approvals.get(id) === content);
    });
    if (behind.length < quorum.approvals) {
      const found = `${behind.length} of the ${quorum.approvals} approvals needed`;
      throw new Refusal("activation-quorum", `${found} stand behind this activation`);
    }
  }

  private authority(id: Hex): Authority {
    const found = this.authorities.get(id);
    if (found === undefined) throw new Refusal("identity", `${show("auth", id)} is no authority of this organisation`);
    return found;
  }

  private checkCredential(next: Credential, signatory: "root" | Hex): void {
    identity(!this.keys.has(next.key.id), "its key has a place in this organisation already");
    const issuer = signatory === "root" ? undefined : signatory;
    identity(next.issuer === issuer, "the credential names another issuer than the one that signed it");
    if (next.authority === undefined) return;
    const { credential: now, revokedAt } = this.authority(next.authority);
    identity(revokedAt === undefined, "the authority that is to have a new key is revoked");
    identity(
      next.kind === now.kind && next.role === now.role && next.issuer === now.issuer,
      "an authority keeps its kind, role and issuer when it has a new key",
    );
  }

  /** Makes a statement that was checked here part of the state. */
  private apply(verified: Verified): void {
    const { payload, position, statement } = verified;
    switch (payload.kind) {
      case "organisation":
        this.description = payload.says.content;
        if (this.description.recovery !== undefined) this.epochs.begin(position, this.description["chain-key"]);
        this.successionBytes += statement.bytes.length;
        this.addRootKeys();
        break;
      case "credential":
        this.applyCredential(payload.says.content, statement.id, position);
        break;
      case "revocation": {
        const { authority, compromised_since: since, compromised_at: at } = payload.says.content;
        const found = this.authority(authority);
        found.revokedAt = position;
        if (since !== undefined) found.compromisedSince = since;
        if (at !== undefined) found.compromisedAt = at;
        break;
      }
      case "suspension": {
        const { authority, lifted } = payload.says.content;
        const { suspensions } = this.authority(authority);
        const last = suspensions.at(-1);
        if (lifted && last !== undefined) last.to = position;
        else suspensions.push({ from: position });
        break;
      }
      case "node":
        this.nodes.set(payload.says.peer_key.id, payload.says);
        break;
      case "approval":
        if (verified.signatory !== "root") this.approvals.set(verified.signatory, toHex(statement.payload));
        break;
      case "activation":
        this.approvals.clear();
        break;
      default:
    }
    if (isStanding(payload.kind)) this.standing = standingAfter(fromHex(this.standing), position, statement.id);
    this.size = position + 1n;
  }

  private applyCredential(credential: Credential, statement: Hex, position: bigint): void {
    const authority = credential.authority ?? statement;
    const known = this.authorities.get(authority);
    const issuer = credential.issuer === undefined ? undefined : this.authorities.get(credential.issuer);
    const depth = issuer === undefined ? 0 : Math.min(255, issuer.depth + 1);
    if (known !== undefined) known.credential = credential;
    else this.authorities.set(authority, { credential, issuedAt: position, depth, suspensions: [] });
    this.holders.set(credential.key.id, authority);
    this.keys.set(credential.key.id, credential.key);
  }
}

function standingAfter(before: Bytes, position: bigint, statement: Hex): Hex {
  return toHex(blake3In("counterfoil 2026 standing log v1", before, u64be(position), fromHex(statement)));
}
