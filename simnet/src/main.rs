//! `counterfoil-simnet swarm --seeds 100..200`: a run for each seed, and the command that repeats one that fails.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use counterfoil_simnet::swarm;

#[derive(Parser)]
#[command(about = "Runs Counterfoil engines in a deterministic world with a faulty network and faulty disks")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One run for each seed.
    Swarm {
        /// First seed and the one behind the last, as 100..200.
        #[arg(long, value_parser = seeds)]
        seeds: (u64, u64),
        /// Hosts in each world.
        #[arg(long, default_value_t = 5)]
        hosts: u64,
        /// Rounds of mischief.
        #[arg(long, default_value_t = 40)]
        rounds: u64,
    },
    /// One run, with its trace.
    Replay {
        /// The seed.
        #[arg(long)]
        seed: u64,
        /// Hosts in the world.
        #[arg(long, default_value_t = 5)]
        hosts: u64,
        /// Rounds of mischief.
        #[arg(long, default_value_t = 40)]
        rounds: u64,
    },
}

fn seeds(text: &str) -> Result<(u64, u64), String> {
    let range = text.split_once("..").and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    range.filter(|(a, b)| a < b).ok_or_else(|| format!("{text:?} is not a range such as 100..200"))
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Swarm { seeds: (first, end), hosts, rounds } => {
            let mut failures = 0u64;
            for seed in first..end {
                if let Err(violation) = swarm::run(seed, hosts, rounds) {
                    failures += 1;
                    println!("seed {seed}: {}: {}", violation.checker, violation.text);
                    println!(
                        "  replay: counterfoil-simnet replay --seed {seed} --hosts {hosts} --rounds {rounds}"
                    );
                }
            }
            println!("{} runs, {failures} failed", end - first);
            if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Command::Replay { seed, hosts, rounds } => match swarm::run(seed, hosts, rounds) {
            Ok(history) => {
                history.trace.iter().for_each(|line| println!("{line}"));
                println!(
                    "{} heads published, {} statements acknowledged",
                    history.published.len(),
                    history.acknowledged.len()
                );
                ExitCode::SUCCESS
            }
            Err(violation) => {
                println!("{}: {}", violation.checker, violation.text);
                ExitCode::FAILURE
            }
        },
    }
}
