/** What verifying found: one verdict, and the list of checks with what each proves. */

export type Outcome = "passed" | "not-proven" | "failed";

export interface Check {
  check: string;
  /** What it was made on. */
  input: string;
  outcome: Outcome;
  detail: string;
}

/** When a statement must have been made, by the word of witnesses, in seconds. */
export interface StatementTimes {
  statement: string;
  notBefore: bigint | undefined;
  notAfter: bigint | undefined;
}

/** What passing does not prove. */
export const DOES_NOT_PROVE = [
  "who is behind an organisation's id: compare it with what the organisation publishes, or give a trust file",
  "that what authorities claim is true: only that they said so, and were allowed to",
  "that a decider weighed all evidence it could have known: only what it did weigh, and that the verdict follows from that",
  "that the chains have not gone on since: each was as shown when its head was signed",
];

export class Report {
  readonly checks: Check[] = [];
  /** Of every statement of the chains that verify. */
  times: StatementTimes[] = [];

  get verified(): boolean {
    return this.checks.length > 0 && this.checks.every((check) => check.outcome !== "failed");
  }

  add(check: string, outcome: Outcome, input: string, detail: string): void {
    this.checks.push({ check, input, outcome, detail });
  }

  pass(check: string, input: string, detail: string): void {
    this.add(check, "passed", input, detail);
  }

  fail(check: string, input: string, detail: string): void {
    this.add(check, "failed", input, detail);
  }

  open(check: string, input: string, detail: string): void {
    this.add(check, "not-proven", input, detail);
  }
}

export function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
