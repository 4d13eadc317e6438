//! `mesh`: found, invite, join, admit, recognise.

use clap::{Args, Subcommand, ValueEnum};
use counterfoil_protocol::ids::OrganisationId;
use counterfoil_protocol::mesh::charter::WITNESSES;
use counterfoil_protocol::mesh::{Ballot, Charter, OnFork, Terms};
use counterfoil_protocol::weighting::Ppm;

use super::Context;
use super::agree::Agree;
use super::print::short;
use crate::api::routes::{InviteBody, RecogniseBody, TextBody, VoteBody};
use crate::service::mesh::{MemberView, MeshEntered, TermsView, TermsWish};
use crate::service::say::Said;

/// The mesh: found, invite, join, admit
#[derive(Debug, Subcommand)]
pub(super) enum Mesh {
    /// Found a mesh by a charter in the own chain
    Create(Create),
    /// Sign an invitation and print it; it is no secret and admits nobody
    Invite {
        /// Whom alone it invites: its id; whoever shows it, where nobody is named
        #[arg(long = "for", value_name = "ORGANISATION")]
        organisation: Option<String>,
        /// Seconds for which it holds
        #[arg(long, default_value_t = 7 * 86_400)]
        valid: u64,
    },
    /// Leave the mesh, at once; to come back, members vote again
    Leave,
    /// The terms in force, and those that are voted for
    Terms,
    /// Vote for other terms
    Amend(Amend),
    /// Enter the mesh of an invitation
    Join {
        /// The invitation
        invitation: String,
    },
    /// Vote to let an organisation in
    Admit {
        /// Its id, an unambiguous prefix, or its name
        organisation: String,
    },
    /// Vote to put an organisation out
    Expel {
        /// Its id, an unambiguous prefix, or its name
        organisation: String,
    },
    /// List members, those that were, and those that ask to be
    Members,
    /// Accept another organisation's authorities for some claims
    Recognise(Recognise),
    /// Propose to other members what may cross between you, or accept what was proposed
    Agree(Agree),
    /// List agreements, and who has still to accept them
    Agreements,
}

/// Found a mesh by a charter in the own chain
#[derive(Debug, Args)]
pub(super) struct Create {
    /// Its name
    #[arg(long)]
    name: String,
    /// Id of another founding member; may be repeated
    #[arg(long = "member", value_name = "ORGANISATION")]
    members: Vec<OrganisationId>,
    /// Votes that an admission needs
    #[arg(long, default_value_t = 1)]
    threshold: u16,
    /// Cosignatures that make a checkpoint witnessed
    #[arg(long, default_value_t = 1)]
    quorum: u16,
    /// Seconds beyond which a head says nothing about the present
    #[arg(long, default_value_t = 3600)]
    freshness: u64,
    /// Seconds within which a link is to be answered
    #[arg(long, default_value_t = 86_400)]
    link_answer: u64,
    /// What becomes of a member that is proven to have forked its chain
    #[arg(long, value_enum, default_value_t = ForkRule::Quarantine)]
    on_fork: ForkRule,
    /// Votes that other terms need; as many as an admission where it is not said
    #[arg(long)]
    amendment_threshold: Option<u16>,
    /// Most witnesses of one chain
    #[arg(long)]
    witnesses: Option<u16>,
}

/// Vote for other terms
#[derive(Debug, Args)]
pub(super) struct Amend {
    /// The beginning of a proposal's digest, to vote for the same
    #[arg(long, value_name = "DIGEST", exclusive = true)]
    agree: Option<String>,
    /// Votes that an admission needs
    #[arg(long)]
    threshold: Option<u16>,
    /// Votes that other terms need
    #[arg(long)]
    amendment_threshold: Option<u16>,
    /// Cosignatures that make a checkpoint witnessed
    #[arg(long)]
    quorum: Option<u16>,
    /// Most witnesses of one chain
    #[arg(long)]
    witnesses: Option<u16>,
    /// Seconds beyond which a head says nothing about the present
    #[arg(long)]
    freshness: Option<u64>,
    /// Seconds within which a link is to be answered
    #[arg(long)]
    link_answer: Option<u64>,
    /// What becomes of a member that is proven to have forked its chain
    #[arg(long, value_enum)]
    on_fork: Option<ForkRule>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ForkRule {
    /// Its votes count no more, and its nodes are told nothing more
    Quarantine,
    /// It keeps its votes until members vote it out
    Keep,
}

impl From<ForkRule> for OnFork {
    fn from(rule: ForkRule) -> Self {
        match rule {
            ForkRule::Quarantine => Self::Quarantine,
            ForkRule::Keep => Self::Keep,
        }
    }
}

/// Accept another organisation's authorities for some claims
#[derive(Debug, Args)]
pub(super) struct Recognise {
    /// Its id, an unambiguous prefix, or its name
    organisation: String,
    /// Claim, as a pattern; may be repeated
    #[arg(long = "claim", required_unless_present = "claim_map")]
    claims: Vec<String>,
    /// Role, as a pattern; may be repeated; any where none is named or mapped
    #[arg(long = "role")]
    roles: Vec<String>,
    /// A role of theirs, and the own one that it is read as; may be repeated
    #[arg(long = "map-role", value_name = "THEIRS=OWN", value_parser = term)]
    role_map: Vec<(String, String)>,
    /// A claim of theirs, and the own one that it is read as; may be repeated
    #[arg(long = "map-claim", value_name = "THEIRS=OWN", value_parser = term)]
    claim_map: Vec<(String, String)>,
    /// The most that their authorities count for, in parts per million
    #[arg(long, value_name = "PPM", value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    authority_cap: Option<u32>,
    /// Take back what was recognised for these claims and roles
    #[arg(long, conflicts_with_all = ["role_map", "claim_map", "authority_cap"])]
    withdraw: bool,
}

fn term(text: &str) -> Result<(String, String), String> {
    let found = text.split_once('=').filter(|(theirs, own)| !theirs.is_empty() && !own.is_empty());
    found
        .map(|(theirs, own)| (theirs.to_owned(), own.to_owned()))
        .ok_or_else(|| "write it as THEIRS=OWN".into())
}

impl Mesh {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let (client, out) = (&context.client, context.out);
        match self {
            Self::Create(create) => create.run(context),
            Self::Invite { organisation, valid } => {
                let body = InviteBody { organisation, valid_s: valid };
                let invitation: String = client.post("/v1/mesh/invitations", &body)?;
                out.line(&invitation);
                out.value(&invitation)
            }
            Self::Join { invitation } => {
                let entered: MeshEntered = client.post("/v1/mesh/join", &TextBody { text: invitation })?;
                out.done(format!("entered {:?}, {}", entered.name, entered.mesh));
                if !entered.member {
                    let data = context.data.inception()?.id();
                    out.detail("members vote now; each runs:");
                    out.next(format!("counterfoil mesh admit {}", short(&OrganisationId::from(data))));
                }
                out.value(&entered)
            }
            Self::Admit { organisation } => vote(context, organisation, Ballot::Admit),
            Self::Expel { organisation } => vote(context, organisation, Ballot::Expel),
            Self::Leave => {
                let said: Said = client.post("/v1/mesh/leave", &())?;
                out.done("left the mesh; its members are told so by the own chain");
                out.value(&said)
            }
            Self::Terms => terms(context),
            Self::Amend(amend) => amend.run(context),
            Self::Members => members(context),
            Self::Recognise(recognise) => recognise.run(context),
            Self::Agree(agree) => agree.run(context),
            Self::Agreements => super::agree::agreements(context),
        }
    }
}

impl Recognise {
    fn run(self, context: &Context) -> anyhow::Result<()> {
        let body = RecogniseBody {
            organisation: self.organisation,
            claims: self.claims,
            roles: self.roles,
            role_map: self.role_map.into_iter().collect(),
            claim_map: self.claim_map.into_iter().collect(),
            authority_cap: self.authority_cap.map(Ppm::new),
            withdrawn: self.withdraw,
        };
        let said: Said = context.client.post("/v1/recognitions", &body)?;
        let out = context.out;
        let claims: Vec<&str> = body.claims.iter().chain(body.claim_map.keys()).map(String::as_str).collect();
        let what = if body.withdrawn { "no longer recognised" } else { "recognised" };
        out.done(format!("{} is {what} for {}", body.organisation, claims.join(", ")));
        for (theirs, own) in body.role_map.iter().chain(&body.claim_map) {
            out.detail(format!("{theirs} is read as {own}"));
        }
        out.value(&said)
    }
}

fn vote(context: &Context, organisation: String, ballot: Ballot) -> anyhow::Result<()> {
    let said: Said =
        context.client.post("/v1/mesh/votes", &VoteBody { organisation: organisation.clone(), ballot })?;
    let all: Vec<MemberView> = context.client.get("/v1/mesh/members")?;
    context.out.done(format!("voted on {organisation}"));
    let about = all.iter().find(|one| {
        one.organisation.to_string() == organisation || one.name.as_deref() == Some(organisation.as_str())
    });
    if let Some(about) = about {
        context.out.detail(tally(about, ballot, &all));
    }
    context.out.value(&said)
}

/// What has come of the votes about an organisation.
fn tally(about: &MemberView, ballot: Ballot, all: &[MemberView]) -> String {
    let (said, is_decided, outcome) = match ballot {
        Ballot::Admit => (&about.votes, about.member, "it is a member"),
        Ballot::Expel => (&about.against, !about.member, "it is no member any more"),
    };
    if is_decided {
        return outcome.to_owned();
    }
    let missing = all.iter().filter(|one| one.member && !said.contains(&one.organisation));
    // Nobody is asked to vote itself out.
    let missing = missing.filter(|one| one.organisation != about.organisation);
    let missing: Vec<String> =
        missing.map(|one| one.name.clone().unwrap_or_else(|| one.organisation.short())).collect();
    format!("{} of {} votes; not voted yet: {}", said.len(), about.needed, missing.join(", "))
}

/// The terms, one line for each.
fn lines(terms: &Terms) -> Vec<String> {
    let amendment = terms.amendment_threshold.unwrap_or(terms.admission_threshold);
    vec![
        format!("{} votes admit, {amendment} votes change the terms", terms.admission_threshold),
        format!(
            "{} of {} witnesses make a head witnessed",
            terms.witness_quorum,
            terms.witnesses.unwrap_or(WITNESSES)
        ),
        format!("a head says something about the present for {} s", terms.freshness_s),
        format!("a link is to be answered within {} s", terms.link_answer_s),
        match terms.on_fork {
            OnFork::Quarantine => "who forks its chain is quarantined".to_owned(),
            OnFork::Keep => "who forks its chain keeps its votes".to_owned(),
        },
    ]
}

fn terms(context: &Context) -> anyhow::Result<()> {
    let view: TermsView = context.client.get("/v1/mesh/terms")?;
    context.out.done(format!("version {} is in force", view.version));
    lines(&view.terms).into_iter().for_each(|line| context.out.detail(line));
    for proposal in &view.proposals {
        let digest = proposal.digest.get(..12).unwrap_or_default();
        context.out.line(format!("proposed {digest}: {} of {} votes", proposal.votes.len(), view.needed));
        let current = lines(&view.terms);
        let changed = lines(&proposal.terms).into_iter().filter(|line| !current.contains(line));
        changed.for_each(|line| context.out.detail(line));
        context.out.next(format!("counterfoil mesh amend --agree {digest}"));
    }
    context.out.value(&view)
}

impl Amend {
    fn run(self, context: &Context) -> anyhow::Result<()> {
        let wish = TermsWish {
            agree: self.agree,
            admission_threshold: self.threshold,
            amendment_threshold: self.amendment_threshold,
            witness_quorum: self.quorum,
            witnesses: self.witnesses,
            freshness_s: self.freshness,
            link_answer_s: self.link_answer,
            on_fork: self.on_fork.map(Into::into),
        };
        let said: Said = context.client.post("/v1/mesh/terms", &wish)?;
        let view: TermsView = context.client.get("/v1/mesh/terms")?;
        context.out.done("voted for other terms");
        if view.proposals.is_empty() {
            context.out.detail(format!("version {} is in force", view.version));
        }
        for proposal in &view.proposals {
            let digest = proposal.digest.get(..12).unwrap_or_default();
            context.out.detail(format!("{digest}: {} of {} votes", proposal.votes.len(), view.needed));
        }
        context.out.value(&said)
    }
}

fn members(context: &Context) -> anyhow::Result<()> {
    let all: Vec<MemberView> = context.client.get("/v1/mesh/members")?;
    for one in &all {
        let name = one.name.clone().unwrap_or_else(|| "(not introduced)".into());
        let of = |votes: &[OrganisationId]| format!("{} of {} votes", votes.len(), one.needed);
        let standing = match (one.misbehaved, one.member) {
            (true, _) => "forked".to_owned(),
            (_, true) if one.against.is_empty() => "member".to_owned(),
            (_, true) => format!("member, {} to put it out", of(&one.against)),
            _ if one.former && one.votes.is_empty() => "was a member".to_owned(),
            _ if one.former => format!("was a member, {}", of(&one.votes)),
            _ if one.invited_by.is_some() => format!("asks, invited, {}", of(&one.votes)),
            _ => format!("asks, {}", of(&one.votes)),
        };
        let connected = if one.connected { "connected" } else { "" };
        context.out.line(format!("{name:<28} {standing:<22} {connected:<10} {}", one.organisation));
    }
    if all.is_empty() {
        context.out.line("no mesh yet; `mesh create` founds one, `mesh join` enters one");
    }
    context.out.value(&all)
}

impl Create {
    fn run(self, context: &Context) -> anyhow::Result<()> {
        let charter = Charter {
            name: self.name,
            members: self.members,
            admission_threshold: self.threshold,
            witness_quorum: self.quorum,
            freshness_s: self.freshness,
            link_answer_s: self.link_answer,
            on_fork: self.on_fork.into(),
            amendment_threshold: self.amendment_threshold,
            witnesses: self.witnesses,
        };
        let entered: MeshEntered = context.client.post("/v1/mesh", &charter)?;
        context.out.done(format!("founded {:?}, {}", entered.name, entered.mesh));
        context.out.next("counterfoil mesh invite");
        context.out.value(&entered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(n: u8, votes: &[u8], against: &[u8]) -> MemberView {
        let ids = |of: &[u8]| of.iter().map(|n| OrganisationId::from_bytes([*n; 32])).collect();
        MemberView {
            organisation: OrganisationId::from_bytes([n; 32]),
            name: Some(format!("number {n}")),
            member: true,
            former: false,
            votes: ids(votes),
            against: ids(against),
            needed: 2,
            connected: true,
            misbehaved: false,
            invited_by: None,
        }
    }

    #[test]
    fn whoever_votes_hears_what_has_come_of_it() {
        let all = [member(1, &[], &[]), member(2, &[], &[]), member(3, &[1, 2], &[2])];
        assert_eq!(tally(&all[2], Ballot::Expel, &all), "1 of 2 votes; not voted yet: number 1");
        assert_eq!(tally(&all[2], Ballot::Admit, &all), "it is a member");
        let out = MemberView { member: false, former: true, ..member(3, &[2], &[1, 2]) };
        assert_eq!(tally(&out, Ballot::Expel, &all[..2]), "it is no member any more");
        assert_eq!(tally(&out, Ballot::Admit, &all[..2]), "1 of 2 votes; not voted yet: number 1");
    }
}
