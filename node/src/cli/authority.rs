//! `authority`: credentials. Issuing and revoking are acts of the root, signed here with the root keys; the node never
//! sees those.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand, ValueEnum};
use counterfoil_protocol::identity::{AuthorityKind, Credential, Revocation, Scope};
use counterfoil_protocol::ids::{AuthorityId, OrganisationId, Position};
use counterfoil_protocol::keys::{PublicKey, SecretKey};
use counterfoil_protocol::statement::Kind;

use super::Context;
use super::client::segment;
use super::print::parse_time;
use crate::api::routes::Signed;
use crate::clock;
use crate::data::{passphrase, root_act};
use crate::keystore::Keystore;
use crate::service::say::{AuthorityView, Said};

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
    /// End an authority
    Revoke(Revoke),
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
    /// Levels of further credentials that it may issue
    #[arg(long, default_value_t = 0)]
    delegation: u8,
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
        }
    }
    context.out.value(&all)
}

/// The root keys that its threshold asks for.
fn root_keys(context: &Context) -> anyhow::Result<Vec<SecretKey>> {
    let store = Keystore::load(&context.data.root_keys_path(), &passphrase()?)?;
    Ok(store.names().filter(|name| name.starts_with("root-")).filter_map(|name| store.key(name)).collect())
}

fn append(context: &Context, signed: &[u8]) -> anyhow::Result<Said> {
    context.client.post("/v1/statements/signed", &Signed { signed: STANDARD.encode(signed) })
}

impl Issue {
    fn run(self, context: &Context) -> anyhow::Result<()> {
        let organisation = OrganisationId::from(context.data.inception()?.id());
        let root = root_keys(context)?;
        let key: PublicKey = context.client.post(&format!("/v1/keys/{}", segment(&self.role)), &())?;
        let now = clock::now().timestamp();
        let kinds = if self.kinds.is_empty() { vec![Kind::Observation] } else { self.kinds };
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
            jurisdictions: Vec::new(),
            competence: Vec::new(),
            not_before: now,
            expires: self.expires.as_deref().map(parse_time).transpose()?,
            delegation: self.delegation,
            issuer: None,
        };
        let act = root_act(Some(organisation), Kind::Credential, &credential, &root, now)?;
        let said = append(context, act.statement().bytes())?;
        let authority = AuthorityId::from(said.statement);
        context.out.done(format!("{} is {authority}", self.role));
        context.out.next(format!("counterfoil observe FILE --as {}", self.role));
        context.out.value(&serde_json::json!({ "authority": authority, "role": self.role, "said": said }))
    }
}

impl Revoke {
    fn run(self, context: &Context) -> anyhow::Result<()> {
        let organisation = OrganisationId::from(context.data.inception()?.id());
        let authority: AuthorityId =
            context.client.get(&format!("/v1/authorities/{}", segment(&self.authority)))?;
        let root = root_keys(context)?;
        let revocation = Revocation {
            authority,
            reason: self.reason,
            compromised_since: self.compromised_since.map(Position),
        };
        let now = clock::now().timestamp();
        let act = root_act(Some(organisation), Kind::Revocation, &revocation, &root, now)?;
        let said = append(context, act.statement().bytes())?;
        context.out.done(format!("{} is revoked from position {} on", self.authority, said.position));
        context.out.detail("what it signed before stands; later statements are refused everywhere");
        context.out.value(&said)
    }
}
