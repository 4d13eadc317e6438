/**
 * Epochs of a chain key: which key signs heads, checkpoints and receipts of which sizes of the chain. An epoch ends with a
 * recovery, which gives up whatever the former key signed beyond the head that it names.
 */

import type { Bytes, Hex } from "./bytes.js";
import { type Checkpoint, openCheckpoint, parseCheckpoint } from "./checkpoint.js";
import { type ClaimedHead, type Head, parseHead, verifyHead } from "./head.js";
import { short } from "./ids.js";
import type { PublicKey } from "./key.js";
import { parseNote } from "./note.js";

/** How many bits of a sequence number count the heads of one epoch. */
const EPOCH_BITS = 40n;

interface Epoch {
  number: bigint;
  /** Where the statement stands that began it. */
  since: bigint;
  key: PublicKey;
}

export class Epochs {
  private readonly list: [Epoch, ...Epoch[]];

  constructor(
    private readonly organisation: Hex,
    first: PublicKey,
  ) {
    this.list = [{ number: 0n, since: 0n, key: first }];
  }

  begin(since: bigint, key: PublicKey): void {
    this.list.push({ number: this.latest.number + 1n, since, key });
  }

  get latest(): Epoch {
    return this.list.at(-1) ?? this.list[0];
  }

  get keys(): PublicKey[] {
    return this.list.map((epoch) => epoch.key);
  }

  /** The epoch whose key signs trees of this size. */
  at(size: bigint): Epoch {
    return [...this.list].reverse().find((epoch) => epoch.since < size) ?? this.list[0];
  }

  /** Reads a head, and checks that the key of its size made it, with a number of that epoch. */
  async openHead(encoded: Bytes): Promise<Head> {
    return this.verifyHead(parseHead(encoded));
  }

  async verifyHead(head: ClaimedHead): Promise<Head> {
    if (head.organisation !== this.organisation) throw new Error(`head: it is a head of ${short("org", head.organisation)}`);
    const epoch = this.at(head.size);
    if (head.seq >> EPOCH_BITS !== epoch.number) {
      throw new Error(`head: number ${head.seq} is not of epoch ${epoch.number}, which signs trees of ${head.size} statements`);
    }
    return verifyHead(head, epoch.key);
  }

  /** Opens a signed checkpoint, and gives the key of its size, which signed it. */
  async openCheckpoint(bytes: Bytes): Promise<[Checkpoint, PublicKey]> {
    const { key } = this.at(parseCheckpoint(parseNote(bytes).text).size);
    const [checkpoint] = await openCheckpoint(bytes, this.organisation, key);
    return [checkpoint, key];
  }
}
