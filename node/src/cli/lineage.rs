//! `show`, `trace`, `impact`, `path`, `log`, `recall`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use counterfoil_protocol::statement::Kind;

use super::Context;
use super::client::segment;
use super::decide::Why;
use super::graph::{self, Format};
use super::print::{parse_time, short, time};
use crate::api::actuation::WAIT_S;
use crate::api::routes::RecallBody;
use crate::service::lineage::LineageView;
use crate::service::read::StatementView;
use crate::service::recall::{RecallState, RecallStatus};
use crate::service::say::Said;

/// Show a statement
#[derive(Debug, Args)]
pub(super) struct Show {
    /// Its id, or an unambiguous prefix
    id: String,
    /// Of a decision: the evidence that it weighed, and each step of each weight
    #[arg(long, conflicts_with = "raw")]
    weights: bool,
    /// Write its bytes, as they were signed
    #[arg(long, requires = "output")]
    raw: bool,
    /// Where to write
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// As of when, and in which form
#[derive(Debug, Args)]
struct Asked {
    /// Form of the answer
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// As it was then: a number of statements of the own chain, or a date or time
    #[arg(long, value_name = "POSITION or TIME")]
    as_of: Option<String>,
    /// Wait at most so long for what other members have of what is not here; 0 asks nobody
    #[arg(long, value_name = "SECONDS", default_value_t = WAIT_S)]
    wait: u64,
}

/// What a statement or subject rests on
#[derive(Debug, Args)]
pub(super) struct Trace {
    /// A statement, or a subject such as sha256:... or name:...
    id: String,
    #[command(flatten)]
    asked: Asked,
}

/// What rests on a statement or subject
#[derive(Debug, Args)]
pub(super) struct Impact {
    /// A statement, or a subject such as sha256:... or name:...
    id: String,
    /// All of it that is here, however much: one line of JSON for each as it comes
    #[arg(long, conflicts_with_all = ["format", "wait"])]
    stream: bool,
    #[command(flatten)]
    asked: Asked,
}

/// How one thing rests on another: a shortest way between two statements or subjects
#[derive(Debug, Args)]
pub(super) struct PathCommand {
    /// A statement, or a subject such as sha256:... or name:...
    from: String,
    /// Another
    to: String,
    #[command(flatten)]
    asked: Asked,
}

/// Statements of a chain
#[derive(Debug, Args)]
pub(super) struct Log {
    /// Of this organisation; the own one where none is named
    #[arg(long)]
    organisation: Option<String>,
    /// Of this kind
    #[arg(long)]
    kind: Option<Kind>,
    /// Issued at or after this date or time
    #[arg(long)]
    since: Option<String>,
    /// Signed by the authority with this role
    #[arg(long)]
    authority: Option<String>,
}

/// Withdraw an own observation and what it is about
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct RecallCommand {
    #[command(subcommand)]
    follow: Option<FollowRecall>,
    /// The observation
    #[arg(required = true)]
    id: Option<String>,
    /// Why
    #[arg(long, required = true)]
    reason: Option<String>,
}

#[derive(Debug, Subcommand)]
enum FollowRecall {
    /// How far a recall has come: who has it, who has acknowledged it, who has done something about it
    Status {
        /// The recall
        id: String,
    },
}

impl Show {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        if self.weights {
            return Why { id: self.id, weights: true }.run(context);
        }
        let path = format!("/v1/statements/{}", segment(&self.id));
        if let (true, Some(file)) = (self.raw, &self.output) {
            let bytes = context.client.bytes(&format!("{path}/raw"))?;
            std::fs::write(file, &bytes).with_context(|| file.display().to_string())?;
            context.out.done(format!("{} bytes in {}", bytes.len(), file.display()));
            return context.out.value(&serde_json::json!({ "file": file, "bytes": bytes.len() }));
        }
        let shown: StatementView = context.client.get(&path)?;
        context.out.line(format!("{} {}", shown.kind, shown.statement));
        context.out.detail(format!("position {} of {} ({})", shown.position, shown.name, shown.organisation));
        context.out.detail(format!("signed by {} at {}", shown.signed_by, time(shown.issued_at)));
        let bound = |at: Option<_>, what: &str| {
            let at = at.map_or_else(|| "no witness says".to_owned(), time);
            context.out.detail(format!("{what}: {at}"));
        };
        bound(shown.not_before, "not before");
        bound(shown.not_after, "not after");
        context.out.detail(&shown.summary);
        context.out.line(serde_json::to_string_pretty(&shown.payload)?);
        context.out.value(&shown)
    }
}

impl Asked {
    /// What stands behind the address.
    fn moment(&self) -> anyhow::Result<Option<String>> {
        let Some(text) = &self.as_of else { return Ok(None) };
        Ok(Some(match text.parse::<u64>() {
            Ok(position) => format!("as_of_position={position}"),
            Err(_) => format!("as_of_time={}", parse_time(text)?),
        }))
    }

    fn answer(&self, context: &Context, path: &str) -> anyhow::Result<()> {
        let moment = self.moment()?.map(|moment| format!("&{moment}")).unwrap_or_default();
        let found: LineageView = context.client.get(&format!("{path}?wait_s={}{moment}", self.wait))?;
        graph::print(context, &found, self.format)
    }
}

impl Trace {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        self.asked.answer(context, &format!("/v1/trace/{}", segment(&self.id)))
    }
}

impl Impact {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let path = format!("/v1/impact/{}", segment(&self.id));
        if self.stream {
            let moment = self.asked.moment()?.map(|moment| format!("?{moment}")).unwrap_or_default();
            let path = format!("{path}/lines{moment}");
            return context.client.copy(&path, &mut std::io::stdout().lock());
        }
        self.asked.answer(context, &path)
    }
}

impl PathCommand {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        self.asked.answer(context, &format!("/v1/path/{}/{}", segment(&self.from), segment(&self.to)))
    }
}

impl Log {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let mut path = "/v1/statements?limit=10000".to_owned();
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", segment(&value)));
            }
        };
        add("organisation", self.organisation);
        add("kind", self.kind.map(|kind| kind.name().to_owned()));
        add("authority", self.authority);
        add("since", self.since.as_deref().map(parse_time).transpose()?.map(|at| at.to_string()));
        let all: Vec<StatementView> = context.client.get(&path)?;
        for one in &all {
            context.out.line(format!(
                "{:>6} {} {:<15} {:<16} {}",
                one.position.0,
                time(one.issued_at),
                short(&one.statement),
                one.kind.name(),
                one.summary
            ));
        }
        context.out.value(&all)
    }
}

impl RecallCommand {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        if let Some(FollowRecall::Status { id }) = self.follow {
            return status(context, &id);
        }
        let (id, reason) = (self.id.unwrap_or_default(), self.reason.unwrap_or_default());
        let said: Said = context.client.post("/v1/recalls", &RecallBody { statement: id, reason })?;
        context.out.done(format!("recalled by {}", said.statement));
        context.out.next(format!("counterfoil recall status {}", short(&said.statement)));
        context.out.value(&said)
    }
}

fn status(context: &Context, id: &str) -> anyhow::Result<()> {
    let status: RecallStatus = context.client.get(&format!("/v1/recalls/{}", segment(id)))?;
    context.out.line(format!("{} recalls {}: {}", status.by, short(&status.withdrawn), status.reason));
    for one in &status.organisations {
        let mut text = format!("{}: {}", one.name, one.state.name());
        if one.acknowledgement.is_some() {
            let (decisions, permits) = (one.decisions.len(), one.permits.len());
            text.push_str(&format!(", {decisions} decisions and {permits} permits touched"));
        }
        match one.state {
            RecallState::Silent => context.out.unknown(text),
            RecallState::Reached | RecallState::Acknowledged | RecallState::Acted => context.out.done(text),
        }
        one.acts.iter().for_each(|act| context.out.detail(format!("did {act}")));
    }
    if status.organisations.is_empty() {
        context.out.unknown("no other organisation is known here");
    }
    context.out.next(format!("counterfoil impact {}", short(&status.recall)));
    context.out.value(&status)
}
