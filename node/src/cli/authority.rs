//! `authority`: credentials. Issuing and revoking are acts of the root, signed here with the root keys; the node never
//! sees those.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand, ValueEnum};
use counterfoil_protocol::actuation::OverrideBudget;
use counterfoil_protocol::identity::{
    ActivationQuorum, AuthorityKind, Competence, Credential, Organisation, Revocation, Scope, Suspension,
};
use counterfoil_protocol::ids::{AuthorityId, OrganisationId, Position};
use counterfoil_protocol::keys::{PublicKey, SecretKey, Signer};
use counterfoil_protocol::statement::{Endorsed, Kind};

use super::Context;
use super::client::segment;
use super::print::{parse_time, time};
use super::recover::Recover;
use crate::api::routes::{KeyBody, Signed};
use crate::clock;
use crate::data::{passphrase, root_act};
use crate::keystore::Keystore;
use crate::service::say::{AuthorityView, Said, Say};

/// Authorities and their credentials
#[derive(Debug, Subcommand)]
pub(super) enum Authority {
    /// Make a new authority
    Issue(Issue),
    /// List authorities
    List,
    /// Show an authority
    Show {
        /// Its role or id
        authority: String,
    },
    /// Interrupt an authority, or end its interruption
    Suspend(Suspend),
    /// Give an authority a new key; it keeps its id
    Rotate {
        /// Its role or id
        authority: String,
    },
    /// End an authority
    Revoke(Revoke),
}

/// The organisation's root keys
#[derive(Debug, Clone, Subcommand)]
pub(super) enum Root {
    /// Put the root keys that were committed to in place of today's, and commit to new ones
    Rotate {
        /// From now on so many authorities have to stand behind the activation of profiles
        #[arg(long, value_name = "N")]
        activation_quorum: Option<u8>,
        /// Role that counts for that, as a pattern; may be repeated; any where none is named
        #[arg(long, value_name = "ROLE", requires = "activation_quorum")]
        activation_role: Vec<String>,
    },
    /// Give up heads that were signed and that nobody has any more, and go on with a new chain key; the node must not run
    Recover(Recover),
}

/// Interrupt an authority, or end its interruption
#[derive(Debug, Args)]
pub(super) struct Suspend {
    /// Its role or id
    authority: String,
    /// Why
    #[arg(long)]
    reason: String,
    /// End the interruption
    #[arg(long)]
    lift: bool,
}

/// Make a new authority
#[derive(Debug, Args)]
pub(super) struct Issue {
    /// Its role, such as `clinical-safety-officer`
    #[arg(long)]
    role: String,
    /// What it is
    #[arg(long, value_enum, default_value_t = KindName::HumanRole)]
    kind: KindName,
    /// Statement kind that it may sign; may be repeated; observations where none is named
    #[arg(long = "sign")]
    kinds: Vec<Kind>,
    /// Claim that it may make, as a pattern; may be repeated; any where none is named
    #[arg(long = "claim")]
    claims: Vec<String>,
    /// Date until which it is valid
    #[arg(long)]
    expires: Option<String>,
    /// What it is competent in, who found so, and until when; may be repeated
    #[arg(long, value_name = "WHAT;BY;UNTIL", value_parser = competence)]
    competence: Vec<Competence>,
    /// How often it may override a verdict in an emergency, and in how many days: 3/30
    #[arg(long, value_name = "COUNT/DAYS", value_parser = overrides)]
    overrides: Option<OverrideBudget>,
    /// Levels of further credentials that it may issue
    #[arg(long, default_value_t = 0)]
    delegation: u8,
    /// The authority that issues it, by role or id, within its own credential; the root keys where none is named
    #[arg(long, value_name = "AUTHORITY")]
    issuer: Option<String>,
}

/// `WHAT;BY;UNTIL`, the last a date.
fn competence(text: &str) -> Result<Competence, String> {
    let parts: Vec<&str> = text.split(';').map(str::trim).collect();
    let [what, by, until] = parts[..] else {
        return Err(
            "a competence is WHAT;BY;UNTIL, such as 'ISO/IEC 42001 lead auditor;Certifier;2028-01-31'".into(),
        );
    };
    if what.is_empty() || by.is_empty() {
        return Err("what it is competent in, and who found so, cannot be empty".into());
    }
    let until = parse_time(until).map_err(|error| error.to_string())?;
    Ok(Competence { what: what.into(), by: by.into(), until })
}

/// `COUNT/DAYS`.
fn overrides(text: &str) -> Result<OverrideBudget, String> {
    let parsed = text.split_once('/').and_then(|(count, days)| {
        let (count, days): (u32, u32) = (count.trim().parse().ok()?, days.trim().parse().ok()?);
        (count > 0 && days > 0).then_some(OverrideBudget { count, window_s: u64::from(days) * 86_400 })
    });
    parsed.ok_or_else(|| "a budget is COUNT/DAYS, such as 3/30: three in thirty days".into())
}

/// End an authority
#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// Its role or id
    authority: String,
    /// Why
    #[arg(long)]
    reason: String,
    /// Position from which on its key may have been in other hands
    #[arg(long, value_name = "POSITION")]
    compromised_since: Option<u64>,
    /// When that may have happened: what a quorum of witnesses had seen before stands
    #[arg(long, value_name = "TIME", requires = "compromised_since")]
    compromised_at: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindName {
    HumanRole,
    Sensor,
    Model,
    Service,
    ExternalBody,
}

impl Authority {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Issue(issue) => issue.run(context),
            Self::List => list(context, None),
            Self::Show { authority } => list(context, Some(&authority)),
            Self::Suspend(suspend) => suspend.run(context),
            Self::Rotate { authority } => rotate(context, &authority),
            Self::Revoke(revoke) => revoke.run(context),
        }
    }
}

fn list(context: &Context, only: Option<&str>) -> anyhow::Result<()> {
    let mut all: Vec<AuthorityView> = context.client.get("/v1/authorities")?;
    all.retain(|one| only.is_none_or(|text| text == one.role || text == one.authority.to_string()));
    anyhow::ensure!(only.is_none() || !all.is_empty(), "there is no such authority; see `authority list`");
    for one in &all {
        context.out.line(format!("{:<28} {:<14} {}", one.role, one.standing, one.authority));
        if only.is_some() {
            let kinds: Vec<&str> = one.kinds.iter().map(|kind| kind.name()).collect();
            context.out.detail(format!("may sign {}", kinds.join(", ")));
            context.out.detail(format!("may claim {}", one.claims.join(", ")));
            for competence in &one.competence {
                let Competence { what, by, until } = competence;
                context.out.detail(format!("competent in {what}, as {by} found, until {}", time(*until)));
            }
        }
    }
    context.out.value(&all)
}

/// The keystore of the root, brought up to date with the chain: a rotation may have been cut off after it was recorded.
fn root_store(context: &Context) -> anyhow::Result<Keystore> {
    let now: Organisation = context.client.get("/v1/organisation")?;
    let (path, passphrase) = (context.data.root_keys_path(), passphrase()?);
    let mut store = Keystore::load(&path, &passphrase)?;
    bring_up_to_date(&mut store, &now, &path, &passphrase)?;
    Ok(store)
}

/// Puts the keys that were to come in the place of today's, where the chain has them already.
pub(super) fn bring_up_to_date(
    store: &mut Keystore,
    now: &Organisation,
    path: &Path,
    passphrase: &[u8],
) -> anyhow::Result<()> {
    let next = named(store, "next-");
    let is_recorded = !next.is_empty() && next.iter().all(|key| now.root_keys.contains(&key.public_key()));
    if is_recorded {
        promote(store);
        store.save(path, passphrase)?;
    }
    Ok(())
}

pub(super) fn named(store: &Keystore, prefix: &str) -> Vec<SecretKey> {
    store.names().filter(|name| name.starts_with(prefix)).filter_map(|name| store.key(name)).collect()
}

/// Those that were to come are today's, and those after them are to come.
fn promote(store: &mut Keystore) {
    for (from, to) in [("next-", "root-"), ("after-", "next-")] {
        let names: Vec<String> =
            store.names().filter(|name| name.starts_with(from)).map(str::to_owned).collect();
        for name in names {
            store.rename(&name, &name.replacen(from, to, 1));
        }
    }
}

/// The root keys of today.
fn root_keys(context: &Context) -> anyhow::Result<Vec<SecretKey>> {
    Ok(named(&root_store(context)?, "root-"))
}

impl Root {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Rotate { activation_quorum, activation_role } => {
                let roles = activation_role;
                let quorum = activation_quorum.map(|approvals| ActivationQuorum { approvals, roles });
                rotate_root(context, quorum)
            }
            Self::Recover(recover) => recover.run(context),
        }
    }
}

fn rotate_root(context: &Context, quorum: Option<ActivationQuorum>) -> anyhow::Result<()> {
    let organisation = OrganisationId::from(context.data.inception()?.id());
    let path = context.data.root_keys_path();
    let mut store = root_store(context)?;
    let now: Organisation = context.client.get("/v1/organisation")?;
    let (today, next) = (named(&store, "root-"), named(&store, "next-"));
    anyhow::ensure!(!next.is_empty(), "{} holds no keys that were committed to", path.display());
    let after: Vec<SecretKey> = (1..=next.len()).map(|n| store.generate(&format!("after-{n}"))).collect();
    // Written down before anybody hears of them: a crash loses no key.
    store.save(&path, &passphrase()?)?;
    let version = Organisation {
        version: now.version + 1,
        activation_quorum: quorum.or_else(|| now.activation_quorum.clone()),
        root_keys: next.iter().map(Signer::public_key).collect(),
        next_root_keys: after.iter().map(|key| key.public_key().commitment()).collect(),
        recovery: None,
        ..now
    };
    let mut signers = today;
    signers.extend(next);
    let act = root_act(Some(organisation), Kind::Organisation, &version, &signers, clock::now().timestamp())?;
    let said = append(context, act.statement().bytes())?;
    promote(&mut store);
    store.save(&path, &passphrase()?)?;
    context.out.done(format!("the root keys are those of version {}", version.version));
    context.out.detail(format!("new ones are committed to; all are in {}", path.display()));
    context.out.value(&said)
}

fn authority_of(context: &Context, text: &str) -> anyhow::Result<AuthorityId> {
    context.client.get(&format!("/v1/authorities/{}", segment(text)))
}

/// A new key for an authority that goes on.
fn rotate(context: &Context, text: &str) -> anyhow::Result<()> {
    let organisation = OrganisationId::from(context.data.inception()?.id());
    let root = root_keys(context)?;
    let (authority, now): (AuthorityId, Credential) =
        context.client.get(&format!("/v1/authorities/{}/credential", segment(text)))?;
    anyhow::ensure!(
        now.issuer.is_none(),
        "{} was made by another authority, which gives it its keys",
        now.role
    );
    let path = format!("/v1/keys/{}", segment(&now.role));
    let key: PublicKey = context.client.post(&path, &KeyBody { succeeds: true })?;
    let at = clock::now().timestamp();
    let next = Credential { key, authority: Some(authority), ..now };
    let act = root_act(Some(organisation), Kind::Credential, &next, &root, at)?;
    let said = append(context, act.statement().bytes())?;
    context.out.done(format!("{} signs with a new key from position {} on", next.role, said.position));
    context.out.detail(format!("it is still {authority}, and what its former key signed stands"));
    context.out.value(&said)
}

impl Suspend {
    fn run(self, context: &Context) -> anyhow::Result<()> {
        let organisation = OrganisationId::from(context.data.inception()?.id());
        let authority = authority_of(context, &self.authority)?;
        let root = root_keys(context)?;
        let suspension = Suspension { authority, reason: self.reason, lifted: self.lift };
        let now = clock::now().timestamp();
        let act = root_act(Some(organisation), Kind::Suspension, &suspension, &root, now)?;
        let said = append(context, act.statement().bytes())?;
        if self.lift {
            context.out.done(format!("{} may sign again", self.authority));
        } else {
            context.out.done(format!("{} is suspended from position {} on", self.authority, said.position));
            context.out.next(format!("counterfoil authority suspend {} --lift --reason R", self.authority));
        }
        context.out.value(&said)
    }
}

fn append(context: &Context, signed: &[u8]) -> anyhow::Result<Said> {
    context.client.post("/v1/statements/signed", &Signed { signed: STANDARD.encode(signed) })
}

impl Issue {
    fn run(self, context: &Context) -> anyhow::Result<()> {
        let organisation = OrganisationId::from(context.data.inception()?.id());
        let issuer: Option<(AuthorityId, Credential)> = match &self.issuer {
            Some(text) => Some(context.client.get(&format!("/v1/authorities/{}/credential", segment(text)))?),
            None => None,
        };
        let path = format!("/v1/keys/{}", segment(&self.role));
        let key: PublicKey = context.client.post(&path, &KeyBody::default())?;
        let now = clock::now().timestamp();
        let mut kinds = if self.kinds.is_empty() { vec![Kind::Observation] } else { self.kinds };
        if self.overrides.is_some() && !kinds.contains(&Kind::Override) {
            kinds.push(Kind::Override);
        }
        let claims = if self.claims.is_empty() { vec!["*".to_owned()] } else { self.claims };
        let credential = Credential {
            key,
            kind: match self.kind {
                KindName::HumanRole => AuthorityKind::HumanRole,
                KindName::Sensor => AuthorityKind::Sensor,
                KindName::Model => AuthorityKind::Model,
                KindName::Service => AuthorityKind::Service,
                KindName::ExternalBody => AuthorityKind::ExternalBody,
            },
            role: self.role.clone(),
            scopes: vec![Scope { kinds, claims, subjects: Vec::new() }],
            jurisdictions: issuer.as_ref().map(|(_, own)| own.jurisdictions.clone()).unwrap_or_default(),
            competence: self.competence,
            not_before: now,
            expires: match &self.expires {
                Some(text) => Some(parse_time(text)?),
                // Nobody gives more than it has.
                None => issuer.as_ref().and_then(|(_, credential)| credential.expires),
            },
            delegation: self.delegation,
            issuer: issuer.as_ref().map(|(id, _)| *id),
            authority: None,
            overrides: self.overrides,
        };
        let said = match issuer {
            // Signed by the node, which has the issuer's key; the root keys take no part.
            Some((id, _)) => {
                let endorsed = Endorsed::new(Kind::Credential, &credential, &[])?;
                let say = Say { authority: Some(id.to_string()), ..Say::new(Kind::Credential, &endorsed)? };
                context.client.post("/v1/statements", &say)?
            }
            None => {
                let root = root_keys(context)?;
                let act = root_act(Some(organisation), Kind::Credential, &credential, &root, now)?;
                append(context, act.statement().bytes())?
            }
        };
        let authority = AuthorityId::from(said.statement);
        context.out.done(format!("{} is {authority}", self.role));
        context.out.next(format!("counterfoil observe FILE --as {}", self.role));
        context.out.value(&serde_json::json!({ "authority": authority, "role": self.role, "said": said }))
    }
}

impl Revoke {
    fn run(self, context: &Context) -> anyhow::Result<()> {
        let organisation = OrganisationId::from(context.data.inception()?.id());
        let authority = authority_of(context, &self.authority)?;
        let root = root_keys(context)?;
        let revocation = Revocation {
            authority,
            reason: self.reason,
            compromised_since: self.compromised_since.map(Position),
            compromised_at: self.compromised_at.as_deref().map(parse_time).transpose()?,
        };
        let now = clock::now().timestamp();
        let act = root_act(Some(organisation), Kind::Revocation, &revocation, &root, now)?;
        let said = append(context, act.statement().bytes())?;
        context.out.done(format!("{} is revoked from position {} on", self.authority, said.position));
        context.out.detail("what it signed before stands; later statements are refused everywhere");
        context.out.value(&said)
    }
}
