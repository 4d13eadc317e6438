//! For whoever decides again and again: what is asked mostly rests on the same profiles and the same evidence as before.

use std::collections::BTreeMap;

use super::evaluate::{Case, CaseError};
use super::expression::Expressions;
use super::prepare::Prepared;
use super::verdict::Verdict;
use crate::ids::StatementId;
use crate::limits::PREPARED_EVIDENCE_MAX;

/// Evaluates cases, and keeps what it prepared for one for the next that rests on the same.
///
/// A verdict is that of [`evaluate`](super::evaluate()), whatever was asked before: what was prepared is used for a case only
/// when profiles, composition, evidence, findings, silence and action are equal to those that it was prepared from, all of them
/// and in full. So a revocation, a recall, or a chain that grew stale makes another case.
#[derive(Default)]
pub struct Evaluator {
    expressions: Expressions,
    /// By what their statements add up to.
    kept: BTreeMap<u64, Kept>,
    /// Pieces of evidence in all of them.
    pieces: usize,
    /// How many cases were evaluated.
    turn: u64,
}

struct Kept {
    /// What it was prepared from.
    case: Case,
    prepared: Prepared,
    /// When it was last used.
    turn: u64,
}

impl Evaluator {
    /// Evaluates a case.
    ///
    /// # Errors
    /// See [`evaluate`](super::evaluate()).
    pub fn evaluate(&mut self, case: &Case) -> Result<Verdict, CaseError> {
        case.request.check()?;
        self.turn += 1;
        let number = number(case);
        if let Some(kept) = self.kept.get_mut(&number).filter(|kept| is_same(&kept.case, case)) {
            kept.turn = self.turn;
            return kept.prepared.verdict(case);
        }
        let mut prepared = Prepared::new(case, &mut self.expressions)?;
        let verdict = prepared.verdict(case);
        self.keep(number, Kept { case: case.clone(), prepared, turn: self.turn });
        verdict
    }

    /// Pieces of evidence in the cases that it keeps: never more than [`PREPARED_EVIDENCE_MAX`].
    pub const fn pieces(&self) -> usize {
        self.pieces
    }

    /// Keeps a case in place of those that were not asked about for longest.
    fn keep(&mut self, number: u64, kept: Kept) {
        self.drop_kept(number);
        self.pieces += kept.pieces();
        self.kept.insert(number, kept);
        while self.pieces > PREPARED_EVIDENCE_MAX {
            let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.turn);
            let Some(oldest) = oldest.map(|(number, _)| *number) else { break };
            self.drop_kept(oldest);
        }
    }

    fn drop_kept(&mut self, number: u64) {
        if let Some(kept) = self.kept.remove(&number) {
            self.pieces -= kept.pieces();
        }
    }
}

impl Kept {
    /// What it counts for; a case without evidence is not for nothing.
    fn pieces(&self) -> usize {
        self.case.evidence.len().max(1)
    }
}

/// Whether what was prepared for one case serves the other too.
fn is_same(kept: &Case, case: &Case) -> bool {
    kept.request.action == case.request.action
        && kept.composition == case.composition
        && kept.evidence == case.evidence
        && kept.findings == case.findings
        && kept.unheard == case.unheard
        && kept.profiles == case.profiles
}

/// The same for cases that rest on the same statements. Others may share it, so it proves nothing.
fn number(case: &Case) -> u64 {
    let evidence = case.evidence.iter().map(|item| &item.statement);
    let profiles = case.profiles.iter().map(|declared| &declared.declared_by);
    let first = |id: &StatementId| {
        id.as_bytes().first_chunk().map(|bytes| u64::from_le_bytes(*bytes)).unwrap_or_default()
    };
    let action =
        case.request.action.bytes().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    evidence.chain(profiles).map(first).fold(action, u64::wrapping_add)
}
