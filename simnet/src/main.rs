//! The command: runs, repeats and swarms of simulated meshes.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::{Args, Parser, Subcommand};
use counterfoil_federation::Config;
use counterfoil_simnet::bars::{self, Bar};
use counterfoil_simnet::checkers::Violation;
use counterfoil_simnet::grow::{Growth, Memory, most_resident_bytes};
use counterfoil_simnet::plan::{Plan, numbers};
use counterfoil_simnet::report;
use counterfoil_simnet::run::{Report, run};
use counterfoil_simnet::shrink::shrink;
use counterfoil_simnet::tally::Tally;

#[derive(Parser)]
#[command(about = "Runs Counterfoil engines in a deterministic world with a faulty network and faulty disks")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One run for each seed; what fails is made small, and the command printed that repeats it.
    Swarm {
        /// First seed and the one behind the last, as 100..200.
        #[arg(long, value_parser = seeds)]
        seeds: (u64, u64),
        /// Hosts in each world; 10 to 50, as each seed says, where it is not given.
        #[arg(long)]
        hosts: Option<usize>,
        /// Worlds at a time.
        #[arg(long, default_value_t = 2)]
        threads: usize,
        /// Most runs for making one failure small.
        #[arg(long, default_value_t = 60)]
        shrink: usize,
    },
    /// One run, and how it went.
    Run(Choice),
    /// What meshes of different sizes cost, as a table and a plot; fails when a bar is missed.
    Grow {
        /// Sizes, as 10,30,100.
        #[arg(long, value_parser = some_numbers, default_value = "10,30,100,300,1000")]
        sizes: Numbers,
        /// Idle minutes that are measured.
        #[arg(long, default_value_t = 2)]
        minutes: u64,
        /// The folder that gets growth.md and growth.svg.
        #[arg(long, default_value = "simnet")]
        to: std::path::PathBuf,
        /// The commit that is measured, for the table.
        #[arg(long, default_value = "unknown")]
        commit: String,
    },
    /// What a mesh takes in memory, in bytes: for each organisation, and one engine by itself.
    Memory {
        /// Organisations.
        #[arg(long)]
        hosts: usize,
    },
    /// Lets one mesh live for a while, and says what that took; fails when that is more than it may.
    Pass {
        /// Organisations.
        #[arg(long, default_value_t = 1000)]
        hosts: usize,
        /// Simulated minutes.
        #[arg(long, default_value_t = 60)]
        minutes: u64,
        /// Statements that are made in all.
        #[arg(long, default_value_t = 100)]
        statements: u64,
        /// Seconds that it may take.
        #[arg(long, default_value_t = 600)]
        seconds_max: u64,
        /// Most memory that it may have resident, in MiB.
        #[arg(long, default_value_t = 6 * 1024)]
        mib_max: u64,
    },
    /// One run with what happened line by line; twice, to show that it is the same.
    Replay(Choice),
}

#[derive(Args)]
struct Choice {
    /// The seed.
    #[arg(long)]
    seed: u64,
    /// Hosts in the world; 10 to 50, as the seed says, where it is not given.
    #[arg(long)]
    hosts: Option<usize>,
    /// Hosts that never start, as 3,7-9.
    #[arg(long, value_parser = some_numbers)]
    absent: Option<Numbers>,
    /// Steps that are done, of those that the seed gives, as 3,7-9 or none; all where it is not given.
    #[arg(long, value_parser = some_numbers)]
    keep: Option<Numbers>,
}

#[derive(Clone)]
struct Numbers(Vec<usize>);

fn some_numbers(text: &str) -> Result<Numbers, String> {
    numbers(text).map(Numbers)
}

fn seeds(text: &str) -> Result<(u64, u64), String> {
    let range = text.split_once("..").and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    range.filter(|(a, b)| a < b).ok_or_else(|| format!("{text:?} is not a range such as 100..200"))
}

impl Choice {
    fn plan(&self) -> Plan {
        let mut plan = Plan::of(self.seed, self.hosts);
        for host in self.absent.iter().flat_map(|absent| &absent.0) {
            plan = plan.without(*host);
        }
        self.keep.as_ref().map_or_else(|| plan.clone(), |keep| plan.only(&keep.0))
    }
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Swarm { seeds: (first, end), hosts, threads, shrink } => {
            swarm(first, end, hosts, threads.max(1), shrink)
        }
        Command::Grow { sizes, minutes, to, commit } => grow(&sizes.0, minutes, &to, &commit),
        Command::Memory { hosts } => memory(hosts),
        Command::Pass { hosts, minutes, statements, seconds_max, mib_max } => {
            pass(hosts, minutes, statements, seconds_max, mib_max)
        }
        Command::Run(choice) => {
            let plan = choice.plan();
            let (violation, report) = outcome(&plan, false);
            summary(&plan, &report);
            verdict(violation.as_ref())
        }
        Command::Replay(choice) => {
            let plan = choice.plan();
            plan.steps.iter().zip(&plan.kept).for_each(|(step, number)| println!("step {number:>3} {step}"));
            let (violation, report) = outcome(&plan, true);
            report.lines.iter().for_each(|line| println!("{line}"));
            summary(&plan, &report);
            let (_, again) = outcome(&plan, false);
            if again.digest != report.digest {
                println!("a second run had the digest {}", again.digest);
                return ExitCode::FAILURE;
            }
            verdict(violation.as_ref())
        }
    }
}

fn grow(sizes: &[usize], minutes: u64, to: &std::path::Path, commit: &str) -> ExitCode {
    let mut all = Vec::new();
    for size in sizes {
        let measured = counterfoil_simnet::grow::measure(*size, 1, minutes);
        match measured.and_then(|growth| Ok(Growth { memory: memory_elsewhere(*size)?, ..growth })) {
            Ok(growth) => {
                println!("{growth:?}");
                all.push(growth);
            }
            Err(error) => {
                println!("{size} organisations: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    let list: Vec<String> = sizes.iter().map(ToString::to_string).collect();
    let command = format!("counterfoil-simnet grow --sizes {} --minutes {minutes}", list.join(","));
    let bars = bars::of_growth(&all, Config::default().anti_entropy_ms);
    let text = report::markdown(&all, &bars, &command, commit);
    let files = [("growth.md", text), ("growth.svg", report::svg(&all))];
    for (name, text) in files {
        if let Err(error) = std::fs::write(to.join(name), text) {
            println!("{}: {error}", to.join(name).display());
            return ExitCode::FAILURE;
        }
    }
    held(&bars)
}

fn memory(hosts: usize) -> ExitCode {
    match counterfoil_simnet::grow::memory(hosts, 1) {
        Ok(Memory { simulated, alone }) => {
            println!("{simulated} {alone}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures memory in a process of its own.
fn memory_elsewhere(hosts: usize) -> Result<Memory, String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = std::process::Command::new(this).args(["memory", "--hosts", &hosts.to_string()]).output();
    let text = String::from_utf8_lossy(&output.map_err(|error| error.to_string())?.stdout).trim().to_owned();
    let numbers = text.split_once(' ').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    let (simulated, alone) = numbers.ok_or_else(|| format!("its memory was not measured: {text}"))?;
    Ok(Memory { simulated, alone })
}

/// Prints bars. Fails where one is missed.
fn held(bars: &[Bar]) -> ExitCode {
    bars.iter().for_each(|bar| println!("{bar}"));
    if bars.iter().all(|bar| bar.is_held) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn pass(hosts: usize, minutes: u64, statements: u64, seconds_max: u64, mib_max: u64) -> ExitCode {
    let began = std::time::Instant::now();
    match counterfoil_simnet::grow::pass(hosts, 1, minutes, statements) {
        Ok(world) => {
            let (took, total) = (began.elapsed(), world.network.total());
            println!(
                "{hosts} organisations, {minutes} minutes, {} statements: {} messages, {} MiB sent",
                world.history.acknowledged.len(),
                total.messages,
                total.bytes >> 20
            );
            held(&bars::of_pass(took, seconds_max, most_resident_bytes(), mib_max))
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn outcome(plan: &Plan, keep_lines: bool) -> (Option<Violation>, Report) {
    match run(plan, None, keep_lines) {
        Ok(report) => (None, report),
        Err(failure) => (Some(failure.0), failure.1),
    }
}

fn summary(plan: &Plan, report: &Report) {
    println!(
        "seed {}: {} hosts, {} steps, {} events, {} acknowledged, {} decided; converged in {} ms, healed in {} ms, \
         recall in {} ms over {} links, exposed in {:?} ms; digest {}",
        plan.seed,
        plan.hosts,
        plan.steps.len(),
        report.events,
        report.acknowledged,
        report.decided,
        report.converged_ms,
        report.healed_ms,
        report.recall_ms,
        report.recall_hops,
        report.exposed_ms,
        report.digest
    );
    println!("took effect: {}", report.tally);
}

fn verdict(violation: Option<&Violation>) -> ExitCode {
    match violation {
        None => ExitCode::SUCCESS,
        Some(violation) => {
            println!("{}: {}", violation.checker, violation.text);
            ExitCode::FAILURE
        }
    }
}

/// Runs after which a swarm says how far it is.
const PROGRESS_RUNS: u64 = 100;

fn swarm(first: u64, end: u64, hosts: Option<usize>, threads: usize, shrink_runs: usize) -> ExitCode {
    let next = AtomicU64::new(first);
    let failures = AtomicU64::new(0);
    let done = AtomicU64::new(0);
    let reports = Mutex::new(Vec::new());
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let plan = Plan::of(seed, hosts);
                    let (found, report) = outcome(&plan, false);
                    if let Ok(mut tally) = tally.lock() {
                        tally.add(&report.tally);
                    }
                    match (found, report) {
                        (None, report) => {
                            if let Ok(mut reports) = reports.lock() {
                                reports.push((seed, report));
                            }
                        }
                        (Some(violation), _) => {
                            failures.fetch_add(1, Ordering::Relaxed);
                            println!("seed {seed}: {}: {}", violation.checker, violation.text);
                            println!("  {}", plan.command());
                            if shrink_runs > 0 {
                                let small =
                                    shrink(plan, violation, shrink_runs, |plan| outcome(plan, false).0);
                                println!("  made smaller in {} runs: {}", small.runs, small.violation.text);
                                println!("  {}", small.plan.command());
                            }
                        }
                    }
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    if done.is_multiple_of(PROGRESS_RUNS) && done < end - first {
                        println!(
                            "{done} of {} runs, {} failed",
                            end - first,
                            failures.load(Ordering::Relaxed)
                        );
                        if let Ok(tally) = tally.lock() {
                            println!("took effect: {tally}");
                        }
                    }
                }
            });
        }
    });
    let reports = reports.into_inner().unwrap_or_default();
    let failed = failures.into_inner();
    let tally = tally.into_inner().unwrap_or_default();
    // With the seed, so that it can be looked into.
    let worst = |of: fn(&Report) -> u64| {
        let worst = reports.iter().max_by_key(|(_, report)| of(report));
        worst.map_or_else(|| "?".into(), |(seed, report)| format!("{} (seed {seed})", of(report)))
    };
    println!("{} runs, {failed} failed", end - first);
    println!("took effect: {tally}");
    println!(
        "at most, in ms: converged {}, healed {}, recall {}, exposed {} of {} runs; links that a recall went over: {}",
        worst(|report| report.converged_ms),
        worst(|report| report.healed_ms),
        worst(|report| report.recall_ms),
        worst(|report| report.exposed_ms.unwrap_or_default()),
        reports.iter().filter(|(_, report)| report.exposed_ms.is_some()).count(),
        worst(|report| u64::from(report.recall_hops)),
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
