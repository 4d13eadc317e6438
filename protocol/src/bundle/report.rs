//! What verifying a bundle found: one verdict, and the list of checks with what each proves.

use serde::Serialize;

use crate::actuation::Mode;
use crate::codec::Value;
use crate::ids::{OrganisationId, StatementId, Timestamp, TreeSize};
use crate::statement::Kind;

/// The name of every check that can fail. Each of them does on some file, as a test shows.
pub const CHECKS: &[&str] = &[
    "about",
    "activation-quorum",
    "chain",
    "completeness",
    "corrective-action",
    "cosignatures",
    "counterfoil",
    "credential-expired",
    "credential-not-yet-valid",
    "credential-revoked",
    "credential-suspended",
    "decision",
    "delegation",
    "disclosure",
    "effect",
    "file-digest",
    "file-form",
    "former-key",
    "gap",
    "head",
    "identity",
    "inception",
    "inclusion",
    "link",
    "misbehaviour",
    "override",
    "payload",
    "period",
    "permit",
    "range",
    "recovery",
    "root-act",
    "scope",
    "signature",
    "statement-form",
    "threshold",
    "trust",
    "trust-quorum",
];

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It was not possible to make: something is withheld or was never known. No reason to trust, none to accuse.
    NotProven,
    /// It does not hold.
    Failed,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name, in kebab case.
    pub check: &'static str,
    /// What it was made on.
    pub input: String,
    /// How it came out.
    pub outcome: Outcome,
    /// What it proves, or what is wrong.
    pub detail: String,
}

/// One organisation, as far as the bundle shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrganisationReport {
    /// Its id.
    pub organisation: OrganisationId,
    /// Its name, as it calls itself.
    pub name: String,
    /// Size of its chain under the head.
    pub size: TreeSize,
    /// Statements of it that the bundle holds.
    pub included: u64,
    /// How many of those are standing statements: all that there are.
    pub standing: usize,
    /// Witnesses whose cosignatures on the head verify.
    pub witnesses: Vec<OrganisationId>,
    /// When the latest of them saw the head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witnessed: Option<Timestamp>,
}

/// One decision, computed anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecisionReport {
    /// The decision.
    pub decision: StatementId,
    /// Who decided.
    pub organisation: OrganisationId,
    /// The recorded mode.
    pub mode: Mode,
    /// BLAKE3 of the verdict's bytes as recorded, in hexadecimal.
    pub verdict: String,
    /// BLAKE3 of the verdict's bytes as computed from the bundle, where it could be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recomputed: Option<String>,
}

/// A claim that a statement had sealed, and that this bundle discloses.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DisclosedClaim {
    /// The statement.
    pub statement: StatementId,
    /// The claim's name.
    pub name: String,
    /// Its value.
    pub value: Value,
}

/// When a statement must have been made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatementTimes {
    /// The statement.
    pub statement: StatementId,
    /// Whose chain.
    pub organisation: OrganisationId,
    /// Its kind.
    pub kind: Kind,
    /// When its author says that it was made: a label.
    pub issued_at: Timestamp,
    /// Not before: witnesses had seen by then what its chain had embedded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Not after: a quorum of witnesses had seen by then a tree that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
}

/// The result.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Each check, in the order in which it was made.
    pub checks: Vec<Check>,
    /// Organisations, in the order of the bundle.
    pub organisations: Vec<OrganisationReport>,
    /// Decisions, in chain order.
    pub decisions: Vec<DecisionReport>,
    /// Sealed claims that were disclosed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disclosed: Vec<DisclosedClaim>,
    /// When each statement must have been made, chain by chain.
    pub times: Vec<StatementTimes>,
    /// What passing does not prove.
    pub does_not_prove: Vec<&'static str>,
}

impl Report {
    /// Whether no check failed.
    pub fn is_verified(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.outcome != Outcome::Failed)
    }

    /// The checks that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.outcome == Outcome::Failed)
    }

    pub(super) fn add(
        &mut self,
        check: &'static str,
        outcome: Outcome,
        input: impl Into<String>,
        detail: impl Into<String>,
    ) {
        self.checks.push(Check { check, input: input.into(), outcome, detail: detail.into() });
    }

    /// Puts a check of the file as a whole before all others.
    pub(super) fn first(&mut self, check: &'static str, outcome: Outcome, detail: &str) {
        let (input, detail) = ("the file".to_owned(), detail.to_owned());
        self.checks.insert(0, Check { check, input, outcome, detail });
    }

    pub(super) fn pass(&mut self, check: &'static str, input: impl Into<String>, detail: impl Into<String>) {
        self.add(check, Outcome::Passed, input, detail);
    }

    pub(super) fn fail(&mut self, check: &'static str, input: impl Into<String>, detail: impl Into<String>) {
        self.add(check, Outcome::Failed, input, detail);
    }
}
