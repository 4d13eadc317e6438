//! Doing to a world what a plan says, and mending it: each step as far as it leaves honest hosts able to go on.

use std::collections::BTreeSet;
use std::sync::Arc;

use counterfoil_federation::Input;
use counterfoil_protocol::chain::SignedHead;
use counterfoil_protocol::ids::OrganisationId;
use counterfoil_protocol::mesh::Ballot;
use counterfoil_protocol::statement::{Kind, Payload, Statement};

use crate::adversary::{Adversary, Fault, act};
use crate::disk::{Chain, Part, Stored};
use crate::host::Host;
use crate::network::Weather;
use crate::plan::Action;
use crate::run::Watch;
use crate::tally::Mark;
use crate::workload::{self, What};
use crate::world::World;

/// Whether a host may lose what its copy of a chain has from position `keep` on: the last good copy stays in the mesh.
fn may_lose(world: &World, index: usize, organisation: &OrganisationId, keep: usize) -> bool {
    let Some(owner) = world.hosts.iter().position(|host| host.id() == *organisation) else { return false };
    let Some(own) = world.hosts.get(owner) else { return false };
    let locked = own.disk.lock().map(SignedHead::hash);
    let has_all = |host: &Host| {
        let chain = host.disk.chains().get(organisation);
        chain.is_some_and(|chain| chain.tip() == locked && chain.is_whole() && locked.is_some())
    };
    if owner != index {
        return has_all(own);
    }
    // A node whose data ends before the binding of its own key cannot introduce itself any more, and nobody else than members
    // is given anything back.
    let entries =
        own.disk.chains().get(organisation).map(|chain| chain.entries.as_slice()).unwrap_or_default();
    if world.parted.contains_key(&index) || !is_bound(own, entries.iter().take(keep)) {
        return false;
    }
    let secret = |stored: &Arc<Stored>| {
        stored.statement.as_ref().is_some_and(|(id, ..)| world.limited.contains_key(id))
    };
    let mut lost = entries.iter().skip(keep).peekable();
    let steady = steady(world);
    let mut others =
        steady.iter().filter(|other| **other != index).filter_map(|other| world.hosts.get(*other));
    lost.peek().is_some() && !lost.any(secret) && others.any(has_all)
}

/// Whether the last binding among these entries is that of the key that the host has.
fn is_bound<'a>(host: &Host, entries: impl DoubleEndedIterator<Item = &'a Arc<Stored>>) -> bool {
    let mut bindings = entries.rev().filter_map(|stored| match stored.statement.as_ref()? {
        (_, Kind::Node, _, bytes) => Some(bytes),
        _ => None,
    });
    let payload = bindings.next().and_then(|bytes| Statement::parse(bytes.clone()).ok());
    let payload = payload.and_then(|statement| Payload::decode(Kind::Node, statement.payload()).ok());
    matches!(payload, Some(Payload::Node(binding)) if binding.peer_key == host.peer_key())
}

/// Honest hosts that are members and stay so: those over whom word gets around.
fn steady(world: &World) -> BTreeSet<usize> {
    let members = world.roll().members;
    let is_steady = |index: &usize| {
        let is_member = world.hosts.get(*index).is_some_and(|host| members.contains(&host.id()));
        is_member && !world.parted.contains_key(index)
    };
    world.honest().into_iter().filter(is_steady).collect()
}

/// Does one thing to the world, and counts it where it takes effect.
///
/// # Errors
/// When a host does not start.
pub fn perform(world: &mut World, watch: &mut Watch, action: &Action) -> Result<(), String> {
    let runs = |world: &World, index: usize| world.hosts.get(index).is_some_and(Host::runs);
    match action {
        Action::Say(index, what) => workload::say(world, *index, *what),
        Action::Crash(index, None) if runs(world, *index) => {
            world.crash(*index);
            world.tally.took(Mark::Crashed);
        }
        Action::Crash(index, ending) => {
            if let Some(host) = world.hosts.get_mut(*index).filter(|host| host.runs()) {
                host.disk.ending = *ending;
            }
        }
        Action::Start(index) => {
            if let Some(host) = world.hosts.get_mut(*index) {
                host.disk.full = false;
                host.disk.ending = None;
            }
            start(world, watch, *index)?;
        }
        Action::Cut(a, b) => {
            if world.cut(*a, *b) {
                world.tally.took(Mark::Cut);
            }
        }
        Action::Deaf(a, b) => world.network.set_deaf(*a, *b, Some(Mark::Unheard)),
        Action::Clog(a, b, ms) => world.network.clog(*a, *b, world.now().plus(*ms)),
        Action::Partition(side) => {
            let across = world.network.across(side);
            if across.into_iter().fold(false, |any, (a, b)| world.cut(a, b) || any) {
                world.tally.took(Mark::Partitioned);
            }
        }
        Action::OneWay(side) => {
            for (from, to) in world.network.across(side) {
                world.network.set_deaf(from, to, Some(Mark::OneWay));
            }
        }
        Action::Heal => {
            if world.network.is_broken() {
                world.tally.took(Mark::Healed);
            }
            world.heal();
        }
        Action::Weather(weather) => world.network.weather = *weather,
        Action::Step(index, ms) => {
            if let Some(host) = world.hosts.get_mut(*index).filter(|host| host.runs() && *ms != 0) {
                host.clock.step(*ms);
                world.tally.took(Mark::Stepped);
            }
        }
        Action::BackUp(index) => {
            if let Some(host) = world.hosts.get_mut(*index) {
                host.disk.back_up();
            }
        }
        Action::Restore(index) => restore(world, watch, *index)?,
        Action::LoseSynced(index, of, entries) => lose_synced(world, watch, *index, *of, *entries)?,
        Action::Rot(index, of, part, bit) => rot(world, *index, *of, *part, *bit),
        Action::Full(index) => {
            if let Some(host) = world.hosts.get_mut(*index) {
                host.disk.full = true;
            }
        }
        Action::SecondFace(index, shown) => second_face(world, watch, *index, shown)?,
        Action::Act(index) => act(world, *index),
        Action::Enter(index) => enter(world, *index)?,
        Action::Admit(index) => enough_say(world, What::Vote(*index, Ballot::Admit)),
        Action::Expel(index) => {
            if may_part(world, watch, *index) {
                world.parted.insert(*index, Mark::Expelled);
                everybody_says(world, What::Vote(*index, Ballot::Expel));
            }
        }
        Action::Leave(index) => {
            if may_part(world, watch, *index) {
                world.parted.insert(*index, Mark::Left);
                workload::say(world, *index, What::Leave);
            }
        }
        Action::Amend(version) => enough_say(world, What::Amend(*version)),
        Action::Pause(index, with, paused) => pause(world, *index, *with, *paused),
    }
    Ok(())
}

fn everybody_says(world: &mut World, what: What) {
    (0..world.hosts.len()).for_each(|index| workload::say(world, index, what));
}

/// As many as it takes say it, or one more, so that each vote counts: whoever votes may be put out later.
fn enough_say(world: &mut World, what: What) {
    let Some(threshold) = world.mesh.as_ref().map(|(_, charter)| usize::from(charter.admission_threshold))
    else {
        return;
    };
    let mut voters: Vec<usize> = steady(world).into_iter().collect();
    voters.retain(|index| world.hosts.get(*index).is_some_and(Host::runs));
    let mut spare = voters.len().saturating_sub(threshold + usize::from(world.below(2) == 0));
    while spare > 0 {
        spare -= 1;
        let one = usize::try_from(world.below(voters.len() as u64)).unwrap_or_default();
        voters.swap_remove(one);
    }
    voters.into_iter().for_each(|index| workload::say(world, index, what));
}

/// Lets an organisation that is no founder begin: its chain, and its wish to be let in.
fn enter(world: &mut World, index: usize) -> Result<(), String> {
    if world.hosts.get(index).is_some_and(|host| host.starts == 0) {
        world.start(index)?;
        workload::open(world, index);
    }
    Ok(())
}

/// Whether the mesh can do without a member from now on, and the member without the mesh.
fn may_part(world: &World, watch: &Watch, index: usize) -> bool {
    let mut others = steady(world);
    let Some(host) = world.hosts.get(index).filter(|host| host.runs() && host.is_honest()) else {
        return false;
    };
    let Some(own) = host.disk.chains().get(&host.id()) else { return false };
    // What it has lost of its own, it is given back as a member alone.
    let is_whole = host.disk.lock().is_some_and(|lock| own.tip() == Some(lock.hash())) && own.is_whole();
    let is_proven = |guilty: &OrganisationId| {
        let mut others = others.iter().filter(|other| **other != index);
        others.any(|other| world.hosts.get(*other).is_some_and(|h| h.disk.proofs().contains_key(guilty)))
    };
    // What it alone knows of a fork, nobody would learn.
    let fits = is_whole && is_bound(host, own.entries.iter()) && watch.reached.iter().all(is_proven);
    fits && others.remove(&index) && world.network.connects(&others)
}

/// A host tells another nothing and believes nothing of it, or does so again.
fn pause(world: &mut World, index: usize, with: usize, paused: bool) {
    let Some(organisation) = world.hosts.get(with).map(Host::id) else { return };
    let Some(host) = world.hosts.get_mut(index).filter(|host| host.runs() && host.id() != organisation)
    else {
        return;
    };
    if host.disk.pause(organisation, paused) {
        world.tally.took(if paused { Mark::Paused } else { Mark::Resumed });
        world.input(index, Input::Pause { organisation, paused });
    }
}

/// The last entries of a chain that a host had synced are gone, and it starts again.
fn lose_synced(
    world: &mut World,
    watch: &mut Watch,
    index: usize,
    of: usize,
    entries: usize,
) -> Result<(), String> {
    let Some(organisation) = world.hosts.get(of).map(|host| host.id()) else { return Ok(()) };
    let Some(host) = world.hosts.get_mut(index).filter(|host| host.is_honest()) else { return Ok(()) };
    // Nothing comes out of the log behind what is lost.
    host.disk.replay();
    let Some(mut chain) = chain_of(world, index, &organisation).cloned() else { return Ok(()) };
    let length = chain.entries.len();
    if chain.cut_off(length.saturating_sub(entries))
        && may_lose(world, index, &organisation, chain.entries.len())
    {
        world.stop(index, 0, false);
        watch.forget(index);
        if let Some(host) = world.hosts.get_mut(index) {
            host.disk.chains_mut().insert(organisation, chain);
        }
        world.note(&format!("{index} loses what it had synced of the chain of {of}"));
        world.tally.took(Mark::LostSynced);
        start(world, watch, index)?;
    }
    Ok(())
}

/// A bit of what a host has of a chain changes, or of the proof against somebody, as long as others have the same.
fn rot(world: &mut World, index: usize, of: usize, part: Part, bit: usize) {
    let Some(host) = world.hosts.get(index).filter(|host| host.is_honest()) else { return };
    let of_chain = world.hosts.get(of).map(Host::id);
    let of_proof = host.disk.proofs().keys().nth(bit % host.disk.proofs().len().max(1)).copied();
    let Some(organisation) = (if part == Part::Proof { of_proof } else { of_chain }) else { return };
    let chain = chain_of(world, index, &organisation);
    let at = bit % chain.map_or(1, |chain| chain.entries.len().max(1));
    // Where a start would cut it off, there must be somebody to give the rest back.
    let spares = |size: usize| {
        let mut cut = chain.cloned().unwrap_or_default();
        cut.cut_off(size) && may_lose(world, index, &organisation, cut.entries.len())
    };
    let others = || {
        let others = steady(world).into_iter().filter(|other| *other != index);
        others.filter_map(|other| world.hosts.get(other)).collect::<Vec<_>>()
    };
    let (may_rot, mark) = match part {
        Part::Entry => (spares(at), Mark::RottenEntry),
        Part::Head => (spares(chain.map_or(0, |chain| chain.entries.len())), Mark::RottenHead),
        Part::Tree => (true, Mark::RottenTree),
        Part::Cosignatures => {
            let has_them = |other: &&Host| {
                let theirs = other.disk.chains().get(&organisation);
                theirs.zip(chain).is_some_and(|(theirs, here)| {
                    theirs.tip() == here.tip()
                        && theirs.is_whole()
                        && theirs.cosignatures.len() >= here.cosignatures.len()
                })
            };
            (others().iter().any(has_them), Mark::RottenCosignatures)
        }
        Part::Proof => {
            let has_it =
                |other: &&Host| other.disk.proofs().contains_key(&organisation) && other.disk.is_whole();
            (others().iter().any(has_it), Mark::RottenProof)
        }
    };
    let Some(host) = world.hosts.get_mut(index).filter(|_| may_rot) else { return };
    let rots = match part {
        Part::Entry => host.disk.rot(&organisation, at, bit),
        _ => host.disk.rot_part(&organisation, part, bit),
    };
    if rots {
        world.note(&format!("{index}: {part:?} of {organisation} rots"));
        world.tally.took(mark);
    }
}

fn chain_of<'a>(world: &'a World, index: usize, organisation: &OrganisationId) -> Option<&'a Chain> {
    world.hosts.get(index)?.disk.chains().get(organisation)
}

/// Starts a host; what its disk cuts off as damaged counts no more.
fn start(world: &mut World, watch: &mut Watch, index: usize) -> Result<(), String> {
    if world.hosts.get(index).is_some_and(|host| !host.runs() && host.starts > 0) {
        if world.hosts.get(index).is_some_and(|host| !host.disk.is_whole()) {
            watch.forget(index);
        }
        world.start(index)?;
        workload::open(world, index);
        workload::say(world, index, What::Rebind);
    }
    Ok(())
}

fn restore(world: &mut World, watch: &mut Watch, index: usize) -> Result<(), String> {
    let Some(host) = world.hosts.get(index).filter(|host| host.is_honest()) else { return Ok(()) };
    let Some(backup) = host.disk.backup().cloned() else { return Ok(()) };
    let shrinks = host.disk.chains().iter().filter(|(id, chain)| {
        backup.get(id).map_or(0, |old| old.entries.len()) < chain.entries.len()
            || backup.get(id).and_then(Chain::tip) != chain.tip()
    });
    let mut all = shrinks.map(|(id, _)| (*id, backup.get(id).map_or(0, |old| old.entries.len())));
    let own = backup.get(&host.id()).is_some_and(|chain| chain.head.is_some());
    if own && all.all(|(id, keep)| may_lose(world, index, &id, keep)) {
        world.stop(index, 0, false);
        watch.forget(index);
        if let Some(host) = world.hosts.get_mut(index) {
            host.disk.restore_data(backup);
        }
        world.note(&format!("{index} gets an old backup back"));
        world.tally.took(Mark::Restored);
        start(world, watch, index)?;
    }
    Ok(())
}

fn second_face(
    world: &mut World,
    watch: &mut Watch,
    index: usize,
    shown: &BTreeSet<usize>,
) -> Result<(), String> {
    let mut others = steady(world);
    let Some(host) = world.hosts.get(index).filter(|host| host.runs() && host.is_honest()) else {
        return Ok(());
    };
    if !others.remove(&index) || !world.network.connects(&others) || host.disk.lock().is_none() {
        return Ok(());
    }
    watch.equivocators.insert(host.id());
    let shown = shown.iter().copied().filter(|other| *other != index).collect();
    world.note(&format!("a second machine with the keys of {index} starts"));
    let face = world.second_face(index, &shown)?;
    world.tally.took(Mark::SecondFace);
    for host in [index, face] {
        if let Some(host) = world.hosts.get_mut(host) {
            host.adversary = Some(Adversary::new(Fault::Equivocator));
        }
        workload::say(world, host, What::Observe(1 + host as u64 % 3));
    }
    Ok(())
}

/// Everything that is broken is mended: disks, clocks, hosts that are down, and last of all links; and nobody pauses anybody any
/// more.
///
/// # Errors
/// When a host does not start.
pub fn mend(world: &mut World, watch: &mut Watch, absent: &BTreeSet<usize>) -> Result<(), String> {
    for index in (0..world.hosts.len()).filter(|index| !absent.contains(index)) {
        let Some(host) = world.hosts.get_mut(index) else { continue };
        host.clock.correct();
        host.disk.full = false;
        host.disk.ending = None;
        if !host.disk.is_whole() && host.runs() {
            world.stop(index, 0, false);
        }
        start(world, watch, index)?;
        for with in 0..world.hosts.len() {
            pause(world, index, with, false);
        }
    }
    world.network.weather = Weather::CALM;
    world.heal();
    Ok(())
}

/// What came of it, by what lies on the disks in the end.
pub fn outcome(world: &mut World) {
    let roll = world.roll();
    let is_member = |host: &Host| roll.members.contains(&host.id());
    let mut marks = Vec::new();
    let newcomers = world.hosts.iter().filter(|host| !world.founded.contains(&host.id()));
    marks.extend(newcomers.filter(|host| is_member(host)).map(|_| Mark::Admitted));
    let parted =
        world.parted.iter().filter(|(index, _)| world.hosts.get(**index).is_some_and(|h| !is_member(h)));
    marks.extend(parted.map(|(_, mark)| *mark));
    marks.extend((0..roll.version).map(|_| Mark::Amended));
    for host in &world.hosts {
        let foreign = host.disk.chains().iter().filter(|(author, _)| **author != host.id());
        let there =
            foreign.flat_map(|(_, chain)| &chain.entries).filter_map(|stored| stored.statement.as_ref());
        marks.extend(there.filter(|(id, ..)| world.limited.contains_key(id)).map(|_| Mark::Crossed));
    }
    marks.into_iter().for_each(|mark| world.tally.took(mark));
    let travelled = world.network.tally.clone();
    world.tally.add(&travelled);
}
