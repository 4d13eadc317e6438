//! What organisations have to say: observations, credentials, links, recalls, votes, decisions, and things that are not
//! for everybody.

use std::collections::BTreeSet;
use std::sync::Arc;

use counterfoil_protocol::admissibility::{Activation, Composition, Profile};
use counterfoil_protocol::chain::proof::inclusion_proof;
use counterfoil_protocol::chain::receipt::receipt;
use counterfoil_protocol::identity::{Revocation, Scope};
use counterfoil_protocol::ids::{AuthorityId, ByteString, Position};
use counterfoil_protocol::keys::{SecretKey, Signer as _};
use counterfoil_protocol::lineage::Recall;
use counterfoil_protocol::mesh::{Admission, Ballot, Link, LinkTarget, Recognition, Relation};
use counterfoil_protocol::observation::{ArtifactDigest, Subject};
use counterfoil_protocol::statement::{Draft, Kind, Visibility};
use counterfoil_protocol::test_support::{TestOrganisation, draft, observation};

use crate::decide::{PROFILE, decide_at, next_subject, number};
use crate::host::Issued;
use crate::world::World;

/// Something to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// That many observations, each about an artifact of its own.
    Observe(u64),
    /// An observation for the author alone.
    Private,
    /// An observation for the parties of an agreement.
    Parties,
    /// A credential for a further authority.
    Issue,
    /// An observation by the latest further authority; the author's own engine refuses it once that is revoked.
    ObserveByIssued,
    /// The end of the latest further authority.
    Revoke,
    /// The withdrawal of the host's latest observation that is not withdrawn yet.
    Recall,
    /// A link to the latest observation of another host.
    Link(usize),
    /// A decision on the latest observation of a supplier, or on one that it has withdrawn.
    Decide(usize),
    /// A vote about the organisation that no host is.
    VoteForOutsider,
}

/// Hosts that decide: the first of them.
pub const DEPLOYERS: usize = 3;
/// Hosts on whose evidence they decide: those after them.
pub const SUPPLIERS: usize = 3;

/// An organisation that votes are about and that is no host.
pub fn outsider() -> Arc<TestOrganisation> {
    Arc::new(TestOrganisation::new(999_999))
}

/// The key of a host's further authority.
fn issued_key(organisation: &TestOrganisation, number: u64) -> SecretKey {
    let mut seed = *organisation.id().as_bytes();
    seed.iter_mut().zip(number.to_be_bytes()).for_each(|(byte, n)| *byte ^= n);
    seed[31] ^= 0x55;
    SecretKey::from_seed(&seed)
}

/// Lets every deployer recognise the suppliers and put a profile into force.
pub fn prepare(world: &mut World) {
    let suppliers: Vec<_> =
        world.hosts.iter().skip(DEPLOYERS).take(SUPPLIERS).map(|host| host.id()).collect();
    let Ok(profile) = Profile::from_toml(PROFILE) else { return };
    for index in 0..DEPLOYERS.min(world.hosts.len()) {
        let Some(organisation) = world.hosts.get(index).map(|host| host.organisation.clone()) else {
            continue;
        };
        for supplier in &suppliers {
            let recognition = Recognition::of(*supplier, vec!["evaluation/*".into()]);
            world.append(index, organisation.statement(Kind::Recognition, &recognition));
        }
        let profile = organisation.statement(Kind::Profile, &profile);
        let profiles = vec![profile.statement().id()];
        world.append(index, profile);
        let activation = Activation { profiles, composition: Composition::Intersection };
        world.append(index, organisation.statement(Kind::Activation, &activation));
    }
}

/// Lets a host say something, if it runs and has what it takes.
pub fn say(world: &mut World, index: usize, what: What) {
    // What a host lacks for it, it leaves out.
    let _ = try_say(world, index, what);
}

fn try_say(world: &mut World, index: usize, what: What) -> Option<()> {
    let organisation = world.hosts.get(index).filter(|host| host.runs())?.organisation.clone();
    match what {
        What::Observe(count) => {
            for _ in 0..count {
                let n = next_number(world, index)?;
                let statement = organisation.observation(n);
                let id = statement.statement().id();
                world.hosts.get_mut(index)?.observed.push((n, id));
                world.append(index, statement);
            }
        }
        What::Private | What::Parties => {
            // Nobody else has these, so they are not put behind an entry at which a start will cut the chain off.
            let host = world.hosts.get(index)?;
            let mut entries = host.disk.chains().get(&host.id())?.entries.iter();
            if !entries.all(|stored| stored.is_whole()) {
                return None;
            }
            let n = next_number(world, index)?;
            // Nobody has accepted such an agreement, so the second kind is not even appended.
            let visibility = match what {
                What::Private => Visibility::Private,
                _ => Visibility::Parties(organisation.inception.statement().id()),
            };
            let plain =
                draft(Some(organisation.id()), Kind::Observation, &observation("evaluation/secret", n));
            let statement = Draft { visibility, ..plain }.sign(&organisation.authority_key).ok()?;
            world.limited.insert(statement.statement().id(), BTreeSet::new());
            world.append(index, statement);
        }
        What::Issue => {
            let number = next_number(world, index)?;
            let key = issued_key(&organisation, number);
            let scope = Scope {
                kinds: vec![Kind::Observation],
                claims: vec!["evaluation/*".into()],
                subjects: Vec::new(),
            };
            let statement = organisation.credential(&key, vec![scope], 0);
            let authority = AuthorityId::from(statement.statement().id());
            world.hosts.get_mut(index)?.issued.push(Issued { number, authority, revoked: false });
            world.append(index, statement);
        }
        What::ObserveByIssued => {
            let issued = world.hosts.get(index)?.issued.last()?.clone();
            let n = next_number(world, index)?;
            let key = issued_key(&organisation, issued.number);
            let plain = draft(Some(organisation.id()), Kind::Observation, &observation("evaluation/test", n));
            world.append(index, plain.sign(&key).ok()?);
        }
        What::Revoke => {
            let issued = world.hosts.get_mut(index)?.issued.last_mut().filter(|issued| !issued.revoked)?;
            issued.revoked = true;
            let revocation = Revocation {
                authority: issued.authority,
                reason: "simulated".into(),
                compromised_since: None,
                compromised_at: None,
            };
            world.append(index, organisation.root_statement(Kind::Revocation, &revocation));
        }
        What::Recall => {
            let (n, statement) = world.hosts.get_mut(index)?.observed.pop()?;
            let subjects = vec![Subject::artifact(ArtifactDigest::sha256_of(&n.to_be_bytes()))];
            let recall = Recall { statement, subjects, reason: "simulated".into() };
            world.append(index, organisation.statement(Kind::Recall, &recall));
        }
        What::Link(other) => {
            let target = target(world, index, other)?;
            let purpose = format!("simulated {}", next_number(world, index)?);
            let link = Link { target, relation: Relation::Uses, from: None, purpose, agreement: None };
            world.append(index, organisation.statement(Kind::Link, &link));
        }
        What::Decide(supplier) => {
            let n = next_subject(world, supplier)?;
            let decided = decide_at(world, index, supplier, n)?;
            let statement = organisation.statement(Kind::Decision, &decided.decision);
            world.note(&format!("{index} decides {} about {n} of {supplier}", decided.decision.mode));
            world.history.decided.push(decided);
            world.append(index, statement);
        }
        What::VoteForOutsider => {
            let mesh = world.mesh.as_ref()?.0;
            let organisation = outsider().id();
            let vote = Admission { mesh, organisation, ballot: Ballot::Admit, after: None };
            let author = world.hosts.get(index)?.organisation.clone();
            world.append(index, author.statement(Kind::Admission, &vote));
        }
    }
    Some(())
}

/// A number that no observation of this organisation carries, on whichever of its machines. An observation is effective from
/// that second on, so it stays below the second at which worlds begin.
fn next_number(world: &mut World, index: usize) -> Option<u64> {
    let host = world.hosts.get_mut(index)?;
    host.appended += 1;
    Some(number(index, host.appended))
}

/// The latest observation of another host, as the disk of this one proves it.
fn target(world: &World, index: usize, other: usize) -> Option<LinkTarget> {
    let host = world.hosts.get(index)?;
    let other = world.hosts.get(other)?;
    let chain = host.disk.chains().get(&other.id())?;
    let head = chain.head.as_ref()?;
    let under = chain.entries.iter().zip(0..head.size().0);
    let observations = under.filter_map(|(stored, position)| match &stored.statement {
        Some((id, Kind::Observation, Visibility::Mesh, _)) => Some((*id, Position(position))),
        _ => None,
    });
    let (id, position) = observations.last()?;
    let path = inclusion_proof(chain, position, head.size()).ok()?;
    let key = other.organisation.chain_key.public_key();
    let bytes = receipt(&other.id(), &key, head.receipt_signature(), head.size(), position, &path).ok()?;
    Some(LinkTarget {
        organisation: other.id(),
        position,
        statement: id,
        receipt: ByteString(bytes),
        checkpoint: ByteString(head.note().to_string().into_bytes()),
    })
}
