//! `action`, `nonconformity`, `correct`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::Context;
use super::client::segment;
use super::print::{Out, parse_time, short, time};
use crate::api::actuation::{CorrectBody, DeclareBody, RaiseBody};
use crate::service::declared::DeclaredView;
use crate::service::nonconformity::{NonconformityState, NonconformityView};
use crate::service::say::Said;

/// Declarations about actions and harm
#[derive(Debug, Subcommand)]
pub(super) enum ActionCommand {
    /// Declare action classes: whether they can be taken back, their harm, their stages
    Class(Declare),
    /// Declare how a jurisdiction orders harm, and from which on more is asked for
    Harm(Declare),
    /// What is declared here
    List,
}

/// Declare
#[derive(Debug, Args)]
pub(super) struct Declare {
    /// Declarations, in TOML
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Who declares it: role or id of an authority
    #[arg(long = "as")]
    authority: Option<String>,
}

/// What did not go as it should
#[derive(Debug, Subcommand)]
pub(super) enum NonconformityCommand {
    /// Those of this organisation
    List {
        /// Only those that are not closed
        #[arg(long)]
        open: bool,
    },
    /// One of them, with what was done about it
    Show {
        /// Its statement
        id: String,
    },
    /// Raise one by hand
    Raise {
        /// The statement that shows it
        cause: String,
        /// What is not as it should be
        #[arg(long)]
        finding: String,
    },
}

/// Record what is done about a nonconformity
#[derive(Debug, Args)]
pub(super) struct Correct {
    /// The nonconformity
    nonconformity: String,
    /// What is done
    #[arg(long)]
    action: String,
    /// Statement that shows what it came from; may be repeated
    #[arg(long = "cause", value_name = "ID")]
    causes: Vec<String>,
    /// Who is responsible
    #[arg(long, value_name = "WHO")]
    responsible: Option<String>,
    /// Until when
    #[arg(long, value_name = "DATE")]
    due: Option<String>,
    /// That ends the matter
    #[arg(long)]
    close: bool,
    /// Statement that shows that it was done and helped; may be repeated
    #[arg(long, value_name = "ID", requires = "close")]
    evidence: Vec<String>,
    /// Who says so: role or id of an authority
    #[arg(long = "as")]
    authority: Option<String>,
}

impl ActionCommand {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let (path, declare) = match self {
            Self::Class(declare) => ("/v1/action-classes", declare),
            Self::Harm(declare) => ("/v1/harm-orderings", declare),
            Self::List => {
                let found: Vec<DeclaredView> = context.client.get("/v1/declarations")?;
                for one in &found {
                    context.out.line(format!("{} {} {}", short(&one.statement), one.kind, one.about));
                }
                if found.is_empty() {
                    context.out.line("nothing is declared; see `counterfoil action class --help`");
                }
                return context.out.value(&found);
            }
        };
        let mut all = Vec::new();
        for file in declare.files {
            let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let body = DeclareBody { text, authority: declare.authority.clone() };
            let said: Said = context.client.post(path, &body).with_context(|| file.display().to_string())?;
            context.out.done(format!("{} is declared by {}", file.display(), said.statement));
            all.push(said);
        }
        context.out.value(&all)
    }
}

impl NonconformityCommand {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { open } => {
                let path = format!("/v1/nonconformities?open={open}");
                let found: Vec<NonconformityView> = context.client.get(&path)?;
                for one in &found {
                    context.out.line(format!(
                        "{} {} {}",
                        short(&one.statement),
                        name(one.state),
                        one.finding
                    ));
                }
                if found.is_empty() {
                    context.out.line("there are none");
                }
                context.out.value(&found)
            }
            Self::Show { id } => {
                let one: NonconformityView =
                    context.client.get(&format!("/v1/nonconformities/{}", segment(&id)))?;
                show(context.out, &one);
                context.out.value(&one)
            }
            Self::Raise { cause, finding } => {
                let one: NonconformityView =
                    context.client.post("/v1/nonconformities", &RaiseBody { cause, finding })?;
                context.out.done(format!("raised: {}", one.statement));
                suggest(context.out, &one);
                context.out.value(&one)
            }
        }
    }
}

impl Correct {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let body = CorrectBody {
            nonconformity: self.nonconformity,
            action: self.action,
            causes: self.causes,
            responsible: self.responsible,
            due: self.due.as_deref().map(parse_time).transpose()?,
            closes: self.close,
            evidence: self.evidence,
            authority: self.authority,
        };
        let one: NonconformityView = context.client.post("/v1/corrections", &body)?;
        show(context.out, &one);
        context.out.value(&one)
    }
}

fn show(out: Out, one: &NonconformityView) {
    let what = format!("{}: {}", one.statement, one.finding);
    match one.state {
        NonconformityState::Closed => out.done(what),
        NonconformityState::Overdue => out.bad(what),
        NonconformityState::Open | NonconformityState::InHand => out.unknown(what),
    }
    let kind =
        one.cause_kind.map_or("a statement that is not here", counterfoil_protocol::statement::Kind::name);
    out.detail(format!("{}, raised {}, shown by {kind} {}", name(one.state), time(one.issued_at), one.cause));
    for action in &one.actions {
        let says = &action.says;
        let mut text = says.action.clone();
        if let Some(responsible) = &says.responsible {
            text.push_str(&format!("; {responsible} is responsible"));
        }
        if let Some(due) = says.due {
            text.push_str(&format!(", until {}", time(due)));
        }
        if says.closes {
            let shown = if says.evidence.is_empty() { "without evidence" } else { "with evidence" };
            text.push_str(&format!("; closes it, {shown}"));
        }
        out.detail(format!("{} {text}", short(&action.statement)));
        for id in says.causes.iter() {
            out.detail(format!("  it came from {id}"));
        }
        for id in says.evidence.iter() {
            out.detail(format!("  shown by {id}"));
        }
    }
    if one.state != NonconformityState::Closed {
        suggest(out, one);
    }
}

fn suggest(out: Out, one: &NonconformityView) {
    out.next(format!("counterfoil correct {} --action TEXT --cause ID", short(&one.statement)));
}

const fn name(state: NonconformityState) -> &'static str {
    match state {
        NonconformityState::Open => "open",
        NonconformityState::InHand => "in hand",
        NonconformityState::Overdue => "overdue",
        NonconformityState::Closed => "closed",
    }
}
