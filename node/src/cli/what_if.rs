//! `what-if`: a recorded decision under other circumstances.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use counterfoil_protocol::admissibility::Verdict;
use counterfoil_protocol::ids::AuthorityId;

use super::Context;
use super::client::segment;
use super::print::{parse_time, short};
use crate::service::what_if::{Suppose, Supposed};

/// What a recorded decision would be under other circumstances; nothing is recorded
#[derive(Debug, Args)]
pub(super) struct WhatIf {
    /// The decision
    id: String,
    /// Without this evidence, recall or recognition
    #[arg(long, value_name = "ID")]
    without: Vec<String>,
    /// With the evidence that a file supposes: [evidence.NAME] as in the cases of `profile test`
    #[arg(long, value_name = "FILE")]
    with: Vec<PathBuf>,
    /// As if this authority had been revoked before it spoke: an id, a role, or "ROLE of ORGANISATION"
    #[arg(long, value_name = "AUTHORITY")]
    revoke: Vec<String>,
    /// At a later date or time
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

impl WhatIf {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let read = |file: &PathBuf| std::fs::read_to_string(file).with_context(|| file.display().to_string());
        let suppose = Suppose {
            without: self.without,
            with: self.with.iter().map(read).collect::<anyhow::Result<_>>()?,
            revoke: self.revoke,
            at: self.at.as_deref().map(parse_time).transpose()?,
        };
        let path = format!("/v1/decisions/{}/what-if", segment(&self.id));
        let supposed: Supposed = context.client.post(&path, &suppose)?;
        tell(context, &supposed);
        context.out.value(&supposed)
    }
}

fn tell(context: &Context, supposed: &Supposed) {
    let out = context.out;
    let (comparison, difference) = (&supposed.comparison, &supposed.comparison.difference);
    let (before, after) = difference.mode;
    let line = format!("{} -> {}", before.name().to_uppercase(), after.name().to_uppercase());
    if before == after {
        out.done(line)
    } else {
        out.bad(line)
    }
    if difference.is_same {
        out.detail("nothing changes");
    }
    for reason in &comparison.after.reasons {
        out.detail(format!("{} [{}]", reason.text, reason.code));
    }
    let called = |id: &counterfoil_protocol::ids::StatementId| {
        supposed.supposed.get(&id.to_string()).map_or_else(|| short(id), |name| format!("supposed {name:?}"))
    };
    for one in &difference.requirements {
        let state = |state: Option<counterfoil_protocol::admissibility::verdict::RequirementState>| {
            state.map_or("not asked for", |state| state.name())
        };
        let (before, after) = (state(one.before), state(one.after));
        out.detail(format!("{} / {}: {before} -> {after}", one.profile, one.requirement));
        for (statement, why) in &one.lost {
            out.detail(format!("  - {}: {why}", called(statement)));
        }
        for statement in &one.gained {
            out.detail(format!("  + {}", called(statement)));
        }
    }
    let name =
        |id: &AuthorityId| supposed.authorities.get(&id.to_string()).cloned().unwrap_or_else(|| short(id));
    let names = |what: &str, list: &[AuthorityId]| {
        if !list.is_empty() {
            out.detail(format!("{what}: {}", list.iter().map(name).collect::<Vec<_>>().join("; ")));
        }
    };
    names("necessary now", &difference.newly_necessary);
    names("not necessary any more", &difference.no_longer_necessary);
    sets(context, &comparison.after);
}

/// What would turn the verdict.
fn sets(context: &Context, verdict: &Verdict) {
    for (n, set) in verdict.missing.iter().enumerate() {
        context.out.detail(if n == 0 { "what would turn it:" } else { "or:" });
        for missing in set {
            context
                .out
                .detail(format!("  {} / {}: {}", missing.profile, missing.requirement, missing.way_out));
        }
    }
}
