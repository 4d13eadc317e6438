//! Which members witness which chain: a bounded set for each, so that witnessing does not grow with the square of the mesh.
//!
//! Rendezvous hashing: every member has a score for every chain, BLAKE3 in key-derivation mode over mesh, chain and member;
//! the chain's witnesses are the members with the highest scores, none of which declares the same parent as another or as
//! the chain's own organisation. Whoever comes or goes moves only the sets that it enters or leaves.

use std::cmp::Reverse;

use crate::digest::{blake3_in, context};
use crate::ids::{MeshId, OrganisationId};

/// What members with one declared parent have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Group([u8; 32]);

impl Group {
    /// A parent may be named by its id: then it and its subsidiaries are one group.
    fn of(organisation: &OrganisationId, parent: Option<&str>) -> Self {
        match parent {
            Some(parent) => Self(blake3_in(context::PARENT, &[parent.as_bytes()])),
            None => Self(blake3_in(context::PARENT, &[organisation.to_string().as_bytes()])),
        }
    }
}

/// The members among whom each chain's witnesses are chosen, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Electorate {
    mesh: MeshId,
    most: usize,
    /// In the order of their ids.
    members: Vec<(OrganisationId, Group)>,
    digest: [u8; 32],
}

impl Electorate {
    /// Members with the parents that they declare, of whom at most `most` witness one chain.
    pub fn new<'a>(
        mesh: MeshId,
        most: usize,
        members: impl IntoIterator<Item = (OrganisationId, Option<&'a str>)>,
    ) -> Self {
        let mut members: Vec<(OrganisationId, Group)> =
            members.into_iter().map(|(id, parent)| (id, Group::of(&id, parent))).collect();
        members.sort();
        let mut parts: Vec<&[u8]> = vec![mesh.as_bytes()];
        let most_bytes = (most as u64).to_be_bytes();
        parts.push(&most_bytes);
        parts.extend(members.iter().flat_map(|(id, group)| [id.as_bytes().as_slice(), &group.0]));
        let digest = blake3_in(context::WITNESS, &parts);
        Self { mesh, most, members, digest }
    }

    /// Two electorates with one digest choose the same witnesses.
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The witnesses of a chain, best first. The chain's organisation need not be a member.
    pub fn witnesses(&self, chain: &OrganisationId) -> Vec<OrganisationId> {
        let own = self.members.iter().find(|(member, _)| member == chain).map(|(_, group)| *group);
        let mut scored: Vec<([u8; 32], OrganisationId, Group)> = self
            .members
            .iter()
            .filter(|(member, group)| member != chain && Some(*group) != own)
            .map(|(member, group)| (self.score(chain, member), *member, *group))
            .collect();
        scored.sort_unstable_by_key(|scored| Reverse(scored.0));
        let (mut chosen, mut groups) = (Vec::with_capacity(self.most), Vec::with_capacity(self.most));
        for (_, member, group) in scored {
            if chosen.len() == self.most {
                break;
            }
            if !groups.contains(&group) {
                groups.push(group);
                chosen.push(member);
            }
        }
        chosen
    }

    fn score(&self, chain: &OrganisationId, member: &OrganisationId) -> [u8; 32] {
        blake3_in(context::WITNESS, &[self.mesh.as_bytes(), chain.as_bytes(), member.as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn org(n: u16) -> OrganisationId {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        OrganisationId::from_bytes(bytes)
    }

    fn electorate(members: impl IntoIterator<Item = u16>) -> Electorate {
        Electorate::new(MeshId::from_bytes([9; 32]), 7, members.into_iter().map(|n| (org(n), None)))
    }

    #[test]
    fn in_a_small_mesh_everybody_else_is_a_witness_and_in_a_large_one_seven_are() {
        let small: BTreeSet<_> = electorate(0..5).witnesses(&org(2)).into_iter().collect();
        assert_eq!(small, BTreeSet::from([org(0), org(1), org(3), org(4)]));
        let large = electorate(0..300);
        let mut load: BTreeMap<OrganisationId, usize> = BTreeMap::new();
        for chain in 0..300 {
            let witnesses = large.witnesses(&org(chain));
            assert_eq!(witnesses.len(), 7);
            assert!(!witnesses.contains(&org(chain)));
            witnesses.into_iter().for_each(|witness| *load.entry(witness).or_default() += 1);
        }
        assert!(load.values().all(|chains| *chains <= 21), "nobody bears more than three times its share");
        assert_eq!(electorate((0..300).rev()), large, "the order of the members plays no part");
    }

    #[test]
    fn a_member_that_comes_or_goes_moves_one_place_of_the_sets_it_enters_or_leaves() {
        let (before, after) = (electorate(0..100), electorate(0..101));
        let mut entered = 0;
        for chain in 0..100 {
            let (old, new) = (before.witnesses(&org(chain)), after.witnesses(&org(chain)));
            let kept = new.iter().filter(|witness| old.contains(witness)).count();
            let is_in = new.contains(&org(100));
            entered += usize::from(is_in);
            assert_eq!(kept, if is_in { 6 } else { 7 });
        }
        assert!((1..20).contains(&entered), "about seven of a hundred: {entered}");
    }

    #[test]
    fn no_two_witnesses_have_one_parent_nor_the_parent_of_the_chain() {
        let parent = org(3).to_string();
        let members = (0..40).map(|n| match n {
            0..10 => (org(n), Some("Holding")),
            10..20 => (org(n), Some(parent.as_str())),
            _ => (org(n), None),
        });
        let electorate = Electorate::new(MeshId::from_bytes([9; 32]), 30, members);
        let family = |n: &OrganisationId| (0..10).any(|m| org(m) == *n);
        for chain in 0..40 {
            let witnesses = electorate.witnesses(&org(chain));
            let of_holding = witnesses.iter().filter(|witness| family(witness)).count();
            assert_eq!(of_holding, usize::from(chain >= 10), "chain {chain}");
        }
    }
}
