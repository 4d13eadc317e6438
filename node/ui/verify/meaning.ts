/** What each check proves where it passes, and what it does not prove, in words for whoever reads a report. */

export interface Meaning {
  proves: string;
  not: string;
}

const MEANINGS: Record<string, Meaning> = {
  "file-digest": {
    proves: "The file is as it was sealed, byte for byte.",
    not: "Who sealed it: anybody can.",
  },
  "file-form": {
    proves: "The file has the form of a bundle.",
    not: "Anything about what it says.",
  },
  trust: {
    proves: "The trust file that you gave names this organisation.",
    not: "That what it says is true.",
  },
  "trust-quorum": {
    proves: "Those witnesses whom your trust file asks for had seen this head.",
    not: "That they agree with what the chain says.",
  },
  head: {
    proves: "The organisation's chain key signed this state of the whole chain.",
    not: "That the chain has not gone on since.",
  },
  statements: {
    proves: "Each statement was signed by an authority in force at its position, and stands where it says under the head.",
    not: "That what it says is true, or what those statements say that are not here.",
  },
  completeness: {
    proves: "No credential, revocation, recall, profile or other statement that changes what others may rely on was left out.",
    not: "That all observations and decisions are here.",
  },
  cosignatures: {
    proves: "Those organisations had seen this head, at the times that they signed.",
    not: "That they agree with what it says.",
  },
  misbehaviour: {
    proves: "The organisation signed two things that contradict each other.",
    not: "Why it did, or which of the two is true.",
  },
  gaps: {
    proves: "Everything that the statements here refer to is here.",
    not: "That nothing else was ever said about the matter.",
  },
  gap: {
    proves: "The writer of the bundle names what is not here.",
    not: "What that says.",
  },
  range: {
    proves: "Everything that the organisation said in the period is here, or its place is.",
    not: "That it said all that it knew.",
  },
  period: {
    proves: "The period that is asked for is one that the bundle speaks about.",
    not: "That all organisations are in it.",
  },
  link: {
    proves: "The statement that is referred to stands in the other organisation's chain.",
    not: "That the other side agrees: its counterfoil says so.",
  },
  counterfoil: {
    proves: "The other side has answered a link that stands in the first one's chain.",
    not: "That what is linked is true.",
  },
  expression: {
    proves: "The expression of a requirement is one that is read here.",
    not: "That it asks for the right thing.",
  },
  decision: {
    proves:
      "From the heads, profiles, evidence, request and time that the decision names exactly this verdict follows: it was computed anew here, and every byte is the same.",
    not: "That the evidence is true, or that the decider weighed all that it could have known.",
  },
  permit: {
    proves: "It permits what was decided, for the actuator that was asked for, and no more.",
    not: "That the actuator kept to it.",
  },
  effect: {
    proves: "What is said to have happened is compared rightly with what was predicted, under a permit used once.",
    not: "That it happened so.",
  },
};

/** Nothing for a rule of chains and statements that is named only where it is broken. */
export function meaningOf(check: string): Meaning | undefined {
  return Object.hasOwn(MEANINGS, check) ? MEANINGS[check] : undefined;
}
