/**
 * Decision diagrams: all minimal sets of a monotone function at once, without listing them one by one.
 *
 * A node is a variable with what follows where it is in the set (high) and where it is not (low). The function becomes a
 * reduced ordered diagram; from that the family of its minimal sets follows, as a diagram in which a variable that is in no
 * set has no node. Work is counted in steps, the same ones on every machine: a result that was not found before. The bound
 * on them is part of what a verdict means, because beyond it the verdict lists what it can and gives no count.
 */

import { EXPLANATION_STEPS_MAX } from "../limits.js";

/** A node by its number. */
export type Node = number;

/** Never; as a family, no set. */
export const NEVER: Node = 0;
/** Always; as a family, just the empty set. */
export const ALWAYS: Node = 1;

/** The bound on steps was reached. */
export class Exhausted extends Error {}

export class Diagrams {
  /** Behind every variable for the two that end a diagram. */
  private readonly variables: number[] = [Infinity, Infinity];
  private readonly highs: Node[] = [NEVER, NEVER];
  private readonly lows: Node[] = [NEVER, NEVER];
  private readonly known = new Map<string, Node>();
  private readonly chosen = new Map<string, Node>();
  private readonly families = new Map<Node, Node>();
  private readonly remainders = new Map<string, Node>();
  private steps = 0;

  step(): void {
    this.steps += 1;
    if (this.steps > EXPLANATION_STEPS_MAX) throw new Exhausted();
  }

  variableOf(node: Node): number {
    return this.variables[node] ?? Infinity;
  }

  high(node: Node): Node {
    return this.highs[node] ?? NEVER;
  }

  low(node: Node): Node {
    return this.lows[node] ?? NEVER;
  }

  private make(variable: number, high: Node, low: Node): Node {
    const key = `${variable} ${high} ${low}`;
    const known = this.known.get(key);
    if (known !== undefined) return known;
    const node = this.variables.push(variable) - 1;
    this.highs.push(high);
    this.lows.push(low);
    this.known.set(key, node);
    return node;
  }

  variable(variable: number): Node {
    return this.make(variable, ALWAYS, NEVER);
  }

  /** `then` where the condition holds, `otherwise` where it does not. */
  choose(condition: Node, then: Node, otherwise: Node): Node {
    if (condition === ALWAYS || then === otherwise) return then;
    if (condition === NEVER) return otherwise;
    const key = `${condition} ${then} ${otherwise}`;
    const known = this.chosen.get(key);
    if (known !== undefined) return known;
    this.step();
    const three = [condition, then, otherwise] as const;
    const top = Math.min(...three.map((node) => this.variableOf(node)));
    const [c1, t1, o1] = three.map((node) => (this.variableOf(node) === top ? this.high(node) : node)) as [Node, Node, Node];
    const [c0, t0, o0] = three.map((node) => (this.variableOf(node) === top ? this.low(node) : node)) as [Node, Node, Node];
    const high = this.choose(c1, t1, o1);
    const low = this.choose(c0, t0, o0);
    const found = high === low ? high : this.make(top, high, low);
    this.chosen.set(key, found);
    return found;
  }

  /** The family of the minimal sets that satisfy a monotone function. */
  minimal(of: Node): Node {
    if (of === ALWAYS || of === NEVER) return of;
    const known = this.families.get(of);
    if (known !== undefined) return known;
    this.step();
    const without = this.minimal(this.low(of));
    // A set with the variable is minimal where it is of no use to leave the variable out.
    const withIt = this.unsatisfying(this.minimal(this.high(of)), this.low(of));
    const found = this.family(this.variableOf(of), withIt, without);
    this.families.set(of, found);
    return found;
  }

  /** The sets of a family that do not satisfy a monotone function. */
  private unsatisfying(family: Node, of: Node): Node {
    if (family === NEVER || of === NEVER) return family;
    if (of === ALWAYS) return NEVER;
    if (family === ALWAYS) return ALWAYS;
    const key = `${family} ${of}`;
    const known = this.remainders.get(key);
    if (known !== undefined) return known;
    this.step();
    const variable = this.variableOf(family);
    const isBehind = variable > this.variableOf(of);
    const isSame = variable === this.variableOf(of);
    const found = isBehind
      ? this.unsatisfying(family, this.low(of))
      : this.family(
          variable,
          this.unsatisfying(this.high(family), isSame ? this.high(of) : of),
          this.unsatisfying(this.low(family), isSame ? this.low(of) : of),
        );
    this.remainders.set(key, found);
    return found;
  }

  private family(variable: number, withIt: Node, without: Node): Node {
    return withIt === NEVER ? without : this.make(variable, withIt, without);
  }
}
