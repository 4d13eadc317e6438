/**
 * The part of the Common Expression Language that is read here: what profiles need to look into one observation.
 *
 * ```text
 * expr     = or [ "?" or ":" expr ]
 * or       = and { "||" and }                     and = relation { "&&" relation }
 * relation = sum { ("<" "<=" ">" ">=" "==" "!=" "in") sum }
 * sum      = product { ("+" "-") product }        product = unary { ("*" "/" "%") unary }
 * unary    = [ "!" | "-" ] member
 * member   = primary { "." field | "." method "(" [ expr { "," expr } ] ")" | "[" expr "]" }
 * primary  = name | "(" expr ")" | list | integer | text | "true" | "false" | "null" | has(a.b) | size(a)
 * ```
 *
 * Methods are size, startsWith, endsWith, contains, and all and exists over lists and the keys of maps. Everything else, and
 * everything that is no expression at all, is {@link Unread}: nothing is said about it, neither that it holds nor that it
 * does not.
 */

import { EXPRESSION_DEPTH_MAX, EXPRESSION_SUMS_MAX } from "../limits.js";

/** An expression, or what one comes to, that is not looked into here. */
export class Unread extends Error {}

export type Binary = "<" | "<=" | ">" | ">=" | "==" | "!=" | "in" | "+" | "-" | "*" | "/" | "%";
export type Method = "startsWith" | "endsWith" | "contains";

export type Expression =
  | { is: "literal"; value: bigint | string | boolean | null }
  | { is: "name"; name: string }
  | { is: "select"; from: Expression; field: string }
  | { is: "has"; from: Expression; field: string }
  | { is: "index"; from: Expression; at: Expression }
  | { is: "list"; items: Expression[] }
  | { is: "size"; of: Expression }
  | { is: "method"; method: Method; on: Expression; argument: Expression }
  | { is: "all" | "exists"; over: Expression; name: string; each: Expression }
  | { is: "not" | "negate"; of: Expression }
  | { is: "and" | "or"; one: Expression; other: Expression }
  | { is: "choice"; condition: Expression; then: Expression; otherwise: Expression }
  | { is: "binary"; operator: Binary; one: Expression; other: Expression };

type Token = { kind: "word" | "number" | "text" | "sign"; text: string };

/** What an expression may look at. */
const VARIABLES = ["claim", "adverse", "age_days", "content", "metrics"];

/** Words that are no names: of the grammar, and those that are kept for later. */
const RESERVED = new Set(
  ("in true false null as break const continue else for function if import let loop package namespace return var void while")
    .split(" "),
);

/** Of parentheses and the like; the tree that they make is bounded too. */
const NESTING_MAX = 24;
const I64_MAX = (1n << 63n) - 1n;
const TOKEN =
  /[ \t\n\r]+|([A-Za-z_][A-Za-z0-9_]*)|([0-9]+)|("(?:[^"\\\n\r]|\\[nrt"'\\])*"|'(?:[^'\\\n\r]|\\[nrt"'\\])*')|(<=|>=|==|!=|&&|\|\||[<>()[\].,?:!+\-*/%])/y;
const ESCAPES: Record<string, string> = { n: "\n", r: "\r", t: "\t" };

function tokens(source: string): Token[] {
  const found: Token[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < source.length) {
    const from = TOKEN.lastIndex;
    const match = TOKEN.exec(source);
    if (match === null) throw new Unread(`what stands at character ${from} is not read here`);
    const [, word, number, text, sign] = match;
    const last = found.at(-1);
    // "//" begins a comment, "1u", "1.5", "r'...'" and "'''" literals of kinds that are left out: each would be two tokens here.
    const touches = last !== undefined && from > 0 && !/\s/.test(source[from - 1] ?? "");
    const joins =
      touches &&
      ((last.kind === "number" && (word !== undefined || number !== undefined || sign === ".")) ||
        (text !== undefined && (last.kind === "word" || last.kind === "text")) ||
        (number !== undefined && last.text === ".") ||
        (sign === "/" && last.kind === "sign" && last.text === "/"));
    if (joins) throw new Unread(`the literal or comment at character ${from} is not read here`);
    if (word !== undefined) found.push({ kind: "word", text: word });
    else if (number !== undefined) found.push({ kind: "number", text: number });
    else if (sign !== undefined) found.push({ kind: "sign", text: sign });
    else if (text !== undefined) {
      const inner = text.slice(1, -1).replace(/\\(.)/g, (_, escape: string) => ESCAPES[escape] ?? escape);
      found.push({ kind: "text", text: inner });
    }
  }
  return found;
}

/** Reads an expression whole, or says that it is {@link Unread}. */
export function parseExpression(source: string): Expression {
  const parser = new Parser(tokens(source));
  const found = parser.expression();
  parser.end();
  checkCost(found);
  return found;
}

/** What costs too much is no expression: deep nesting, a macro inside another, many additions or one inside a macro. */
function checkCost(whole: Expression): void {
  let sums = 0;
  const see = (part: Expression, depth: number, isInside: boolean): void => {
    if (depth > EXPRESSION_DEPTH_MAX) throw new Unread("it is nested too deep");
    const below = (inner: Expression): void => see(inner, depth + 1, isInside);
    switch (part.is) {
      case "literal":
      case "name":
        return;
      case "list":
        return part.items.forEach(below);
      case "select":
      case "has":
        return below(part.from);
      case "index":
        return [part.from, part.at].forEach(below);
      case "size":
      case "not":
      case "negate":
        return below(part.of);
      case "method":
        return [part.on, part.argument].forEach(below);
      case "choice":
        return [part.condition, part.then, part.otherwise].forEach(below);
      case "and":
      case "or":
        return [part.one, part.other].forEach(below);
      case "binary":
        if (part.operator === "+") {
          sums += 1;
          if (isInside || sums > EXPRESSION_SUMS_MAX) throw new Unread("an addition is one too many");
        }
        return [part.one, part.other].forEach(below);
      case "all":
      case "exists":
        if (isInside || depth + 3 > EXPRESSION_DEPTH_MAX) throw new Unread(`${part.is} stands too deep, or inside another`);
        below(part.over);
        // The step stands between the macro and what is asked of each.
        return see(part.each, depth + 2, true);
    }
  };
  see(whole, 0, false);
}

class Parser {
  private at = 0;
  private depth = 0;
  private readonly names: string[] = [...VARIABLES];

  constructor(private readonly tokens: Token[]) {}

  end(): void {
    const left = this.tokens[this.at];
    if (left !== undefined) throw new Unread(`${JSON.stringify(left.text)} is not read here`);
  }

  expression(): Expression {
    this.depth += 1;
    if (this.depth > NESTING_MAX) throw new Unread("it is nested too deep to be read here");
    const condition = this.or();
    let found = condition;
    if (this.takes("?")) {
      const then = this.or();
      this.expect(":");
      found = { is: "choice", condition, then, otherwise: this.expression() };
    }
    this.depth -= 1;
    return found;
  }

  private takes(sign: string): boolean {
    const token = this.tokens[this.at];
    const takes = token !== undefined && token.kind === "sign" && token.text === sign;
    if (takes) this.at += 1;
    return takes;
  }

  private takesAny<T extends string>(signs: readonly T[]): T | undefined {
    return signs.find((sign) => this.takes(sign));
  }

  private expect(sign: string): void {
    if (!this.takes(sign)) throw new Unread(`${sign} is expected, or what stands there is not read here`);
  }

  private next(): Token {
    const token = this.tokens[this.at];
    if (token === undefined) throw new Unread("it ends early");
    this.at += 1;
    return token;
  }

  private or(): Expression {
    return this.balanced("or", "||", () => this.balanced("and", "&&", () => this.relation()));
  }

  /** Of many terms a balanced tree, as the language has it: which of several errors is told depends on that. */
  private balanced(is: "and" | "or", sign: string, term: () => Expression): Expression {
    const terms = [term()];
    while (this.takes(sign)) terms.push(term());
    const tree = (low: number, high: number): Expression => {
      const mid = Math.ceil((low + high) / 2);
      const leaf = (at: number): Expression => terms[at] ?? { is: "literal", value: null };
      const one = mid === low ? leaf(mid) : tree(low, mid - 1);
      const other = mid === high ? leaf(mid + 1) : tree(mid + 1, high);
      return { is, one, other };
    };
    return terms.length === 1 && terms[0] !== undefined ? terms[0] : tree(0, terms.length - 2);
  }

  private relation(): Expression {
    let one = this.sum();
    for (;;) {
      const token = this.tokens[this.at];
      const isIn = token?.kind === "word" && token.text === "in";
      if (isIn) this.at += 1;
      const operator = isIn ? "in" : this.takesAny(["<", "<=", ">", ">=", "==", "!="] as const);
      if (operator === undefined) return one;
      one = { is: "binary", operator, one, other: this.sum() };
    }
  }

  private sum(): Expression {
    return this.chain(["+", "-"], () => this.chain(["*", "/", "%"], () => this.unary()));
  }

  private chain(signs: readonly ("+" | "-" | "*" | "/" | "%")[], term: () => Expression): Expression {
    let one = term();
    for (let operator = this.takesAny(signs); operator !== undefined; operator = this.takesAny(signs)) {
      one = { is: "binary", operator, one, other: term() };
    }
    return one;
  }

  private unary(): Expression {
    const sign = this.takesAny(["!", "-"] as const);
    const token = this.tokens[this.at];
    if (sign === undefined) return this.member(this.primary());
    if (token?.kind === "sign" && (token.text === "!" || token.text === "-")) {
      throw new Unread(`${sign}${token.text} is not read here`);
    }
    if (sign === "-" && token?.kind === "number") {
      this.at += 1;
      return this.member(integer(-BigInt(token.text)));
    }
    return { is: sign === "!" ? "not" : "negate", of: this.member(this.primary()) };
  }

  private member(from: Expression): Expression {
    let found = from;
    for (;;) {
      if (this.takes("[")) {
        const at = this.expression();
        this.expect("]");
        found = { is: "index", from: found, at };
      } else if (this.takes(".")) {
        const field = this.word();
        found = this.takes("(") ? this.method(found, field) : { is: "select", from: found, field };
      } else return found;
    }
  }

  private word(): string {
    const { kind, text } = this.next();
    if (kind !== "word" || RESERVED.has(text)) throw new Unread(`${JSON.stringify(text)} is not read as a name here`);
    return text;
  }

  private method(on: Expression, method: string): Expression {
    if (method === "all" || method === "exists") {
      const name = this.word();
      if (VARIABLES.includes(name)) throw new Unread(`${name} in place of a variable is not read here`);
      this.expect(",");
      this.names.push(name);
      const each = this.expression();
      this.names.pop();
      this.expect(")");
      return { is: method, over: on, name, each };
    }
    if (method === "size") {
      this.expect(")");
      return { is: "size", of: on };
    }
    if (method !== "startsWith" && method !== "endsWith" && method !== "contains") {
      throw new Unread(`the method ${method} is not read here`);
    }
    const argument = this.expression();
    this.expect(")");
    return { is: "method", method, on, argument };
  }

  private primary(): Expression {
    const { kind, text } = this.next();
    if (kind === "number") return integer(BigInt(text));
    if (kind === "text") return { is: "literal", value: text };
    if (kind === "word") return this.named(text);
    if (text === "(") {
      const found = this.expression();
      this.expect(")");
      return found;
    }
    if (text === "[") return { is: "list", items: this.items() };
    throw new Unread(`${JSON.stringify(text)} is not read here`);
  }

  private items(): Expression[] {
    const items: Expression[] = [];
    while (!this.takes("]")) {
      items.push(this.expression());
      if (!this.takes(",")) {
        this.expect("]");
        break;
      }
    }
    return items;
  }

  private named(name: string): Expression {
    if (name === "true" || name === "false") return { is: "literal", value: name === "true" };
    if (name === "null") return { is: "literal", value: null };
    if ((name === "has" || name === "size") && this.takes("(")) {
      const of = this.expression();
      this.expect(")");
      if (name === "size") return { is: "size", of };
      if (of.is !== "select") throw new Unread("has() of anything but a field is not read here");
      return { is: "has", from: of.from, field: of.field };
    }
    if (!this.names.includes(name)) throw new Unread(`the name ${name} is not read here`);
    return { is: "name", name };
  }
}

function integer(value: bigint): Expression {
  if (value > I64_MAX || value < -I64_MAX - 1n) throw new Unread(`${value} is no integer of 64 bits`);
  return { is: "literal", value };
}
