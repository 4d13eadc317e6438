//! Planted faults, one or more for each checker: a checker that does not catch its own is none.

use std::collections::BTreeSet;

use counterfoil_federation::effect::{Effect, ExchangeId};
use counterfoil_federation::message::{Request, Topic, encode};
use counterfoil_protocol::chain::HeadDraft;
use counterfoil_protocol::chain::misbehaviour::Misbehaviour;
use counterfoil_protocol::chain::tree::{LeafDigest, leaf_hash};
use counterfoil_protocol::ids::{ByteString, Position, Timestamp};
use counterfoil_protocol::keys::SecretKey;
use counterfoil_protocol::mesh::Agreements;
use counterfoil_protocol::statement::{Kind, Visibility};
use counterfoil_protocol::test_support::{draft, observation};

use crate::checkers::{Violation, violation};
use crate::decide::Careless;
use crate::disk::{Broken, Ending, Stored};
use crate::history::{Acknowledged, Expelled};
use crate::plan::{Action, Plan, Step};
use crate::wire::hint;
use crate::workload::{self, What};
use crate::world::World;

/// A fault that is planted on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Canary {
    /// The run itself is said to be broken, whatever happens.
    AlwaysBroken,
    /// A host signs a second head with a number that it has used.
    SecondHead,
    /// A disk says that all is durable, and writes nothing.
    LyingDisk,
    /// A disk keeps a part of a torn batch.
    TornBatch,
    /// A receipt is handed out for what is not there.
    LostReceipt,
    /// An entry on a disk is replaced.
    Rewritten,
    /// A disk has a proof against an honest organisation.
    FalseProof,
    /// A disk loses its proofs.
    LostProof,
    /// A decision depends on something that it does not record.
    ImpureVerdict,
    /// A decider counts a head as just confirmed, of which it had no word for long.
    WishfulDecider,
    /// A key signs that was never given to anybody.
    StrangeKey,
    /// A decider overlooks a recall.
    ForgetfulDecider,
    /// A disk serves private statements.
    TellingDisk,
    /// An engine takes more than its limit allows.
    Unlimited,
    /// An engine keeps as many questions of a peer waiting as that asks.
    Patient,
    /// A disk loses cosignatures that the engine counts with.
    LostCosignature,
    /// A disk does not know what it holds, so that an append that is repeated is carried out twice.
    Repeats,
    /// A stored statement changes its bytes.
    Changed,
    /// A host has no connection left when all is mended.
    Isolated,
    /// A host has no connection left when the partition heals.
    IsolatedLater,
    /// A host has no connection left when a recall is made.
    IsolatedLast,
    /// All hosts stand in one line of slow links when a recall is made.
    InLine,
    /// An honest host lets another one go.
    Unfriendly,
    /// An honest host alarms.
    Alarmed,
}

/// When something is planted, once the mischief is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before the partition.
    Partition,
    /// Before the recall.
    Recall,
    /// While what is known is repeated.
    Repetition,
    /// Before the scan.
    Scan,
}

impl Canary {
    /// Each of them, with the checkers that catch it.
    pub const ALL: [(Self, &'static [&'static str]); 24] = [
        (Self::AlwaysBroken, &["canary"]),
        (Self::SecondHead, &["no-honest-fork"]),
        (Self::LyingDisk, &["durable", "append-only"]),
        (Self::TornBatch, &["append-only", "start"]),
        (Self::LostReceipt, &["acknowledged-provable"]),
        (Self::Rewritten, &["append-only"]),
        (Self::FalseProof, &["no-honest-conviction"]),
        (Self::LostProof, &["exposure"]),
        (Self::ImpureVerdict, &["verdict"]),
        (Self::WishfulDecider, &["unknown"]),
        (Self::StrangeKey, &["positions"]),
        (Self::ForgetfulDecider, &["recalled"]),
        (Self::TellingDisk, &["limited"]),
        (Self::Unlimited, &["bounded"]),
        (Self::Patient, &["bounded"]),
        (Self::LostCosignature, &["restart"]),
        (Self::Repeats, &["replay"]),
        (Self::Changed, &["bytes"]),
        (Self::Isolated, &["convergence"]),
        (Self::IsolatedLater, &["heals"]),
        (Self::IsolatedLast, &["recall-reach"]),
        (Self::InLine, &["recall-reach"]),
        (Self::Unfriendly, &["closed"]),
        (Self::Alarmed, &["alarm"]),
    ];

    /// The plan in which it is planted: ten hosts that make decisions, with what the fault needs.
    pub fn plan(self) -> Plan {
        let quiet = Plan::of(1, Some(10)).only(&[]);
        let mut actions = vec![
            (500, Action::Say(3, What::Observe(2))),
            (3_000, Action::Say(0, What::Decide(3))),
            (4_000, Action::Say(1, What::Private)),
        ];
        match self {
            Self::TornBatch => {
                for n in 0..8 {
                    actions.push((5_000 + 2_000 * n, Action::Say(1, What::Observe(4))));
                    actions.push((5_002 + 2_000 * n, Action::Crash(1, Some(Ending::Torn))));
                    actions.push((6_000 + 2_000 * n, Action::Start(1)));
                }
            }
            Self::LostProof => {
                actions.push((5_000, Action::SecondFace(7, [0, 1, 2, 3, 4].into_iter().collect())));
                actions.push((7_000, Action::Act(7)));
                actions.push((7_000, Action::Act(10)));
            }
            Self::Unlimited => actions.push((5_000, Action::Say(1, What::Observe(200)))),
            Self::WishfulDecider => {
                actions.push((5_000, Action::Partition([0].into_iter().collect())));
                actions.push((40_000, Action::Say(0, What::Decide(3))));
            }
            Self::ForgetfulDecider => {
                actions.push((5_000, Action::Say(3, What::Recall)));
                actions.push((7_000, Action::Say(0, What::Decide(3))));
            }
            _ => {}
        }
        let steps = actions.into_iter().map(|(at_ms, action)| Step { at_ms, action }).collect();
        let topology = crate::network::Topology::Full;
        Plan { steps, topology, newcomers: 0, adversaries: Default::default(), ..quiet }
    }

    /// Plants what has to be there from the beginning.
    pub fn before(self, world: &mut World) {
        world.careless = match self {
            Self::ImpureVerdict => Some(Careless::Impure),
            Self::WishfulDecider => Some(Careless::Wishful),
            Self::ForgetfulDecider => Some(Careless::Forgetful),
            _ => None,
        };
        let broken = match self {
            Self::LyingDisk => Some(Broken::Lies),
            Self::TornBatch => Some(Broken::Tears),
            Self::LostProof => Some(Broken::LosesProofs),
            Self::TellingDisk => Some(Broken::Tells),
            Self::Unlimited => {
                world.setting.config.pending_max = 4_096;
                start_anew(world);
                None
            }
            Self::Patient => {
                world.setting.config.requests_per_peer_max = 64;
                start_anew(world);
                None
            }
            Self::Isolated => {
                isolate(world);
                workload::say(world, 1, What::Observe(1));
                None
            }
            _ => None,
        };
        if let Some(host) = world.hosts.get_mut(1) {
            host.disk.broken = broken;
        }
    }

    /// Plants what belongs to one moment.
    ///
    /// # Errors
    /// The violation that is there whatever happens.
    pub fn at(self, world: &mut World, moment: Moment) -> Result<(), Violation> {
        match (self, moment) {
            (Self::AlwaysBroken, Moment::Scan) => {
                return Err(violation("canary", "it is always broken".into()));
            }
            (Self::IsolatedLater, Moment::Partition) | (Self::IsolatedLast, Moment::Recall) => isolate(world),
            (Self::InLine, Moment::Recall) => line_up(world),
            (Self::Repeats, Moment::Repetition) => {
                if let Some(host) = world.hosts.get_mut(1) {
                    host.disk.broken = Some(Broken::Forgets);
                }
            }
            (Self::Patient, Moment::Scan) => drop(flood(world)),
            (_, Moment::Scan) => drop(self.before_scan(world)),
            _ => {}
        }
        Ok(())
    }

    fn before_scan(self, world: &mut World) -> Option<()> {
        let id = world.hosts.get(1)?.id();
        let organisation = world.hosts.get(1)?.organisation.clone();
        let head = world.hosts.get(1)?.disk.chains().get(&id)?.head.clone()?;
        let second = HeadDraft {
            organisation: id,
            seq: head.seq(),
            previous: head.previous(),
            size: head.size(),
            root: leaf_hash(b"another tree"),
            standing: head.standing(),
            issued_at: head.issued_at(),
        }
        .sign(organisation.chain_key.as_ref())
        .ok()?;
        match self {
            Self::SecondHead => {
                let head = ByteString(second.bytes().to_vec());
                world.publish(1, Topic::Heads, encode(&hint(head, Vec::new())).ok()?.into());
            }
            Self::LostReceipt => world.history.acknowledged.push(Acknowledged {
                host: 1,
                organisation: id,
                statement: organisation.inception.statement().id(),
                position: Position(1_000),
            }),
            Self::Rewritten => {
                let entry = world.hosts.get_mut(2)?.disk.chains_mut().get_mut(&id)?.entries.last_mut()?;
                *entry = Stored::new(LeafDigest::of(b"something else"), None).into();
            }
            Self::FalseProof => {
                let inception = organisation.inception.statement().bytes();
                let proof = encode(&Misbehaviour::of(inception, &head, &second)?).ok()?;
                world.hosts.get_mut(2)?.disk.proofs_mut().insert(id, proof.into());
            }
            Self::StrangeKey => {
                let plain = draft(Some(id), Kind::Observation, &observation("evaluation/x", 5));
                let signed = plain.sign(&SecretKey::from_seed(&[9; 32])).ok()?;
                let statement = signed.statement();
                let kept = (statement.id(), Kind::Observation, Visibility::Mesh, statement.bytes().clone());
                let stored = Stored::new(statement.leaf_digest(), Some(kept));
                world.hosts.get_mut(2)?.disk.chains_mut().get_mut(&id)?.entries.push(stored.into());
            }
            Self::LostCosignature => {
                world.hosts.get_mut(2)?.disk.chains_mut().get_mut(&id)?.cosignatures.clear();
            }
            Self::Changed => {
                world.hosts.get_mut(2)?.disk.rot(&id, 1, 900);
            }
            Self::Unfriendly => {
                world.history.closed.push(Expelled { by: 1, whom: 2, reason: "planted".into() });
            }
            Self::Alarmed => world.history.alarms.push((1, "planted".into())),
            _ => {}
        }
        Some(())
    }
}

fn isolate(world: &mut World) {
    for other in world.network.neighbours(4) {
        world.cut(4, other);
        world.network.part(4, other);
    }
}

/// Starts all hosts with the limits as they are now.
fn start_anew(world: &mut World) {
    for index in 0..world.hosts.len() {
        world.stop(index, usize::MAX, false);
        // A host that does not start is found by its checker.
        drop(world.start(index));
    }
    world.run_for(3_000);
}

/// A host asks another again and again for a head that no witness has signed: each question waits for them.
fn flood(world: &mut World) -> Option<()> {
    let (flooder, host) = (5, 1);
    let organisation = world.hosts.get(host)?.id();
    for other in world.network.neighbours(host).into_iter().filter(|other| *other != flooder) {
        world.cut(host, other);
    }
    workload::say(world, host, What::Observe(1));
    world.run_for(25);
    let seq = world.hosts.get(host)?.disk.lock()?.seq();
    for _ in 0..40 {
        world.order += 1;
        // Far from the numbers that its engine gives.
        let exchange = ExchangeId(u64::MAX - world.order);
        world.send_request(flooder, host, exchange, Request::Latest { organisation, from: None, seq });
    }
    world.run_for(40);
    Some(())
}

/// Links each host with the next alone, over links that take a third of a period.
fn line_up(world: &mut World) {
    let ms = world.config().anti_entropy_ms / 3;
    let next: Vec<BTreeSet<usize>> = (1..=world.hosts.len())
        .map(|next| [next].into_iter().filter(|n| *n < world.hosts.len()).collect())
        .collect();
    world.network.rewire(&next, (ms, ms), &mut world.rng);
}

/// What a host whose disk tells everything makes of an effect: it serves entries as if their author asked.
pub(crate) fn tell(world: &World, index: usize, effect: Effect) -> Effect {
    let tells = world.hosts.get(index).is_some_and(|host| host.disk.broken == Some(Broken::Tells));
    match effect {
        Effect::Serve { channel, organisation, from, size, head, .. } if tells => {
            let audience = Box::new(Agreements::default().audience(organisation, Timestamp(0)));
            Effect::Serve { channel, organisation, from, size, audience, head }
        }
        effect => effect,
    }
}
