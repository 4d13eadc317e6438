//! Who is connected with whom, what the links do to what travels on them, and what it costs.

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_federation::Millis;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use crate::gossip::{DEGREE, DEGREE_MAX};
use crate::tally::{Mark, Tally};

/// How bad all links are at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weather {
    /// Messages lost, in parts of a thousand.
    pub loss: u64,
    /// Messages delivered twice, in parts of a thousand.
    pub duplication: u64,
    /// Longest further delay of a message, in milliseconds. Messages overtake each other within it.
    pub delay_ms: u64,
}

impl Weather {
    /// Nothing is lost, and delays vary little.
    pub const CALM: Self = Self { loss: 0, duplication: 0, delay_ms: 5 };
}

/// One direction of a connection.
#[derive(Debug, Clone, Copy)]
struct Link {
    /// Whether the connection stands.
    up: bool,
    /// Whether what is sent gets lost while both ends believe that the connection stands, and as what that counts.
    deaf: Option<Mark>,
    /// When the last of what was sent arrives.
    last_at: Millis,
    /// Until when nothing is delivered; then all of it.
    clogged_until: Millis,
    /// Least time on the way, in milliseconds.
    base_ms: u64,
}

/// Which hosts can connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topology {
    /// Everybody with everybody.
    Full,
    /// Each with that many others: random circles through all hosts.
    Circles {
        /// Connections of a host, rounded down to an even number.
        degree: usize,
    },
}

/// Messages and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Messages.
    pub messages: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Count {
    /// One more message.
    pub const fn add(&mut self, bytes: u64) {
        self.messages += 1;
        self.bytes += bytes;
    }

    /// This and another.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { messages: self.messages + other.messages, bytes: self.bytes + other.bytes }
    }

    /// This without an earlier reading.
    #[must_use]
    pub const fn minus(self, earlier: Self) -> Self {
        Self {
            messages: self.messages.saturating_sub(earlier.messages),
            bytes: self.bytes.saturating_sub(earlier.bytes),
        }
    }
}

/// The network.
#[derive(Debug)]
pub struct Network {
    /// By host: to whom there is a link.
    links: Vec<BTreeMap<usize, Link>>,
    /// By host: neighbours in the gossip mesh.
    mesh: Vec<BTreeSet<usize>>,
    /// What holds for all links.
    pub weather: Weather,
    /// What each host has sent.
    sent: Vec<Count>,
    /// What was sent, by lane or kind of request or answer.
    by_kind: BTreeMap<&'static str, Count>,
    /// What happened to messages on their way.
    pub tally: Tally,
}

/// One random circle through all hosts.
fn circle(hosts: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..hosts).collect();
    for end in (1..hosts).rev() {
        let other = usize::try_from(rng.next_u64() % (end as u64 + 1)).unwrap_or_default();
        order.swap(end, other);
    }
    order
}

impl Network {
    /// A network of hosts.
    pub fn new(hosts: usize, topology: Topology, base_ms: (u64, u64), rng: &mut ChaCha8Rng) -> Self {
        let mut network = Self {
            links: vec![BTreeMap::new(); hosts],
            mesh: vec![BTreeSet::new(); hosts],
            weather: Weather::CALM,
            sent: vec![Count::default(); hosts],
            by_kind: BTreeMap::new(),
            tally: Tally::default(),
        };
        let circles = match topology {
            Topology::Full => DEGREE / 2,
            Topology::Circles { degree } => degree / 2,
        };
        for nth in 0..circles {
            let order = circle(hosts, rng);
            let next = order.iter().cycle().skip(1);
            for (a, b) in order.iter().zip(next) {
                network.join(*a, *b, base_ms, rng);
                if nth < DEGREE / 2 && a != b {
                    network.pair(*a, *b);
                }
            }
        }
        if topology == Topology::Full {
            for a in 0..hosts {
                (0..a).for_each(|b| network.join(a, b, base_ms, rng));
            }
        }
        network
    }

    fn pair(&mut self, a: usize, b: usize) {
        for (a, b) in [(a, b), (b, a)] {
            if let Some(mesh) = self.mesh.get_mut(a) {
                mesh.insert(b);
            }
        }
    }

    /// Lets two hosts connect from now on, if they could not before.
    /// Links two hosts, outside of the gossip mesh.
    pub fn join(&mut self, a: usize, b: usize, base_ms: (u64, u64), rng: &mut ChaCha8Rng) {
        if a == b || self.is_linked(a, b) {
            return;
        }
        let base_ms = base_ms.0 + rng.next_u64() % base_ms.1.saturating_sub(base_ms.0).max(1);
        let link = Link { up: true, deaf: None, last_at: Millis(0), clogged_until: Millis(0), base_ms };
        for (a, b) in [(a, b), (b, a)] {
            if let Some(links) = self.links.get_mut(a) {
                links.insert(b, link);
            }
        }
    }

    /// A further host, linked with these.
    pub fn add_host(&mut self, with: &[usize], base_ms: (u64, u64), rng: &mut ChaCha8Rng) -> usize {
        let host = self.links.len();
        self.links.push(BTreeMap::new());
        self.mesh.push(BTreeSet::new());
        self.sent.push(Count::default());
        for other in with {
            self.join(host, *other, base_ms, rng);
        }
        with.iter().take(DEGREE).for_each(|other| self.pair(host, *other));
        host
    }

    /// Links every host with those that it chose and those that chose it, and makes the gossip mesh of as many of these as
    /// gossipsub would: each host keeps `DEGREE` where its neighbours have room.
    pub fn rewire(&mut self, chosen: &[BTreeSet<usize>], base_ms: (u64, u64), rng: &mut ChaCha8Rng) {
        self.links.iter_mut().for_each(BTreeMap::clear);
        self.mesh.iter_mut().for_each(BTreeSet::clear);
        for (a, others) in chosen.iter().enumerate() {
            others.iter().for_each(|b| self.join(a, *b, base_ms, rng));
        }
        for a in circle(chosen.len(), rng) {
            let neighbours = self.neighbours(a);
            for nth in circle(neighbours.len(), rng) {
                let size = |host: usize| self.mesh.get(host).map_or(0, BTreeSet::len);
                let Some(b) = neighbours.get(nth).copied() else { continue };
                if size(a) < DEGREE && size(b) < DEGREE_MAX {
                    self.pair(a, b);
                }
            }
        }
    }

    /// Takes the link between two hosts away for good.
    pub fn part(&mut self, a: usize, b: usize) {
        for (a, b) in [(a, b), (b, a)] {
            if let (Some(links), Some(mesh)) = (self.links.get_mut(a), self.mesh.get_mut(a)) {
                links.remove(&b);
                mesh.remove(&b);
            }
        }
    }

    /// Whether two hosts can connect at all.
    pub fn is_linked(&self, a: usize, b: usize) -> bool {
        self.links.get(a).is_some_and(|links| links.contains_key(&b))
    }

    /// Whether the connection between two hosts stands.
    pub fn is_up(&self, a: usize, b: usize) -> bool {
        self.links.get(a).and_then(|links| links.get(&b)).is_some_and(|link| link.up)
    }

    /// Everybody that a host can connect with, in order.
    pub fn neighbours(&self, host: usize) -> Vec<usize> {
        self.links.get(host).map(|links| links.keys().copied().collect()).unwrap_or_default()
    }

    /// Neighbours in the gossip mesh to which the connection stands.
    pub fn mesh(&self, host: usize) -> Vec<usize> {
        let mesh = self.mesh.get(host).into_iter().flatten().copied();
        mesh.filter(|other| self.is_up(host, *other)).collect()
    }

    /// Neighbours outside of the gossip mesh to which the connection stands.
    pub fn beside_mesh(&self, host: usize) -> Vec<usize> {
        let Some((links, mesh)) = self.links.get(host).zip(self.mesh.get(host)) else { return Vec::new() };
        let beside = links.iter().filter(|(other, link)| link.up && !mesh.contains(other));
        beside.map(|(other, _)| *other).collect()
    }

    fn link(&mut self, a: usize, b: usize) -> Option<&mut Link> {
        self.links.get_mut(a)?.get_mut(&b)
    }

    /// Lets the connection between two hosts stand or not. Returns whether that changed anything.
    pub fn set_up(&mut self, a: usize, b: usize, up: bool) -> bool {
        let mut changed = false;
        for (a, b) in [(a, b), (b, a)] {
            if let Some(link) = self.link(a, b) {
                changed |= link.up != up;
                link.up = up;
            }
        }
        changed
    }

    /// What `a` sends to `b` gets lost from now on, and counts as that; or no longer.
    pub fn set_deaf(&mut self, a: usize, b: usize, deaf: Option<Mark>) {
        if let Some(link) = self.link(a, b) {
            link.deaf = deaf;
        }
    }

    /// What `a` sends to `b` arrives no earlier than `until`.
    pub fn clog(&mut self, a: usize, b: usize, until: Millis) {
        if let Some(link) = self.link(a, b) {
            link.clogged_until = link.clogged_until.max(until);
        }
    }

    /// Each link from one of these hosts to another that is none of them, in this direction.
    pub fn across(&self, side: &BTreeSet<usize>) -> Vec<(usize, usize)> {
        let links = side.iter().filter_map(|from| Some((*from, self.links.get(*from)?)));
        let all = links.flat_map(|(from, links)| links.keys().map(move |to| (from, *to)));
        all.filter(|(_, to)| !side.contains(to)).collect()
    }

    /// Whether any connection does not stand, or is deaf.
    pub fn is_broken(&self) -> bool {
        self.links.iter().flat_map(BTreeMap::values).any(|link| !link.up || link.deaf.is_some())
    }

    /// Mends every link. Gives the connections that did not stand.
    pub fn heal(&mut self) -> Vec<(usize, usize)> {
        let mut down = Vec::new();
        for (a, links) in self.links.iter_mut().enumerate() {
            for (b, link) in links.iter_mut() {
                if !link.up && a < *b {
                    down.push((a, *b));
                }
                link.up = true;
                link.deaf = None;
                link.clogged_until = Millis(0);
            }
        }
        down
    }

    /// When what `from` sends to `to` now arrives; none when it gets lost on the way.
    pub fn travel(&mut self, now: Millis, from: usize, to: usize, rng: &mut ChaCha8Rng) -> Option<Millis> {
        let link = self.links.get_mut(from)?.get_mut(&to)?;
        let lost = rng.next_u64() % 1000 < self.weather.loss;
        let jitter = rng.next_u64() % self.weather.delay_ms.max(1);
        if !link.up {
            return None;
        }
        if let Some(mark) = link.deaf.or(lost.then_some(Mark::Lost)) {
            self.tally.took(mark);
            return None;
        }
        let through = now.plus((link.base_ms + jitter).max(1));
        let at = through.max(link.clogged_until);
        if at > through {
            self.tally.took(Mark::HeldUp);
        }
        if at < link.last_at {
            self.tally.took(Mark::Overtook);
        }
        link.last_at = link.last_at.max(at);
        Some(at)
    }

    /// Counts what a host sends.
    pub fn count(&mut self, host: usize, kind: &'static str, bytes: u64) {
        if let Some(sent) = self.sent.get_mut(host) {
            sent.add(bytes);
        }
        self.by_kind.entry(kind).or_default().add(bytes);
    }

    /// What was sent, by kind.
    pub const fn by_kind(&self) -> &BTreeMap<&'static str, Count> {
        &self.by_kind
    }

    /// What each host has sent.
    pub fn sent(&self) -> &[Count] {
        &self.sent
    }

    /// What all hosts have sent.
    pub fn total(&self) -> Count {
        self.sent.iter().fold(Count::default(), |sum, count| sum.plus(*count))
    }

    /// Whether these hosts can all reach each other without anybody else.
    pub fn connects(&self, hosts: &BTreeSet<usize>) -> bool {
        let mut reached: BTreeSet<usize> = hosts.first().copied().into_iter().collect();
        let mut new: Vec<usize> = reached.iter().copied().collect();
        while let Some(host) = new.pop() {
            for other in self.neighbours(host) {
                if hosts.contains(&other) && reached.insert(other) {
                    new.push(other);
                }
            }
        }
        reached.len() == hosts.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    fn network(hosts: usize, topology: Topology) -> Network {
        Network::new(hosts, topology, (5, 20), &mut ChaCha8Rng::from_seed([3; 32]))
    }

    #[test]
    fn circles_connect_everybody_with_few_links() {
        let network = network(100, Topology::Circles { degree: 12 });
        assert!(network.connects(&(0..100).collect()));
        let degrees: Vec<usize> = (0..100).map(|host| network.neighbours(host).len()).collect();
        assert!(degrees.iter().all(|degree| (6..=12).contains(degree)), "{degrees:?}");
        assert!((0..100).all(|host| network.mesh(host).len() <= DEGREE));
        assert!((0..100).all(|host| network.mesh(host).iter().all(|b| network.mesh(*b).contains(&host))));
    }

    #[test]
    fn a_full_network_has_every_link_and_a_small_mesh() {
        let network = network(30, Topology::Full);
        assert!((0..30).all(|host| network.neighbours(host).len() == 29));
        assert!((0..30).all(|host| network.mesh(host).len() <= DEGREE));
    }

    #[test]
    fn cut_deaf_and_clogged_links_do_what_they_say() {
        let mut network = network(3, Topology::Full);
        let mut rng = ChaCha8Rng::from_seed([4; 32]);
        let now = Millis(1000);
        assert!(network.travel(now, 0, 1, &mut rng).is_some());
        network.set_deaf(0, 1, Some(Mark::Unheard));
        assert!(network.travel(now, 0, 1, &mut rng).is_none());
        assert!(network.travel(now, 1, 0, &mut rng).is_some(), "the other direction goes on");
        assert_eq!(network.tally.count(Mark::Unheard), 1);
        network.clog(1, 2, Millis(9_000));
        assert_eq!(network.travel(now, 1, 2, &mut rng), Some(Millis(9_000)));
        assert_eq!(network.tally.count(Mark::HeldUp), 1);
        assert!(network.set_up(0, 2, false));
        assert!(!network.set_up(0, 2, false));
        assert!(network.travel(now, 2, 0, &mut rng).is_none());
        assert_eq!(network.heal(), [(0, 2)]);
        assert!(network.travel(now, 0, 1, &mut rng).is_some());
        assert!(network.travel(now, 1, 2, &mut rng).is_some_and(|at| at < Millis(2_000)));
        assert!(network.tally.count(Mark::Overtook) > 0, "the first is still on its way");
    }
}
