//! What organisations have to say: observations, credentials, links and their answers, recalls, votes, agreements, bindings,
//! anchors, decisions, and things that are not for everybody.

use std::collections::BTreeSet;
use std::sync::Arc;

use counterfoil_federation::effect::{AppendError, AppendId};
use counterfoil_protocol::admissibility::{Activation, Composition, Profile};
use counterfoil_protocol::chain::anchor::{Anchor, AnchoredHead};
use counterfoil_protocol::chain::proof::inclusion_proof;
use counterfoil_protocol::chain::receipt::receipt;
use counterfoil_protocol::identity::{NodeBinding, Revocation, Scope};
use counterfoil_protocol::ids::{AuthorityId, ByteString, OrganisationId, Position, StatementId, Timestamp};
use counterfoil_protocol::keys::{PublicKey, SecretKey, Signer};
use counterfoil_protocol::lineage::Recall;
use counterfoil_protocol::mesh::{
    Acceptance, Admission, Agreement, Amendment, Answer, Ballot, Counterfoil, Leave, Link, LinkTarget,
    Recognition, Relation, Terms,
};
use counterfoil_protocol::observation::{ArtifactDigest, Subject};
use counterfoil_protocol::statement::{Authentic, Draft, Kind, Payload, Refusal, Statement, Visibility};
use counterfoil_protocol::test_support::{TestOrganisation, draft, observation};

use crate::decide::{PROFILE, decide_at, next_subject, number};
use crate::disk::Chain;
use crate::host::{Host, Issued};
use crate::tally::Mark;
use crate::world::World;

/// Something to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// That many observations, each about an artifact of its own.
    Observe(u64),
    /// An observation for the author alone.
    Private,
    /// An observation for the parties of the latest agreement that the host has to do with.
    Parties,
    /// An agreement with these two, of whom the second may be the first or the host itself.
    Propose(usize, usize),
    /// Acceptance of the latest agreement that names the host as a party.
    Accept,
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
    /// The answer to the latest link of another host to an own statement.
    Answer(usize),
    /// The latest heads of some others.
    Anchor,
    /// A decision on the latest observation of a supplier, or on one that it has withdrawn.
    Decide(usize),
    /// A vote about the organisation that no host is.
    VoteForOutsider,
    /// A vote about a host's organisation.
    Vote(usize, Ballot),
    /// A vote for the terms of this version.
    Amend(u64),
    /// The end of the host's membership.
    Leave,
    /// The binding of the peer's key, anew.
    Renew,
    /// The same, where another key was bound since and never taken.
    Rebind,
    /// The binding of another key, under which the host then goes on.
    Rotate,
}

/// An agreement that was proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pact {
    /// The statement that proposes it.
    pub id: StatementId,
    /// Its parties.
    pub parties: BTreeSet<OrganisationId>,
}

/// What is to come of a statement.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Awaited {
    /// Nothing that counts.
    Nothing,
    /// It counts once it is in the chain.
    Counts(Mark),
    /// The key with this number, which it binds, is taken then by the host that was started so often.
    Key(u64, usize, u64),
    /// The host has left then.
    Leaves,
    /// It is by an authority that may be revoked, and counts where it is refused for that.
    Revoked,
}

/// A statement is in the chain of a host.
pub(crate) fn appended(world: &mut World, index: usize, append: AppendId, statement: StatementId) {
    match world.awaited.remove(&append) {
        Some(Awaited::Counts(mark)) => world.tally.took(mark),
        Some(Awaited::Leaves) => {
            if let Some(host) = world.hosts.get_mut(index) {
                host.left = Some(statement);
            }
        }
        Some(Awaited::Key(number, ..)) => {
            let Some(host) = world.hosts.get_mut(index) else { return };
            host.peer = number;
            let key = with_peer_key(&host.organisation, number, Signer::public_key);
            world.tally.took(Mark::Rotated);
            world.rekey(index, key);
        }
        Some(Awaited::Nothing | Awaited::Revoked) | None => {}
    }
}

/// A statement was refused by the engine of its own organisation.
pub(crate) fn refused(world: &mut World, append: AppendId, error: &AppendError) {
    let awaited = world.awaited.remove(&append);
    if matches!((awaited, error), (Some(Awaited::Revoked), AppendError::Refused(Refusal::NotInForce { .. })))
    {
        world.tally.took(Mark::Refused);
    }
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

/// The key with this number of a host's peer, after the first.
fn later_peer_key(organisation: &TestOrganisation, number: u64) -> SecretKey {
    let mut seed = *organisation.id().as_bytes();
    seed.iter_mut().zip(number.to_be_bytes()).for_each(|(byte, n)| *byte ^= n);
    seed[31] ^= 0xaa;
    SecretKey::from_seed(&seed)
}

/// Does something with the key with this number of a host's peer.
fn with_peer_key<T>(organisation: &TestOrganisation, number: u64, what: impl FnOnce(&SecretKey) -> T) -> T {
    if number == 0 { what(&organisation.peer_key) } else { what(&later_peer_key(organisation, number)) }
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

/// Lets a host say what its chain begins with, as far as that is not there.
pub fn open(world: &mut World, index: usize) {
    let Some(host) = world.hosts.get(index) else { return };
    let own = host.disk.chains().get(&host.id()).map(|chain| chain.entries.as_slice()).unwrap_or_default();
    let there: BTreeSet<StatementId> =
        own.iter().filter_map(|stored| Some(stored.statement.as_ref()?.0)).collect();
    let opening = host.organisation.opening();
    for statement in opening.into_iter().filter(|statement| !there.contains(&statement.statement().id())) {
        world.append(index, statement);
    }
}

/// Lets a host say something, if it runs and has what it takes.
pub fn say(world: &mut World, index: usize, what: What) {
    // What a host lacks for it, it leaves out.
    let _ = try_say(world, index, what);
}

fn try_say(world: &mut World, index: usize, what: What) -> Option<()> {
    let organisation = world.hosts.get(index).filter(|host| host.runs())?.organisation.clone();
    let (statement, awaited) = match what {
        What::Observe(count) => {
            for _ in 0..count {
                let n = next_number(world, index)?;
                let statement = organisation.observation(n);
                let id = statement.statement().id();
                world.hosts.get_mut(index)?.observed.push((n, id));
                world.append(index, statement);
            }
            return Some(());
        }
        What::Private => {
            (limited(world, index, Visibility::Private, BTreeSet::new())?, Awaited::Counts(Mark::Private))
        }
        What::Parties => {
            let pact = pact_of(world, index)?;
            let statement = limited(world, index, Visibility::Parties(pact.id), pact.parties)?;
            (statement, Awaited::Nothing)
        }
        What::Propose(first, second) => {
            let hosts = [index, first, second].into_iter().filter_map(|party| world.hosts.get(party));
            let parties: BTreeSet<OrganisationId> = hosts.map(Host::id).collect();
            let agreement = Agreement {
                parties: parties.iter().copied().collect(),
                kinds: vec![Kind::Observation],
                subjects: Vec::new(),
                jurisdictions: Vec::new(),
                from: Timestamp(0),
                until: None,
                link_answer_s: None,
                purpose: format!("simulated {}", next_number(world, index)?),
            };
            let statement = organisation.statement(Kind::Agreement, &agreement);
            world.pacts.push(Pact { id: statement.statement().id(), parties });
            (statement, Awaited::Nothing)
        }
        What::Accept => {
            let acceptance = Acceptance { agreement: pact_of(world, index)?.id, withdrawn: false };
            (organisation.statement(Kind::Acceptance, &acceptance), Awaited::Counts(Mark::Accepted))
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
            (statement, Awaited::Nothing)
        }
        What::ObserveByIssued => {
            let issued = world.hosts.get(index)?.issued.last()?.clone();
            let n = next_number(world, index)?;
            let key = issued_key(&organisation, issued.number);
            let plain = draft(Some(organisation.id()), Kind::Observation, &observation("evaluation/test", n));
            (plain.sign(&key).ok()?, Awaited::Revoked)
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
            (organisation.root_statement(Kind::Revocation, &revocation), Awaited::Counts(Mark::Revoked))
        }
        What::Recall => {
            let (n, statement) = world.hosts.get_mut(index)?.observed.pop()?;
            let subjects = vec![Subject::artifact(ArtifactDigest::sha256_of(&n.to_be_bytes()))];
            let recall = Recall { statement, subjects, reason: "simulated".into() };
            (organisation.statement(Kind::Recall, &recall), Awaited::Counts(Mark::Recalled))
        }
        What::Link(other) => {
            let target = target(world, index, other)?;
            let purpose = format!("simulated {}", next_number(world, index)?);
            let link = Link { target, relation: Relation::Uses, from: None, purpose, agreement: None };
            (organisation.statement(Kind::Link, &link), Awaited::Counts(Mark::Linked))
        }
        What::Answer(other) => {
            let counterfoil = answer(world, index, other)?;
            (organisation.statement(Kind::Counterfoil, &counterfoil), Awaited::Counts(Mark::Answered))
        }
        What::Anchor => {
            let heads = latest_heads(world, index)?;
            (organisation.statement(Kind::Anchor, &Anchor { heads }), Awaited::Counts(Mark::Anchored))
        }
        What::Decide(supplier) => {
            let n = next_subject(world, supplier)?;
            let decided = decide_at(world, index, supplier, n)?;
            let statement = organisation.statement(Kind::Decision, &decided.decision);
            world.note(&format!("{index} decides {} about {n} of {supplier}", decided.decision.mode));
            world.history.decided.push(decided);
            (statement, Awaited::Counts(Mark::Decided))
        }
        What::VoteForOutsider => {
            let vote = vote(world, outsider().id(), Ballot::Admit, None)?;
            (organisation.statement(Kind::Admission, &vote), Awaited::Nothing)
        }
        What::Vote(about, ballot) => {
            let about = world.hosts.get(about)?;
            let vote = vote(world, about.id(), ballot, about.left)?;
            (organisation.statement(Kind::Admission, &vote), Awaited::Nothing)
        }
        What::Amend(version) => {
            let (mesh, charter) = world.mesh.as_ref()?;
            // Everybody says the same about the same version.
            let witnesses = Some(5 + u16::try_from(version % 2).unwrap_or_default());
            let terms = Terms { witnesses, witness_quorum: 2, ..charter.terms() };
            let amendment = Amendment { mesh: *mesh, version, terms };
            (organisation.statement(Kind::Amendment, &amendment), Awaited::Nothing)
        }
        What::Leave => {
            let mesh = world.mesh.as_ref()?.0;
            (organisation.statement(Kind::Leave, &Leave { mesh }), Awaited::Leaves)
        }
        What::Renew | What::Rebind | What::Rotate => {
            let host = world.hosts.get(index)?;
            let (peer, starts, present) = (host.peer, host.starts, host.peer_key());
            // A start that cut the chain off before it could not introduce itself any more.
            host.disk.chains().get(&host.id()).filter(|chain| chain.is_whole())?;
            // One at a time.
            let is_under_way =
                |one: &Awaited| matches!(one, Awaited::Key(_, of, at) if (*of, *at) == (index, starts));
            let is_bound = bindings(host)?.last()?.1 == present;
            if world.awaited.values().any(is_under_way) || is_bound == (what == What::Rebind) {
                return None;
            }
            if what == What::Rotate {
                (binding(world, index, peer + 1)?, Awaited::Key(peer + 1, index, starts))
            } else {
                (binding(world, index, peer)?, Awaited::Counts(Mark::Renewed))
            }
        }
    };
    world.append_awaiting(index, statement, Some(awaited));
    Some(())
}

/// The latest agreement that names a host as a party.
fn pact_of(world: &World, index: usize) -> Option<Pact> {
    let me = world.hosts.get(index)?.id();
    world.pacts.iter().rev().find(|pact| pact.parties.contains(&me)).cloned()
}

/// An observation that is not for everybody, but for these besides its author.
fn limited(
    world: &mut World,
    index: usize,
    visibility: Visibility,
    readers: BTreeSet<OrganisationId>,
) -> Option<Authentic> {
    // Not everybody has these, so they are not put behind an entry at which a start will cut the chain off.
    let host = world.hosts.get(index)?;
    let organisation = host.organisation.clone();
    host.disk.chains().get(&host.id()).filter(|chain| chain.is_whole())?;
    let n = next_number(world, index)?;
    let plain = draft(Some(organisation.id()), Kind::Observation, &observation("evaluation/secret", n));
    let statement = Draft { visibility, ..plain }.sign(&organisation.authority_key).ok()?;
    world.limited.insert(statement.statement().id(), readers);
    Some(statement)
}

fn vote(
    world: &World,
    organisation: OrganisationId,
    ballot: Ballot,
    after: Option<StatementId>,
) -> Option<Admission> {
    let mesh = world.mesh.as_ref()?.0;
    Some(Admission { mesh, organisation, ballot, after })
}

/// The bindings in a host's own chain: counters and keys, in order.
fn bindings(host: &Host) -> Option<Vec<(u64, PublicKey)>> {
    let stored = host.disk.chains().get(&host.id())?.entries.iter();
    let bound = stored.filter_map(|stored| match stored.statement.as_ref()? {
        (_, Kind::Node, _, bytes) => match payload(bytes)? {
            Payload::Node(binding) => Some((binding.counter, binding.peer_key)),
            _ => None,
        },
        _ => None,
    });
    Some(bound.collect())
}

/// The statement that binds the key with this number to a host's organisation.
fn binding(world: &World, index: usize, number: u64) -> Option<Authentic> {
    let host = world.hosts.get(index)?;
    let counter = bindings(host)?.last()?.0 + 1;
    let expires = Timestamp(u64::MAX / 2);
    let binding = with_peer_key(&host.organisation, number, |key| NodeBinding {
        mesh: None,
        peer_key: key.public_key(),
        counter,
        expires,
        addresses: Vec::new(),
        peer_signature: key.sign(&NodeBinding::message(&host.id(), &key.public_key(), counter, expires)),
    });
    Some(host.organisation.statement(Kind::Node, &binding))
}

fn payload(bytes: &Arc<[u8]>) -> Option<Payload> {
    let statement = Statement::parse(bytes.clone()).ok()?;
    Payload::decode(statement.header().kind, statement.payload()).ok()
}

/// A number that no observation of this organisation carries, on whichever of its machines. An observation is effective from
/// that second on, so it stays below the second at which worlds begin.
fn next_number(world: &mut World, index: usize) -> Option<u64> {
    let host = world.hosts.get_mut(index)?;
    host.appended += 1;
    Some(number(index, host.appended))
}

/// Receipt and checkpoint of a statement of another host, as the disk of this one proves it.
fn proof(chain: &Chain, other: &Host, position: Position) -> Option<(ByteString, ByteString)> {
    let head = chain.head.as_ref()?;
    let path = inclusion_proof(chain, position, head.size()).ok()?;
    let key = other.organisation.chain_key.public_key();
    let bytes = receipt(&other.id(), &key, head.receipt_signature(), head.size(), position, &path).ok()?;
    Some((ByteString(bytes), ByteString(head.note().to_string().into_bytes())))
}

/// The last statement of a chain that is under its head and is wanted.
fn latest(chain: &Chain, kind: Kind, wanted: impl Fn(&Arc<[u8]>) -> bool) -> Option<(StatementId, Position)> {
    let under = chain.entries.iter().zip(0..chain.head.as_ref()?.size().0);
    let wanted = under.filter_map(|(stored, position)| match &stored.statement {
        Some((id, of, Visibility::Mesh, bytes)) if *of == kind && wanted(bytes) => {
            Some((*id, Position(position)))
        }
        _ => None,
    });
    wanted.last()
}

/// The latest observation of another host.
fn target(world: &World, index: usize, other: usize) -> Option<LinkTarget> {
    let other = world.hosts.get(other)?;
    let chain = world.hosts.get(index)?.disk.chains().get(&other.id())?;
    let (statement, position) = latest(chain, Kind::Observation, |_| true)?;
    let (receipt, checkpoint) = proof(chain, other, position)?;
    Some(LinkTarget { organisation: other.id(), position, statement, receipt, checkpoint })
}

/// The other half of the latest link of another host to a statement of this one.
fn answer(world: &World, index: usize, other: usize) -> Option<Counterfoil> {
    let (host, other) = (world.hosts.get(index)?, world.hosts.get(other)?);
    let chain = host.disk.chains().get(&other.id())?;
    let is_for_me = |bytes: &Arc<[u8]>| matches!(payload(bytes), Some(Payload::Link(link)) if link.target.organisation == host.id());
    let (link, position) = latest(chain, Kind::Link, is_for_me)?;
    let (receipt, checkpoint) = proof(chain, other, position)?;
    Some(Counterfoil {
        link,
        organisation: other.id(),
        position,
        receipt,
        checkpoint,
        answer: Answer::Accepted,
    })
}

/// Most heads in one anchor.
const ANCHORED_MAX: usize = 8;

/// The heads of others that a host anchors, with the signatures of their witnesses.
fn latest_heads(world: &World, index: usize) -> Option<Vec<AnchoredHead>> {
    let host = world.hosts.get(index)?;
    let others = host.disk.chains().iter().filter(|(organisation, _)| **organisation != host.id());
    let heads = others.filter_map(|(organisation, chain)| {
        let head = chain.head.as_ref()?;
        let checkpoint = head.note().to_string() + &chain.cosignatures.concat();
        let checkpoint = ByteString(checkpoint.into_bytes());
        Some(AnchoredHead { organisation: *organisation, head: head.hash(), size: head.size(), checkpoint })
    });
    Some(heads.take(ANCHORED_MAX).collect()).filter(|heads: &Vec<_>| !heads.is_empty())
}
