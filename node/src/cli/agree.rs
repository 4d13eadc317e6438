//! `mesh agree`, `mesh agreements`: what crosses between organisations.

use clap::Args;
use counterfoil_protocol::ids::Timestamp;
use counterfoil_protocol::statement::Kind;

use super::Context;
use super::client::segment;
use super::print::{parse_time, short, time};
use crate::api::routes::{AcceptanceBody, AgreeBody};
use crate::service::agreements::AgreementView;
use crate::service::say::Said;

/// Propose to other members what may cross between you, or accept what was proposed
#[derive(Debug, Args)]
pub(super) struct Agree {
    /// The other parties: ids, unambiguous prefixes, or names
    #[arg(required_unless_present_any = ["accept", "withdraw"], conflicts_with_all = ["accept", "withdraw"])]
    organisations: Vec<String>,
    /// Kind of statements that may cross; may be repeated
    #[arg(long = "kind", required_unless_present_any = ["accept", "withdraw"])]
    kinds: Vec<Kind>,
    /// Subject, as a pattern; may be repeated; any where none is named
    #[arg(long = "subject", value_name = "PATTERN")]
    subjects: Vec<String>,
    /// Jurisdiction of the signer; may be repeated; any where none is named
    #[arg(long = "jurisdiction")]
    jurisdictions: Vec<String>,
    /// From when; from now on where nothing is said
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// Until when; until somebody withdraws where nothing is said
    #[arg(long, value_name = "DATE")]
    until: Option<String>,
    /// Seconds within which a link under it is to be answered, in place of the charter's
    #[arg(long, value_name = "SECONDS")]
    link_answer: Option<u64>,
    /// What for
    #[arg(long, default_value = "")]
    purpose: String,
    /// Accept this agreement
    #[arg(long, value_name = "ID", conflicts_with = "withdraw")]
    accept: Option<String>,
    /// Withdraw from this agreement
    #[arg(long, value_name = "ID")]
    withdraw: Option<String>,
}

impl Agree {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let (client, out) = (&context.client, context.out);
        if let Some(id) = self.accept {
            let said = answer(context, &id, false)?;
            out.done(format!("accepted by {}", said.statement));
            out.next("counterfoil mesh agreements");
            return out.value(&said);
        }
        if let Some(id) = self.withdraw {
            let said = answer(context, &id, true)?;
            out.done(format!("withdrawn by {}; what has crossed stays where it is", said.statement));
            return out.value(&said);
        }
        let at = |text: Option<String>| -> anyhow::Result<Option<Timestamp>> {
            text.as_deref().map(parse_time).transpose()
        };
        let body = AgreeBody {
            with: self.organisations,
            kinds: self.kinds,
            subjects: self.subjects,
            jurisdictions: self.jurisdictions,
            from: at(self.from)?,
            until: at(self.until)?,
            link_answer_s: self.link_answer,
            purpose: self.purpose,
        };
        let said: Said = client.post("/v1/agreements", &body)?;
        out.done(format!("proposed by {}", said.statement));
        out.detail("it is in force when every party has accepted it; each runs:");
        out.next(format!("counterfoil mesh agree --accept {}", short(&said.statement)));
        out.value(&said)
    }
}

fn answer(context: &Context, id: &str, withdrawn: bool) -> anyhow::Result<Said> {
    let path = format!("/v1/agreements/{}/acceptance", segment(id));
    context.client.post(&path, &AcceptanceBody { withdrawn })
}

/// Lists agreements.
pub(super) fn agreements(context: &Context) -> anyhow::Result<()> {
    let all: Vec<AgreementView> = context.client.get("/v1/agreements")?;
    for one in &all {
        let kinds: Vec<&str> = one.agreement.kinds.iter().map(|kind| kind.name()).collect();
        let state = if one.in_force { "in force" } else { "not in force" };
        context.out.line(format!(
            "{:<12} {:<13} {} [{}]",
            short(&one.id),
            state,
            one.names.join(", "),
            kinds.join(", ")
        ));
        if let Some(why) = &one.why_not {
            context.out.detail(why);
        }
        let until = one.agreement.until.map_or_else(|| "until somebody withdraws".into(), time);
        context.out.detail(format!("from {} to {until}", time(one.agreement.from)));
        if one.to_accept {
            context.out.next(format!("counterfoil mesh agree --accept {}", short(&one.id)));
        }
    }
    if all.is_empty() {
        context.out.line("no agreements");
    }
    context.out.value(&all)
}
