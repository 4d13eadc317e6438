//! `forks`: proofs that organisations signed contradicting heads.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;

use super::Context;
use super::client::segment;
use crate::service::read::ForkView;

/// Proofs that organisations signed contradicting heads
#[derive(Debug, Subcommand)]
pub(super) enum Forks {
    /// List organisations with a proof
    List,
    /// Show what one signed
    Show {
        /// Its id, an unambiguous prefix, or its name
        organisation: String,
    },
    /// Write the proof, which `verify` checks offline
    Export {
        /// Its id, an unambiguous prefix, or its name
        organisation: String,
        /// Where to write it
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
}

impl Forks {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let one = |organisation: &str| format!("/v1/forks/{}", segment(organisation));
        match self {
            Self::List => {
                let all: Vec<ForkView> = context.client.get("/v1/forks")?;
                all.iter().for_each(|fork| print(context, fork));
                if all.is_empty() {
                    context.out.line("no organisation known here has signed contradicting heads");
                }
                context.out.value(&all)
            }
            Self::Show { organisation } => {
                let fork: ForkView = context.client.get(&one(&organisation))?;
                print(context, &fork);
                context.out.value(&fork)
            }
            Self::Export { organisation, output } => {
                let fork: ForkView = context.client.get(&one(&organisation))?;
                std::fs::write(&output, &fork.proof.0).with_context(|| output.display().to_string())?;
                context.out.done(format!("the proof is in {}", output.display()));
                context.out.next(format!("counterfoil verify {}", output.display()));
                context.out.value(&fork)
            }
        }
    }
}

fn print(context: &Context, fork: &ForkView) {
    context.out.bad(format!("{} ({}) signed {}", fork.name, fork.organisation, fork.how));
    for signed in &fork.signed {
        let seq = signed.seq.map(|seq| format!("head {seq}, ")).unwrap_or_default();
        context.out.detail(format!("{seq}{} statements with root {}", signed.size, signed.root));
    }
}
