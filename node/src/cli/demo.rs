//! `demo`: the story on this machine, in real processes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Context;
use crate::demo::stage::Stage;
use crate::demo::{story, tamper};

/// Play a story through real nodes on this machine
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// `tamper` plays four attacks, and shows how each is caught
    #[arg(value_enum)]
    act: Option<Act>,
    /// End when the story does, in place of leaving the nodes running until Ctrl-C
    #[arg(long)]
    exit: bool,
    /// Number of organisations; those beyond the fourth are witnesses
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(4..=12))]
    orgs: u8,
    /// Where everything is put; a new folder among the temporary files where none is named
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Act {
    Tamper,
}

impl Demo {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let fresh = || std::env::temp_dir().join(format!("counterfoil-demo-{}", std::process::id()));
        let folder = self.folder.clone().unwrap_or_else(fresh);
        let mut stage = Stage::new(&folder, context.out)?;
        let out = context.out;
        if self.act == Some(Act::Tamper) {
            let outcome = tamper::play(&mut stage)?;
            for attack in &outcome.attacks {
                out.done(format!("caught: {} [{}]", attack.attack, attack.check));
                out.detail(&attack.evidence);
            }
            return out.value(&outcome);
        }
        let outcome = story::play(&mut stage, usize::from(self.orgs))?;
        out.line("");
        out.line(format!("verdicts: {}", outcome.verdicts.join(", then ")));
        for one in &outcome.organisations {
            out.detail(format!("{:<22} {} statements, {} peers, {}", one.name, one.size, one.peers, one.api));
        }
        if let (Some(deployer), Some(decision)) =
            (outcome.organisations.iter().find(|one| one.role == story::DEPLOYER), outcome.decisions.get(1))
        {
            out.line("try next:");
            if !self.exit {
                out.detail(format!("counterfoil --data {} why {decision}", deployer.data));
                out.detail(format!("counterfoil --data {} trace {decision}", deployer.data));
            }
            out.detail(format!("counterfoil verify {}", outcome.bundle));
            out.detail("counterfoil demo tamper");
        }
        out.value(&outcome)?;
        if !self.exit {
            out.line("the nodes run until Ctrl-C");
            stage.stay();
        }
        Ok(())
    }
}
