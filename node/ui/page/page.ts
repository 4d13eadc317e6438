/** The page: takes a bundle, and shows whether it verifies, by which checks, and what those prove. */

import { type Meaning, meaningOf } from "../verify/meaning.js";
import { type Check, DOES_NOT_PROVE, type Report, message } from "../verify/report.js";
import { TrustFile } from "../verify/trust.js";
import { verify } from "../verify/verify.js";

function element<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no ${id}`);
  return found as T;
}

/** An element with this text: nothing that a file says becomes markup. */
function said(tag: string, text: string): HTMLElement {
  const found = document.createElement(tag);
  found.textContent = text;
  return found;
}

type State = "idle" | "busy" | "verified" | "refused" | "unread";

function tell(state: State, text: string): void {
  const status = element("status");
  status.dataset["state"] = state;
  status.textContent = text;
}

const OUTCOMES = { passed: "proven", "not-proven": "not proven", failed: "failed" } as const;

function row({ check, input, outcome, detail }: Check): HTMLElement {
  const found = document.createElement("tr");
  const first = said("td", OUTCOMES[outcome]);
  first.dataset["outcome"] = outcome;
  found.append(first, said("td", check), said("td", input), said("td", detail));
  return found;
}

function explained(name: string, { proves, not }: Meaning): HTMLElement[] {
  return [said("dt", name), said("dd", proves), said("dd", `Not proven by it: ${not}`)];
}

/** Failures first, then what is open; the others in their order. */
function sorted(checks: Check[]): Check[] {
  const rank = { failed: 0, "not-proven": 1, passed: 2 } as const;
  return [...checks].sort((one, other) => rank[one.outcome] - rank[other.outcome]);
}

function show(report: Report, name: string): void {
  element("checks").replaceChildren(...sorted(report.checks).map(row));
  // What a check proves where it passes would mislead where it does not.
  const names = [...new Set(report.checks.filter(({ outcome }) => outcome === "passed").map(({ check }) => check))];
  const meanings = names.flatMap((check) => {
    const meaning = meaningOf(check);
    return meaning === undefined ? [] : explained(check, meaning);
  });
  element("meanings").replaceChildren(...meanings);
  element("limits").replaceChildren(...DOES_NOT_PROVE.map((limit) => said("li", `It does not prove ${limit}.`)));
  element("result").hidden = false;
  const count = (outcome: Check["outcome"]): number => report.checks.filter((check) => check.outcome === outcome).length;
  const numbers = `${count("passed")} checks passed, ${count("not-proven")} not proven, ${count("failed")} failed`;
  if (report.verified) tell("verified", `${name} verifies: ${numbers}.`);
  else tell("refused", `${name} does not verify: ${numbers}. Nothing in it is to be relied on.`);
}

/** Which of several files was asked about last: a longer one must not overtake it. */
let latest = 0;

async function judge(file: File): Promise<void> {
  latest += 1;
  const mine = latest;
  element("result").hidden = true;
  tell("busy", `Verifying ${file.name} ...`);
  try {
    const [policy] = element<HTMLInputElement>("trust").files ?? [];
    const trust = policy === undefined ? undefined : await TrustFile.parse(await policy.text());
    const report = await verify(new Uint8Array(await file.arrayBuffer()), trust);
    if (mine === latest) show(report, file.name);
  } catch (error) {
    if (mine === latest) tell("unread", `${file.name} was not verified: ${message(error)}`);
  }
}

function judgeChosen(): void {
  const [file] = element<HTMLInputElement>("bundle").files ?? [];
  if (file !== undefined) void judge(file);
}

const drop = element("drop");
element("bundle").addEventListener("change", judgeChosen);
element("trust").addEventListener("change", judgeChosen);
element("form").addEventListener("submit", (event) => event.preventDefault());
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
  });
}
document.addEventListener("drop", (event) => {
  const files = event.dataTransfer?.files;
  if (files?.[0] === undefined) return;
  element<HTMLInputElement>("bundle").files = files;
  judgeChosen();
});
