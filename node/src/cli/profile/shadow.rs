//! `profile shadow`: what a profile would have made of past decisions.

use std::path::PathBuf;

use clap::Args;
use counterfoil_protocol::ids::Timestamp;

use super::check::read;
use crate::api::routes::ShadowBody;
use crate::cli::Context;
use crate::cli::print::{period, short, time};
use crate::service::what_if;

/// Try a profile on past decisions, without effect
#[derive(Debug, Args)]
pub(in crate::cli) struct Shadow {
    /// TOML file
    file: PathBuf,
    /// Of the decisions of these days or times; of all where no period is named
    #[arg(long, value_name = "A..B", value_parser = period)]
    period: Option<(Timestamp, Timestamp)>,
}

impl Shadow {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let (text, _) = read(context.out, &self.file)?;
        let period = self.period.unwrap_or((Timestamp(0), Timestamp(u64::MAX)));
        let shadow: what_if::Shadow = context.client.post("/v1/shadow", &ShadowBody { text, period })?;
        for one in &shadow.decisions {
            let after = one.after.map_or("cannot be computed again", |mode| mode.name());
            let line = format!(
                "{} {} {}: {} -> {after}",
                time(one.time),
                short(&one.decision),
                one.action,
                one.before
            );
            match one.after {
                Some(after) if after == one.before => context.out.done(line),
                Some(_) => context.out.bad(line),
                None => context.out.unknown(line),
            }
            if one.after != Some(one.before) {
                one.reasons.iter().for_each(|reason| context.out.detail(reason));
            }
        }
        for (change, count) in &shadow.summary {
            context.out.line(format!("{count} decisions {change}"));
        }
        if shadow.decisions.is_empty() {
            context.out.unknown("no decision of this organisation lies in the period");
        }
        if shadow.truncated {
            context.out.unknown("there are more decisions than fit into one answer; name a shorter period");
        }
        context.out.value(&shadow)
    }
}
