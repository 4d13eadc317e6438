//! Who is a member, as the votes in some chains say: what a host can know of it, and what there is to know.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use counterfoil_protocol::ids::{OrganisationId, StatementId, TreeSize};
use counterfoil_protocol::mesh::Membership;
use counterfoil_protocol::statement::{Kind, Verified};

use crate::decide::fold;
use crate::disk::{Chain, Stored};
use crate::host::Host;
use crate::tally::Mark;
use crate::world::World;

/// Names the statements of one chain that bear on the membership: how many there are, where the last stands, and which.
type Acts = (OrganisationId, usize, usize, StatementId);

/// Members and the version of the terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roll {
    /// The members.
    pub members: BTreeSet<OrganisationId>,
    /// Which version of the terms is in force.
    pub version: u64,
}

/// What was folded already: hosts that have the same votes know the same members.
#[derive(Debug, Default)]
pub struct Folded {
    acts: HashMap<Acts, Arc<Vec<Verified>>>,
    /// The last of each chain that was folded.
    last: HashMap<OrganisationId, Acts>,
    rolls: HashMap<(Vec<Acts>, Vec<OrganisationId>), Arc<Roll>>,
}

fn bears_on_it(kind: Kind) -> bool {
    matches!(kind, Kind::Admission | Kind::Amendment | Kind::Leave)
}

fn acts(organisation: OrganisationId, chain: &Chain) -> Option<Acts> {
    let act = |(position, stored): (usize, &Arc<Stored>)| {
        let (id, kind, ..) = stored.statement.as_ref()?;
        bears_on_it(*kind).then_some((position, *id))
    };
    let mut all = chain.entries.iter().enumerate().filter_map(act);
    let first = all.next()?;
    let (count, (position, id)) = all.fold((1, first), |(count, _), next| (count + 1, next));
    Some((organisation, count, position, id))
}

impl Folded {
    /// Takes in the votes of a chain. Where a bit of it has changed, those hold that it had before.
    fn take(&mut self, organisation: OrganisationId, chain: &Chain) -> Option<Acts> {
        let key = acts(organisation, chain)?;
        if !self.acts.contains_key(&key) {
            let Ok(folded) = fold(chain, TreeSize(chain.entries.len() as u64)) else {
                return self.last.get(&organisation).copied();
            };
            let acts = folded.verified.into_iter().filter(|one| bears_on_it(one.kind())).collect();
            self.acts.insert(key, Arc::new(acts));
            self.last.insert(organisation, key);
        }
        Some(key)
    }

    /// The members by the votes in these chains, when these organisations are known to have forked theirs; none before there
    /// is a mesh.
    fn roll<'a>(
        &mut self,
        mesh: Option<&(counterfoil_protocol::ids::MeshId, counterfoil_protocol::mesh::Charter)>,
        chains: impl Iterator<Item = (OrganisationId, &'a Chain)>,
        exposed: Vec<OrganisationId>,
    ) -> Option<Arc<Roll>> {
        let (mesh, charter) = mesh?;
        let keys = chains.filter_map(|(organisation, chain)| self.take(organisation, chain)).collect();
        let name = (keys, exposed);
        if let Some(roll) = self.rolls.get(&name) {
            return Some(roll.clone());
        }
        let mut membership = Membership::new(*mesh, charter.clone());
        let all = name.0.iter().filter_map(|key| self.acts.get(key));
        for verified in all.flat_map(|verified| verified.iter()) {
            membership.take(verified);
        }
        for organisation in &name.1 {
            membership.expose(*organisation);
        }
        let members = membership.members().iter().copied().collect();
        let roll = Arc::new(Roll { members, version: membership.now().version() });
        self.rolls.insert(name, roll.clone());
        Some(roll)
    }
}

impl World {
    /// The members by what lies on a host's disk.
    pub(crate) fn roll_of(&self, index: usize) -> Option<Arc<Roll>> {
        let disk = &self.hosts.get(index)?.disk;
        let exposed = disk.proofs().keys().copied().collect();
        let chains = disk.chains().iter().map(|(organisation, chain)| (*organisation, chain));
        self.folded.borrow_mut().roll(self.mesh.as_ref(), chains, exposed)
    }

    /// The members by all votes that are anywhere: whom nobody can be blamed for taking for one.
    pub(crate) fn roll_of_all(&self) -> Option<Arc<Roll>> {
        let own = self.hosts.iter().filter_map(|host| Some((host.id(), host.disk.chains().get(&host.id())?)));
        let own: BTreeMap<OrganisationId, &Chain> = own.collect();
        self.folded.borrow_mut().roll(self.mesh.as_ref(), own.into_iter(), Vec::new())
    }

    /// What there is of the chain of a host to fold: what it has itself; of one that is put out, what others have of it.
    fn to_fold<'a>(&'a self, index: usize, host: &'a Host) -> Option<(OrganisationId, &'a Chain)> {
        let organisation = host.id();
        let is_put_out = |index: usize| self.parted.get(&index) == Some(&Mark::Expelled);
        if !is_put_out(index) {
            return Some((organisation, host.disk.chains().get(&organisation)?));
        }
        let others =
            self.hosts.iter().enumerate().filter(|(other, host)| host.is_honest() && !is_put_out(*other));
        let theirs = others.filter_map(|(_, host)| host.disk.chains().get(&organisation));
        Some((organisation, theirs.max_by_key(|chain| chain.entries.len())?))
    }

    /// The members of whom there can be no doubt once all honest hosts have the same, whichever of the others' votes reach
    /// them; and the version of the terms in force.
    pub fn roll(&self) -> Roll {
        let honest = self.hosts.iter().filter(|host| host.is_honest());
        let exposed: BTreeSet<OrganisationId> =
            honest.flat_map(|host| host.disk.proofs().keys().copied()).collect();
        let mut both = [true, false].into_iter().filter_map(|honest_alone| {
            // A chain that lies on two machines of one organisation is taken once: the other votes for nothing.
            let own: BTreeMap<OrganisationId, &Chain> = self
                .hosts
                .iter()
                .enumerate()
                .filter(|(_, host)| host.is_honest() || !honest_alone)
                .filter_map(|(index, host)| self.to_fold(index, host))
                .collect();
            self.folded.borrow_mut().roll(
                self.mesh.as_ref(),
                own.into_iter(),
                exposed.iter().copied().collect(),
            )
        });
        let (Some(one), Some(other)) = (both.next(), both.next()) else {
            return Roll { members: BTreeSet::new(), version: 0 };
        };
        let members = one.members.intersection(&other.members).copied().collect();
        Roll { members, version: one.version.min(other.version) }
    }

    /// A host that starts goes by what is on its disk: who is a member by that is an outsider no more, until it is told anew.
    pub(crate) fn forget_outsiders(&mut self, index: usize) {
        let Some(roll) = self.roll_of(index) else { return };
        if let Some(host) = self.hosts.get_mut(index) {
            host.outsiders.retain(|organisation, _| !roll.members.contains(organisation));
        }
    }
}
