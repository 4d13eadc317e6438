//! `show`, `trace`, `impact`, `log`, `recall`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use counterfoil_protocol::statement::Kind;

use super::Context;
use super::client::segment;
use super::print::{parse_time, short, time};
use crate::api::routes::RecallBody;
use crate::service::read::{LineageView, StatementView};
use crate::service::say::Said;

/// Show a statement
#[derive(Debug, Args)]
pub(super) struct Show {
    /// Its id, or an unambiguous prefix
    id: String,
    /// Write its bytes, as they were signed
    #[arg(long, requires = "output")]
    raw: bool,
    /// Where to write
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
    Dot,
}

/// What a statement or subject rests on
#[derive(Debug, Args)]
pub(super) struct Trace {
    /// A statement, or a subject such as sha256:... or name:...
    id: String,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// What rests on a statement or subject
#[derive(Debug, Args)]
pub(super) struct Impact {
    /// A statement, or a subject such as sha256:... or name:...
    id: String,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
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
pub(super) struct RecallCommand {
    /// The observation
    id: String,
    /// Why
    #[arg(long)]
    reason: String,
}

impl Show {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
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

fn lineage(context: &Context, resource: &str, id: &str, format: Format) -> anyhow::Result<()> {
    let found: LineageView = context.client.get(&format!("/v1/{resource}/{}", segment(id)))?;
    match format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&found)?),
        Format::Dot => println!("{}", dot(&found)),
        Format::Text => {
            for node in &found.nodes {
                let what = node.summary.clone().unwrap_or_else(|| node.node.clone());
                let who = node.organisation.clone().unwrap_or_default();
                let kind = node.kind.map(Kind::name).unwrap_or("subject");
                let id = if node.kind.is_some() { short(&node.node) } else { String::new() };
                let indent = "  ".repeat(node.depth);
                context.out.line(format!("{indent}{kind} {id} {who}: {what} [{}]", node.state));
            }
            if found.truncated {
                context.out.unknown("there is more than fits into one answer");
            }
        }
    }
    context.out.value(&found)
}

fn dot(found: &LineageView) -> String {
    let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut text = String::from("digraph lineage {\n  rankdir=LR;\n");
    for node in &found.nodes {
        let label = node.summary.clone().unwrap_or_else(|| node.node.clone());
        text.push_str(&format!("  {} [label={}];\n", quote(&node.node), quote(&label)));
    }
    for edge in &found.edges {
        let kind = serde_json::to_string(&edge.kind).unwrap_or_default();
        let (from, to) = (quote(&edge.from.to_string()), quote(&edge.to.to_string()));
        text.push_str(&format!("  {from} -> {to} [label={kind}];\n"));
    }
    text.push('}');
    text
}

impl Trace {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        lineage(context, "trace", &self.id, self.format)
    }
}

impl Impact {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        lineage(context, "impact", &self.id, self.format)
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
        let body = RecallBody { statement: self.id.clone(), reason: self.reason };
        let said: Said = context.client.post("/v1/recalls", &body)?;
        context.out.done(format!("recalled by {}", said.statement));
        context.out.next(format!("counterfoil impact {}", short(&said.statement)));
        context.out.value(&said)
    }
}
