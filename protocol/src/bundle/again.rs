//! The second reading of a long file: for the statements that were let go and are needed after all.

use std::collections::BTreeSet;
use std::io::Read;

use super::format::{BundleError, Entry, Manifest, Section};
use super::reader::Items;
use super::walk::{Chain, Chains, Sought};
use crate::digest::blake3;
use crate::identity::OrganisationState;
use crate::ids::{OrganisationId, StatementId, TreeSize};
use crate::statement::{Statement, Verified, verify};

/// Adds to `chains` the statements that are sought whole, each verified in its place, and gives the ids of those that are
/// sought and there. It has to be the same file: `digest` is what the first reading found.
///
/// # Errors
/// Outside, when the file cannot be read; inside, when it is not the same any more.
pub(super) fn read<F: Read>(
    file: &mut F,
    sought: &Sought,
    chains: &mut Chains,
    digest: Option<[u8; 32]>,
) -> Result<Result<BTreeSet<StatementId>, String>, std::io::Error> {
    let mut items = Items::new(file);
    let found = sections(&mut items, sought, chains);
    let same = items.finish()? == digest && digest.is_some();
    Ok(match found {
        Ok((present, found)) if same => {
            for (organisation, statements) in found {
                if let Some(chain) = chains.get_mut(&organisation) {
                    chain.add(statements);
                }
            }
            Ok(present)
        }
        Ok(_) => Err("it is not the file that was read before".into()),
        Err(BundleError::File(error)) => return Err(error),
        Err(error) => Err(error.to_string()),
    })
}

type Found = (BTreeSet<StatementId>, Vec<(OrganisationId, Vec<Verified>)>);

fn sections<F: Read>(items: &mut Items<F>, sought: &Sought, chains: &Chains) -> Result<Found, BundleError> {
    items.begin()?;
    let manifest: Manifest = items.read()?;
    let (mut present, mut found) = (BTreeSet::new(), Vec::new());
    for _ in 0..manifest.sections {
        let section: Section = items.read()?;
        let Some(chain) = chains.get(&section.organisation) else {
            for _ in 0..section.entries {
                items.next()?;
            }
            continue;
        };
        let mut size = TreeSize(0);
        let (mut wanted, mut follow) = (Vec::new(), Follow::new(chain));
        for _ in 0..section.entries {
            match Entry::decode(items.next()?) {
                Ok(Entry::Statement { bytes, .. }) => {
                    let id = StatementId::from_bytes(blake3(&bytes));
                    if sought.present.contains(&id) {
                        present.insert(id);
                    }
                    if sought.whole.contains(&id)
                        && let Some(verified) = follow.as_mut().and_then(|f| f.verified(&bytes, size))
                    {
                        wanted.push(verified);
                    }
                    size = TreeSize(size.0.saturating_add(1));
                }
                Ok(Entry::Absent { level, .. }) => {
                    size = TreeSize(size.0.saturating_add(1u64.checked_shl(level).unwrap_or(u64::MAX)));
                }
                Err(error) => return Err(BundleError::Item { item: items.last(), error }),
            }
        }
        found.push((section.organisation, wanted));
    }
    Ok((present, found))
}

/// A chain's state, followed from standing statement to standing statement.
struct Follow<'a> {
    state: OrganisationState,
    standing: std::iter::Peekable<std::vec::IntoIter<&'a Verified>>,
}

impl<'a> Follow<'a> {
    fn new(chain: &'a Chain) -> Option<Self> {
        let standing: Vec<&Verified> = chain.standing(chain.head.size()).collect();
        let state = OrganisationState::from_inception(standing.first()?.statement()).ok()?;
        Some(Self { state, standing: standing.into_iter().peekable() })
    }

    /// A statement, verified once more at its position: what was let go left nothing behind to trust.
    fn verified(&mut self, bytes: &[u8], size: TreeSize) -> Option<Verified> {
        while let Some(verified) = self.standing.next_if(|verified| size.contains(verified.position())) {
            self.state.skip_to(verified.position());
            self.state.apply(verified).ok()?;
        }
        self.state.skip_to(size.next_position());
        let authentic = self.state.authenticate(Statement::parse(bytes).ok()?).ok()?;
        verify(&self.state, authentic).ok()
    }
}
