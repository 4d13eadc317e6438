/**
 * How one organisation comes in and goes: once the latest votes of enough voters admit it at one time, it is in; once as many
 * put it out, or it leaves, it is out. What was decided stands until as many decide otherwise.
 */

import type { Hex } from "./bytes.js";

/** What is voted: when the organisation had left, only votes that name the departure let it in again. */
export interface Ballot {
  ballot: "admit" | "expel";
  after: Hex | undefined;
}

/** What one organisation says at a time, in the order of its chain; the last one counts. `key` is the same for the same. */
export type Said<T> = { time: bigint; what: T; key: string }[];

/** The last of what was said by then. */
export function last<T>(said: Said<T> | undefined, until: bigint): T | undefined {
  return said?.filter(({ time }) => time <= until).at(-1)?.what;
}

interface Moment {
  votes: Ballot[];
  left: Hex | undefined;
}

function count({ votes }: Moment, isMeant: (ballot: Ballot) => boolean): number {
  return votes.filter(isMeant).length;
}

/** What was said about one organisation by `until`, by those whose votes count and by itself. */
export class History {
  constructor(
    private readonly votes: Said<Ballot>[],
    private readonly departures: Said<Hex>,
    private readonly until: bigint,
  ) {}

  /** What held at each time at which something was said. */
  private *moments(): Generator<Moment> {
    const all = [...this.votes.flat(), ...this.departures].map(({ time }) => time);
    const times = [...new Set(all.filter((time) => time <= this.until))];
    times.sort((one, other) => (one < other ? -1 : one > other ? 1 : 0));
    for (const time of times) {
      const votes = this.votes.map((said) => last(said, time)).filter((ballot) => ballot !== undefined);
      yield { votes, left: last(this.departures, time) };
    }
  }

  /** How many vote for it, when nobody ever voted against it and it never left: then the times play no part. */
  private undisputed(): number | undefined {
    const said = this.votes.map((all) => all.filter(({ time }) => time <= this.until));
    const isDisputed =
      this.departures.some(({ time }) => time <= this.until) ||
      said.flat().some(({ what }) => what.ballot === "expel");
    return isDisputed ? undefined : said.filter((all) => all.length > 0).length;
  }

  /** Whether so many admitted it at some time, whatever became of it since. */
  wasAdmitted(enough: number): boolean {
    const undisputed = this.undisputed();
    if (undisputed !== undefined) return undisputed >= enough;
    for (const moment of this.moments()) {
      if (count(moment, ({ ballot }) => ballot === "admit") >= enough) return true;
    }
    return false;
  }

  /** Whether it is in, at last, when so many decide. */
  isIn(isFounder: boolean, enough: number): boolean {
    const undisputed = this.undisputed();
    if (undisputed !== undefined) return isFounder || undisputed >= enough;
    let isIn = isFounder;
    let before: Hex | undefined;
    for (const moment of this.moments()) {
      const { left } = moment;
      const isExpelled = count(moment, ({ ballot }) => ballot === "expel") >= enough;
      const admits = ({ ballot, after }: Ballot): boolean =>
        ballot === "admit" && (left === undefined || after === left);
      const isAdmitted = count(moment, admits) >= enough;
      isIn = !isExpelled && (isAdmitted || (isIn && before === left));
      before = left;
    }
    return isIn;
  }
}
