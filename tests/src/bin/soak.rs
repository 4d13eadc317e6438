//! Real nodes, two of them behind address translation, append for minutes while packets are lost, networks part, processes
//! are killed and keys replaced. Then everything heals, and this demands the same heads everywhere, every acknowledged
//! statement, no proof of misbehaviour, and memory that does not grow.
//!
//! `MINUTES` (10), `NODES` (6), `SEED` (1) and `DATABASE_MIB` (16) come from the environment; the faults follow from the seed. The
//! first node is never killed: its memory shows what time costs. The report goes to `soak/` in the build's directory.
//! Interrupted, it ends early: it heals, checks and reports what there is, and takes the network away.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use counterfoil_tests::fleet::Fleet;
use counterfoil_tests::lab::{Condition, Host, Lab};
use counterfoil_tests::process::Outcome;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use serde_json::{Value, json};

/// Nodes behind address translation, with the first as their relay.
const BEHIND: usize = 2;
/// How long a node waits between two statements.
const PACE: Duration = Duration::from_millis(250);
/// How often memory is looked at.
const SAMPLE: Duration = Duration::from_secs(5);
/// Longest until everybody agrees once everything has healed.
const HEALING: Duration = Duration::from_secs(120);
/// In the last minute memory may be so much of what it was at half time, in parts of a hundred. What is remembered for ten
/// minutes, such as names of messages, still grows a little in a run of ten.
const GROWTH: u64 = 115;

/// Whether somebody wants it to end.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Resident memory of all nodes at one moment, in KiB; of those that run.
struct Sample {
    at: Duration,
    resident: Vec<Option<u64>>,
}

#[derive(Default)]
struct Faults {
    weather: u64,
    partitions: u64,
    kills: u64,
    rotations: u64,
    slow_links: u64,
}

struct Soak {
    fleet: Fleet,
    lab: Lab,
    hosts: Vec<Host>,
    random: ChaCha8Rng,
    faults: Faults,
    samples: Vec<Sample>,
    since: Instant,
}

impl Soak {
    /// Waits, and looks at memory meanwhile.
    fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            let elapsed = self.since.elapsed();
            if self.samples.last().is_none_or(|last| elapsed.saturating_sub(last.at) >= SAMPLE) {
                let resident = self.fleet.nodes.iter().map(|node| node.resident_kib().ok()).collect();
                self.samples.push(Sample { at: elapsed, resident });
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || INTERRUPTED.load(Ordering::Relaxed) {
                return;
            }
            std::thread::park_timeout(left.min(PACE));
        }
    }

    fn seconds(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.random.random_range(from * 1000..to * 1000))
    }

    fn weather(&mut self) {
        let condition = Condition {
            delay: Duration::from_millis(self.random.random_range(0..40)),
            jitter: Duration::from_millis(self.random.random_range(0..40)),
            loss_ppm: self.random.random_range(0..50_000),
            duplicate_ppm: self.random.random_range(0..20_000),
            ..Condition::default()
        };
        self.lab.wire().change_all(|one| *one = Condition { is_cut: one.is_cut, ..condition });
        self.faults.weather += 1;
    }

    fn partition(&mut self) {
        let mut ports: Vec<usize> = self.hosts.iter().map(|host| host.port).collect();
        ports.dedup();
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for port in ports {
            if self.random.random_bool(0.5) { left.push(port) } else { right.push(port) }
        }
        self.lab.wire().cut(&left, &right, true);
        if self.random.random_bool(0.7) {
            self.lab.wire().cut(&right, &left, true);
        }
        self.faults.partitions += 1;
        let lasts = self.seconds(3, 20);
        self.pass(lasts);
        self.lab.wire().change_all(|one| one.is_cut = false);
    }

    fn slow_link(&mut self) {
        let mut port = || {
            let index = self.random.random_range(0..self.hosts.len());
            self.hosts.get(index).map_or(0, |host| host.port)
        };
        let (from, to) = (port(), port());
        self.lab.wire().change(from, to, |one| one.bytes_per_s = Some(20_000));
        self.faults.slow_links += 1;
        let lasts = self.seconds(3, 10);
        self.pass(lasts);
        self.lab.wire().change(from, to, |one| one.bytes_per_s = None);
    }

    fn any_node(&mut self) -> usize {
        self.random.random_range(0..self.fleet.nodes.len())
    }

    /// Any node but the first, whose memory shows what time costs.
    fn kill(&mut self) -> Outcome<()> {
        let (victim, away) = (self.random.random_range(1..self.fleet.nodes.len()), self.seconds(0, 8));
        let Some(node) = self.fleet.nodes.get(victim) else { return Ok(()) };
        node.kill()?;
        self.faults.kills += 1;
        self.pass(away);
        let Some(node) = self.fleet.nodes.get(victim) else { return Ok(()) };
        node.start()
    }

    fn rotate(&mut self) -> Outcome<()> {
        let number = self.any_node();
        if let Some(node) = self.fleet.nodes.get(number) {
            node.run(&["node", "rotate"])?;
        }
        self.faults.rotations += 1;
        Ok(())
    }

    /// One fault after the other until the time is over.
    fn run(&mut self, lasts: Duration) -> Outcome<()> {
        while self.since.elapsed() < lasts && !INTERRUPTED.load(Ordering::Relaxed) {
            match self.random.random_range(0..10) {
                0..=2 => self.weather(),
                3..=5 => self.partition(),
                6 | 7 => self.kill()?,
                8 => self.rotate()?,
                _ => self.slow_link(),
            }
            let quiet = self.seconds(1, 5);
            self.pass(quiet);
        }
        Ok(())
    }

    /// Mean memory of each node in a span of time, in KiB.
    fn mean(&self, from: Duration, to: Duration) -> Vec<u64> {
        let within = || self.samples.iter().filter(|sample| (from..to).contains(&sample.at));
        (0..self.fleet.nodes.len())
            .map(|number| {
                let found: Vec<u64> =
                    within().filter_map(|sample| sample.resident.get(number).copied().flatten()).collect();
                found.iter().sum::<u64>() / (found.len() as u64).max(1)
            })
            .collect()
    }
}

fn number(name: &str, otherwise: u64) -> Outcome<u64> {
    match std::env::var(name) {
        Ok(text) => Ok(text.parse().map_err(|_| format!("{name} is {text:?}, which is no number"))?),
        Err(_) => Ok(otherwise),
    }
}

fn soak() -> Outcome<()> {
    let (minutes, seed) = (number("MINUTES", 10)?, number("SEED", 1)?);
    let (nodes, database_mib) = (number("NODES", 6)?, number("DATABASE_MIB", 16)?);
    let this = std::env::current_exe()?;
    let program = this.with_file_name("node-under-test");
    let target: PathBuf =
        this.parent().and_then(|folder| folder.parent()).ok_or("no build directory")?.into();
    let folder = fresh_folder(&target)?;
    let mut lab = Lab::new(seed)?;
    let hosts = hosts(&mut lab, nodes)?;
    let mut fleet = Fleet::found(&program.to_string_lossy(), &folder.join("nodes"), &hosts)?;
    fleet
        .nodes
        .iter_mut()
        .for_each(|node| node.always(&["--anchor", "20", "--database-mib", &database_mib.to_string()]));
    let behind: Vec<usize> = (hosts.len() - BEHIND..hosts.len()).collect();
    fleet.meet(2, &behind)?;
    fleet.settle(HEALING)?;
    let random = ChaCha8Rng::seed_from_u64(seed);
    let (faults, samples, since) = (Faults::default(), Vec::new(), Instant::now());
    let mut soak = Soak { fleet, lab, hosts, random, faults, samples, since };
    println!("{nodes} nodes, {minutes} minutes, seed {seed}; data in {}", folder.display());

    let (is_over, refused) = (AtomicBool::new(false), AtomicU64::new(0));
    let lasts = Duration::from_secs(60 * minutes);
    append_while(&mut soak, &is_over, &refused, lasts)?;
    soak.lab.wire().change_all(|one| *one = Condition::default());
    if INTERRUPTED.load(Ordering::Relaxed) {
        // What interrupts this at a terminal ends the nodes too.
        soak.fleet.nodes.iter().try_for_each(|node| node.kill().and_then(|()| node.start()))?;
    }
    let minutes = minutes.min(soak.since.elapsed().as_secs().div_ceil(60));
    let healing = Instant::now();
    let heads = soak.fleet.settle(HEALING)?;
    let healed = healing.elapsed();
    let looked = soak.fleet.check()?;

    let minute = |n: u64| Duration::from_secs(60 * n);
    let mut table = String::from("minute   memory of each node, MiB\n");
    for n in 0..minutes {
        let means = soak.mean(minute(n), minute(n + 1));
        let shown: Vec<String> = means.iter().map(|kib| format!("{:>6.1}", *kib as f64 / 1024.0)).collect();
        writeln!(table, "{:>6}   {}", n + 1, shown.join(" "))?;
    }
    let half = (minutes / 2).min(minutes.saturating_sub(1));
    let before = soak.mean(minute(half), minute(half + 1)).first().copied().unwrap_or(0);
    let last = soak.mean(minute(minutes.saturating_sub(1)), minute(minutes));
    let after = last.iter().max().copied().unwrap_or(0);
    let allowed = before * GROWTH / 100;
    let (traffic, faults) = (soak.lab.wire().traffic(), &soak.faults);
    let statements: u64 = heads.values().map(|(size, _)| size).sum();
    writeln!(
        table,
        "faults: {} weathers, {} partitions, {} kills, {} new peer keys, {} slow links; {} of {} packets lost",
        faults.weather,
        faults.partitions,
        faults.kills,
        faults.rotations,
        faults.slow_links,
        traffic.lost,
        traffic.sent
    )?;
    writeln!(
        table,
        "{} statements acknowledged ({} refused or cut off), {statements} in {nodes} chains; the same heads everywhere after {:.1} s",
        soak.fleet.acknowledged(),
        refused.load(Ordering::Relaxed),
        healed.as_secs_f64()
    )?;
    writeln!(
        table,
        "{looked} times an acknowledged statement was looked for and found; no proof of misbehaviour"
    )?;
    writeln!(
        table,
        "the node that ran throughout: {before} KiB at half time; the largest in the last minute: {after} KiB, {allowed} allowed"
    )?;
    print!("{table}");
    let samples: Vec<Value> = soak
        .samples
        .iter()
        .map(|sample| json!({ "at_s": sample.at.as_secs(), "resident_kib": sample.resident }))
        .collect();
    let report = json!({
        "minutes": minutes, "seed": seed,
        "acknowledged": soak.fleet.acknowledged(), "statements": statements, "looked": looked,
        "healed_ms": healed.as_millis() as u64,
        "faults": {
            "weather": faults.weather, "partitions": faults.partitions, "kills": faults.kills,
            "rotations": faults.rotations, "slow_links": faults.slow_links,
        },
        "packets": { "sent": traffic.sent, "lost": traffic.lost, "delivered": traffic.delivered },
        "memory_kib": { "half_time": before, "last_minute": last, "allowed": allowed },
        "samples": samples,
    });
    std::fs::write(folder.join("report.json"), serde_json::to_vec_pretty(&report)?)?;
    std::fs::write(folder.join("report.txt"), &table)?;
    println!("report: {}", folder.join("report.txt").display());
    if after > allowed {
        return Err("memory grew by more than is allowed".into());
    }
    Ok(())
}

/// So many hosts on the wire, the last of which nobody can dial.
fn hosts(lab: &mut Lab, nodes: u64) -> Outcome<Vec<Host>> {
    let last = u8::try_from(nodes).ok().filter(|nodes| (4..=24).contains(nodes));
    let last = last.ok_or_else(|| format!("{nodes} nodes, where 4 to 24 make sense"))?;
    let open = last.saturating_sub(BEHIND as u8);
    let mut hosts = (1..=open).map(|n| lab.host(n)).collect::<Outcome<Vec<Host>>>()?;
    hosts.extend(lab.behind_router(last, BEHIND as u8)?);
    Ok(hosts)
}

/// A fresh folder for this run.
fn fresh_folder(target: &std::path::Path) -> Outcome<PathBuf> {
    let folder = target.join("soak");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(folder.join("nodes"))?;
    Ok(folder)
}

/// Every node appends at its pace while faults happen.
fn append_while(soak: &mut Soak, is_over: &AtomicBool, refused: &AtomicU64, lasts: Duration) -> Outcome<()> {
    // The threads need the fleet while the faults' thread changes the rest.
    let nodes = soak.fleet.nodes.len();
    let appenders = (0..nodes).map(|author| soak.fleet.appender(author)).collect::<Outcome<Vec<_>>>()?;
    std::thread::scope(|scope| {
        for appender in appenders {
            scope.spawn(move || {
                let mut n = 0;
                while !is_over.load(Ordering::Relaxed) {
                    n += 1;
                    // A node that is away or cut off in the middle has acknowledged nothing.
                    if appender.observe(n).is_err() {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                    std::thread::park_timeout(PACE);
                }
            });
        }
        let outcome = soak.run(lasts);
        is_over.store(true, Ordering::Relaxed);
        outcome
    })
}

/// Notes when somebody interrupts this, for as long as it runs.
fn listen() -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            eprintln!("interrupted: it heals, checks and reports");
            INTERRUPTED.store(true, Ordering::Relaxed);
        }
    });
    Ok(())
}

fn main() -> ExitCode {
    match listen().and_then(|()| soak()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
