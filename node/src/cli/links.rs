//! `link`, `dispute`, `links`, `accept`, `refuse`.

use clap::Args;
use counterfoil_protocol::mesh::{Answer, Relation};

use super::Context;
use super::client::segment;
use super::print::short;
use crate::api::routes::{DisputeBody, LinkBody};
use crate::service::links::LinkView;
use crate::service::say::Said;

/// Link to a statement of another organisation
#[derive(Debug, Args)]
pub(super) struct Link {
    /// The statement
    id: String,
    /// uses, derived-from, supplies, approves, assesses, supersedes, disputes or responds-to
    #[arg(long, value_parser = relation)]
    relation: Relation,
    /// The own statement on whose behalf
    #[arg(long)]
    from: Option<String>,
    /// What for
    #[arg(long, default_value = "")]
    purpose: String,
    /// The agreement under which it refers
    #[arg(long, value_name = "ID")]
    agreement: Option<String>,
}

/// Dispute a statement of another organisation, or take the dispute back
#[derive(Debug, Args)]
pub(super) struct Dispute {
    /// The statement
    id: String,
    /// Why
    #[arg(long)]
    reason: String,
    /// Take the own dispute of it back
    #[arg(long)]
    withdraw: bool,
}

/// Cross-references and their other halves
#[derive(Debug, Args)]
pub(super) struct Links {
    /// Only those without an answer
    #[arg(long)]
    open: bool,
}

/// Accept a link to an own statement
#[derive(Debug, Args)]
pub(super) struct Accept {
    /// The link
    link: String,
}

/// Refuse a link to an own statement
#[derive(Debug, Args)]
pub(super) struct Refuse {
    /// The link
    link: String,
    /// Why
    #[arg(long)]
    reason: String,
}

fn relation(text: &str) -> Result<Relation, String> {
    let names: Vec<&str> = Relation::ALL.iter().map(|relation| relation.name()).collect();
    let found = Relation::ALL.into_iter().find(|relation| relation.name() == text);
    found.ok_or_else(|| format!("one of {}", names.join(", ")))
}

impl Dispute {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let body = DisputeBody { statement: self.id, reason: self.reason, withdraw: self.withdraw };
        let said: Said = context.client.post("/v1/disputes", &body)?;
        let what = if self.withdraw { "the dispute is taken back by" } else { "disputed by" };
        context.out.done(format!("{what} {}", said.statement));
        context.out.next("counterfoil decide REQUEST.toml");
        context.out.value(&said)
    }
}

impl Link {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let body = LinkBody {
            target: self.id,
            relation: self.relation,
            from: self.from,
            purpose: self.purpose,
            agreement: self.agreement,
        };
        let said: Said = context.client.post("/v1/links", &body)?;
        context.out.done(format!("linked by {}", said.statement));
        context.out.detail("it is matched when the other side has recorded its counterfoil");
        context.out.next("counterfoil links");
        context.out.value(&said)
    }
}

impl Links {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let all: Vec<LinkView> = context.client.get(&format!("/v1/links?open={}", self.open))?;
        for one in &all {
            context.out.line(format!(
                "{:<8} {:<14} {} -> {}",
                one.state.name(),
                one.relation.name(),
                short(&one.link),
                short(&one.target)
            ));
            if let Some(reason) = &one.reason {
                context.out.detail(format!("refused: {reason}"));
            }
            if one.to_answer {
                context.out.next(format!("counterfoil accept {}", short(&one.link)));
            }
        }
        if all.is_empty() {
            context.out.line("no links");
        }
        context.out.value(&all)
    }
}

fn answer(context: &Context, link: &str, answer: &Answer) -> anyhow::Result<()> {
    let said: Said = context.client.post(&format!("/v1/links/{}/answer", segment(link)), answer)?;
    context.out.done(format!("answered by {}", said.statement));
    context.out.value(&said)
}

impl Accept {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        answer(context, &self.link, &Answer::Accepted)
    }
}

impl Refuse {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        answer(context, &self.link, &Answer::Refused(self.reason))
    }
}
