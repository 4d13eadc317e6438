//! The wire: a switch between tunnel devices, one in each network namespace, that delays, loses, doubles and cuts.
//!
//! ```text
//! namespace A: device --reader--> fate of the link A to B --> queue by time --deliverer--> device in namespace B
//! ```
//!
//! A device is made here and moved into its namespace; its file stays open on this side. What the kernel of this machine
//! can do to packets itself makes no difference.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::Ipv4Addr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use super::link::{Condition, Link};
use crate::process::Outcome;

/// Most packets under way; what comes then is lost.
const UNDER_WAY_MAX: usize = 16_384;
/// Largest packet.
const PACKET_BYTES_MAX: usize = 2048;

/// What the wire did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets that were sent into it.
    pub sent: u64,
    /// Packets that came out.
    pub delivered: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that were lost.
    pub lost: u64,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    at: Instant,
    number: u64,
    to: usize,
    bytes: Vec<u8>,
}

#[derive(Default)]
struct State {
    seed: u64,
    ports: BTreeMap<Ipv4Addr, usize>,
    devices: Vec<Arc<SyncDevice>>,
    links: BTreeMap<(usize, usize), Link>,
    under_way: BinaryHeap<Reverse<Packet>>,
    next: u64,
    traffic: Traffic,
    is_over: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A switch whose links can be changed while it works.
pub struct Wire {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Where a packet of IP version 4 is for.
fn destination(packet: &[u8]) -> Option<Ipv4Addr> {
    let is_v4 = packet.first().is_some_and(|first| first >> 4 == 4);
    let address: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
    is_v4.then(|| address.into())
}

impl State {
    fn link(&mut self, from: usize, to: usize) -> &mut Link {
        let seed = self.seed;
        self.links.entry((from, to)).or_insert_with(|| Link::new(seed, from, to))
    }

    fn take(&mut self, from: usize, bytes: &[u8]) {
        self.traffic.sent += 1;
        let to = destination(bytes).and_then(|address| self.ports.get(&address).copied());
        let arrivals = match to {
            Some(to) if self.under_way.len() < UNDER_WAY_MAX => {
                self.link(from, to).arrivals(Instant::now(), bytes.len())
            }
            _ => Vec::new(),
        };
        self.traffic.lost += u64::from(arrivals.is_empty());
        for at in arrivals {
            self.next += 1;
            let packet = Packet { at, number: self.next, to: to.unwrap_or_default(), bytes: bytes.to_vec() };
            self.under_way.push(Reverse(packet));
        }
    }
}

impl Wire {
    /// A wire without any device; what it does to packets follows from the seed.
    ///
    /// # Errors
    /// When its thread cannot be started.
    pub fn new(seed: u64) -> Outcome<Self> {
        let state = Mutex::new(State { seed, ..State::default() });
        let shared = Arc::new(Shared { state, changed: Condvar::new() });
        let deliverer = {
            let shared = shared.clone();
            std::thread::Builder::new().name("wire".into()).spawn(move || deliver(&shared))?
        };
        Ok(Self { shared, threads: Mutex::new(vec![deliverer]) })
    }

    /// Makes a device in this process's namespace, and carries what it sends. Whoever moves it gives it the address.
    ///
    /// # Errors
    /// When there is no right to make one.
    pub(super) fn attach(&self, device: &str, address: Ipv4Addr) -> Outcome<usize> {
        let device = DeviceBuilder::new().name(device).layer(Layer::L3).enable(false).build_sync()?;
        let device = Arc::new(device);
        let port = {
            let mut state = self.shared.state();
            let port = state.devices.len();
            state.devices.push(device.clone());
            state.ports.insert(address, port);
            port
        };
        let shared = self.shared.clone();
        let reader = std::thread::Builder::new()
            .name(format!("wire {port}"))
            .spawn(move || read(&shared, port, &device))?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        Ok(port)
    }

    /// Carries what is for another address to a device too.
    pub(super) fn name(&self, port: usize, address: Ipv4Addr) {
        self.shared.state().ports.insert(address, port);
    }

    /// Changes one direction of a link.
    pub fn change(&self, from: usize, to: usize, change: impl FnOnce(&mut Condition)) {
        change(&mut self.shared.state().link(from, to).condition);
    }

    /// Changes all links in both directions.
    pub fn change_all(&self, change: impl Fn(&mut Condition)) {
        let mut state = self.shared.state();
        let count = state.devices.len();
        for (from, to) in (0..count).flat_map(|from| (0..count).map(move |to| (from, to))) {
            if from != to {
                change(&mut state.link(from, to).condition);
            }
        }
    }

    /// Cuts or mends what `from` sends to `to`; the other direction stays as it is.
    pub fn cut(&self, from: &[usize], to: &[usize], is_cut: bool) {
        for (from, to) in from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to))) {
            self.change(from, to, |condition| condition.is_cut = is_cut);
        }
    }

    /// What it did so far.
    pub fn traffic(&self) -> Traffic {
        self.shared.state().traffic
    }

    /// Carries nothing more, and waits for its threads: the devices must be gone, or on their way.
    pub(super) fn stop(&self) {
        let mut state = self.shared.state();
        state.is_over = true;
        for device in &state.devices {
            // One that is gone already blocks nobody.
            let _ = device.set_nonblocking(true);
        }
        drop(state);
        self.shared.changed.notify_all();
        for thread in std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner)) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

fn read(shared: &Shared, port: usize, device: &SyncDevice) {
    let mut packet = [0; PACKET_BYTES_MAX];
    // It ends with the device, which goes with its namespace.
    while let Ok(length) = device.recv(&mut packet) {
        let mut state = shared.state();
        if state.is_over {
            return;
        }
        state.take(port, packet.get(..length).unwrap_or_default());
        drop(state);
        shared.changed.notify_one();
    }
}

fn deliver(shared: &Shared) {
    let mut state = shared.state();
    while !state.is_over {
        let now = Instant::now();
        let due = state.under_way.peek().map(|Reverse(packet)| packet.at);
        match due {
            Some(at) if at <= now => {
                let Some(Reverse(packet)) = state.under_way.pop() else { continue };
                let Some(device) = state.devices.get(packet.to).cloned() else { continue };
                state.traffic.delivered += 1;
                state.traffic.bytes += packet.bytes.len() as u64;
                drop(state);
                // A device that is down loses packets, as they do.
                let _ = device.send(&packet.bytes);
                state = shared.state();
            }
            Some(at) => {
                let wait = at.duration_since(now);
                state = shared.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
            }
            None => state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
        }
    }
}
