//! `profile`: check, test, diff, declare, activate, shadow.

mod check;
mod diff;
mod shadow;
mod test;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use counterfoil_protocol::admissibility::Composition;

use self::check::{check, read};
use super::Context;
use crate::api::routes::{ActivateBody, TextBody};
use crate::service::say::Said;

/// Admissibility profiles
#[derive(Debug, Subcommand)]
pub(super) enum ProfileCommand {
    /// Check profiles without a node
    Check {
        /// TOML files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Try profiles on the cases beside them (NAME.cases.toml), or several together on cases that name them; without a node
    Test {
        /// TOML files of profiles, or of cases
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Which of two profiles is stronger, with a situation that shows it; without a node
    Diff(diff::Diff),
    /// Try a profile on past decisions, without effect
    Shadow(shadow::Shadow),
    /// Declare profiles; they are not in force yet
    Declare {
        /// TOML files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Stand behind an activation that is to come, as one of those that it needs
    Approve(Activate),
    /// Put declared profiles into force, in place of those before
    Activate(Activate),
}

/// Put declared profiles into force, in place of those before
#[derive(Debug, Args)]
pub(super) struct Activate {
    /// Statements that declared them
    #[arg(required = true)]
    profiles: Vec<String>,
    /// How they compose: intersection, hierarchical:ID,ID or weighted:THRESHOLD:ID=WEIGHT,ID=WEIGHT
    #[arg(long, default_value = "intersection", value_parser = composition)]
    compose: Composition,
    /// As which authority, by role or id
    #[arg(long = "as", value_name = "AUTHORITY")]
    authority: Option<String>,
}

fn composition(text: &str) -> Result<Composition, String> {
    if text == "intersection" {
        return Ok(Composition::Intersection);
    }
    if let Some(order) = text.strip_prefix("hierarchical:") {
        return Ok(Composition::Hierarchical { order: order.split(',').map(str::to_owned).collect() });
    }
    let weighted = text.strip_prefix("weighted:").and_then(|rest| rest.split_once(':'));
    let Some((threshold, weights)) = weighted else {
        return Err("intersection, hierarchical:ID,ID or weighted:THRESHOLD:ID=WEIGHT,ID=WEIGHT".into());
    };
    let threshold = threshold.parse().map_err(|_| format!("{threshold:?} is no threshold"))?;
    let weights = weights
        .split(',')
        .map(|pair| {
            let (id, weight) = pair.split_once('=').ok_or_else(|| format!("{pair:?} is not ID=WEIGHT"))?;
            Ok((id.to_owned(), weight.parse().map_err(|_| format!("{weight:?} is no weight"))?))
        })
        .collect::<Result<_, String>>()?;
    Ok(Composition::Weighted { weights, threshold })
}

impl ProfileCommand {
    /// Ends with the exit code.
    pub(super) fn run(self, context: &Context) -> anyhow::Result<u8> {
        match self {
            Self::Check { files } => check(context, &files)?,
            Self::Test { files } => return test::test(context, &files),
            Self::Diff(diff) => diff.run(context)?,
            Self::Shadow(shadow) => shadow.run(context)?,
            Self::Declare { files } => declare(context, &files)?,
            Self::Approve(activate) => activate.approve(context)?,
            Self::Activate(activate) => activate.run(context)?,
        }
        Ok(0)
    }
}

fn declare(context: &Context, files: &[PathBuf]) -> anyhow::Result<()> {
    // All are checked before the first is declared.
    let texts = files.iter().map(|file| read(context.out, file)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut declared = Vec::new();
    for (text, profile) in texts {
        let (said, _): (Said, serde_json::Value) = context.client.post("/v1/profiles", &TextBody { text })?;
        context.out.done(format!("{} is declared by {}", profile.id, said.statement));
        declared.push(serde_json::json!({ "profile": profile.id, "statement": said.statement }));
    }
    context.out.next("counterfoil profile activate STATEMENT...");
    context.out.value(&declared)
}

impl Activate {
    fn approve(self, context: &Context) -> anyhow::Result<()> {
        let names = self.profiles.join(" ");
        let body =
            ActivateBody { profiles: self.profiles, composition: self.compose, authority: self.authority };
        let said: Said = context.client.post("/v1/approvals", &body)?;
        context.out.done(format!("approved by {}", said.statement));
        context.out.next(format!("counterfoil profile activate {names}"));
        context.out.value(&said)
    }

    fn run(self, context: &Context) -> anyhow::Result<()> {
        let body =
            ActivateBody { profiles: self.profiles, composition: self.compose, authority: self.authority };
        let said: Said = context.client.post("/v1/activations", &body)?;
        context.out.done(format!("{} profiles are in force", body.profiles.len()));
        context.out.next("counterfoil decide REQUEST.toml");
        context.out.value(&said)
    }
}
