//! The invariants. Each checker looks at what was seen on the wire and at the doors, and at what lies on the disks; none
//! asks an engine's opinion.
//!
//! | invariant | checker | where |
//! | --- | --- | --- |
//! | 1 one head for each number | `no-honest-fork` | [`chains`] |
//! | 2 published implies durable, acknowledged is never lost | `durable`, `acknowledged-provable` | [`chains`] |
//! | 3 heads extend heads | `append-only` | [`chains`] |
//! | 4 no honest organisation is provably guilty | `no-honest-conviction` | [`misbehaviour`] |
//! | 5 equivocators are exposed | `exposure` | [`misbehaviour`] |
//! | 6 verdicts are pure | `verdict` | [`decisions`] |
//! | 7 unknown is never good | `unknown` | [`decisions`] |
//! | 8 no signature out of its position | `positions` | [`chains`] |
//! | 9 recalls are reflected | `recalled` | [`decisions`] |
//! | 10 what is limited stays where it belongs | `limited` | [`bounds`] |
//! | 11 what a peer takes is bounded | `bounded` | [`bounds`] |
//! | 12 restart equals no restart, replay is idempotent | `restart`, `replay` | [`restart`] |
//! | 13 received bytes are kept as they came | `bytes` | [`chains`] |
//!
//! Besides these: `alarm` and `closed` (no honest host alarms, or closes its connection to another honest one for
//! misbehaviour), and `convergence` after healing.

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_protocol::ids::{HeadHash, OrganisationId};

pub mod bounds;
pub mod chains;
pub mod decisions;
pub mod misbehaviour;
pub mod restart;

pub use bounds::limited_stays_limited;
pub use misbehaviour::{OnDisk, exposure, no_honest_conviction};

/// An invariant that does not hold, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The checker.
    pub checker: &'static str,
    /// What it saw.
    pub text: String,
}

/// A violation.
pub(crate) fn violation(checker: &'static str, text: String) -> Violation {
    Violation { checker, text }
}

/// What every host should have come to have: the same head of each chain.
pub fn convergence(
    hosts: &[(usize, BTreeMap<OrganisationId, Option<HeadHash>>)],
    organisations: &BTreeSet<OrganisationId>,
) -> Option<Violation> {
    let (_, reference) = hosts.first()?;
    hosts.iter().find_map(|(host, heads)| {
        organisations.iter().find_map(|organisation| {
            let (here, there) = (heads.get(organisation), reference.get(organisation));
            (here != there || here.is_none_or(Option::is_none)).then(|| {
                let text = format!("host {host} has head {here:?} of {organisation}, others {there:?}");
                violation("convergence", text)
            })
        })
    })
}
