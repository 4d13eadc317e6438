//! Addresses and what they do. Each handler reads its input, calls the service on a thread that may block, and writes
//! what comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use counterfoil_protocol::admissibility::Composition;
use counterfoil_protocol::bundle::Wanted;
use counterfoil_protocol::chain::tile::{TileId, TilePath, TilePathError, width_in};
use counterfoil_protocol::ids::{StatementId, Timestamp};
use counterfoil_protocol::mesh::{Agreement, Answer, Ballot, Charter, Recognition, Relation};
use counterfoil_protocol::statement::Kind;
use counterfoil_protocol::weighting::Ppm;
use futures::stream::{Stream, unfold};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;

use super::problem::Problem;
use super::{actuation, lineage, scitt, witness};
use crate::data::DOCUMENT_BYTES_MAX;
use crate::service::mesh::TermsWish;
use crate::service::read::LogQuery;
use crate::service::say::Say;
use crate::service::what_if::Suppose;
use crate::service::{Node, ServiceError};

/// Largest body of a request, in bytes: a document in base64, and some.
const BODY_BYTES_MAX: usize = DOCUMENT_BYTES_MAX / 3 * 4 + (1 << 20);

pub(super) type Shared = State<Arc<Node>>;
pub(super) type Answered = Result<Response, Problem>;

/// A wish to append what was signed elsewhere.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// The statement's bytes, in base64.
    pub signed: String,
}

/// A document to be kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Its bytes, in base64.
    pub document: String,
}

/// A wish to link.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkBody {
    /// To which statement.
    pub target: String,
    /// How.
    pub relation: Relation,
    /// On behalf of which own statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What for.
    #[serde(default)]
    pub purpose: String,
    /// Under which agreement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<String>,
}

/// What is proposed to other organisations.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgreeBody {
    /// The other parties: ids, prefixes or names.
    pub with: Vec<String>,
    /// Kinds of statements.
    pub kinds: Vec<Kind>,
    /// Subjects, as patterns; any where none is named.
    #[serde(default)]
    pub subjects: Vec<String>,
    /// Jurisdictions; any where none is named.
    #[serde(default)]
    pub jurisdictions: Vec<String>,
    /// From when; from now on where nothing is said.
    #[serde(default)]
    pub from: Option<Timestamp>,
    /// Until when.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// Seconds within which a link is to be answered.
    #[serde(default)]
    pub link_answer_s: Option<u64>,
    /// What for.
    #[serde(default)]
    pub purpose: String,
}

/// Pausing the exchange with an organisation, or resuming it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseBody {
    /// With whom: id, prefix or name.
    pub organisation: String,
    /// Whether it is paused from now on.
    pub paused: bool,
}

/// An answer to an agreement.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptanceBody {
    /// Whether the organisation withdraws from it.
    #[serde(default)]
    pub withdrawn: bool,
}

/// A recall.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecallBody {
    /// Of which statement.
    pub statement: String,
    /// Why.
    pub reason: String,
}

/// A dispute.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisputeBody {
    /// Of which statement.
    pub statement: String,
    /// Why.
    pub reason: String,
    /// Whether the own dispute is taken back.
    #[serde(default)]
    pub withdraw: bool,
}

/// An invitation.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InviteBody {
    /// Who is invited: id, prefix or name; whoever shows the letter, where nobody is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// Seconds for which it holds.
    pub valid_s: u64,
}

/// A vote.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoteBody {
    /// About whom: id, prefix or name.
    pub organisation: String,
    /// The vote.
    pub ballot: Ballot,
}

/// A recognition.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecogniseBody {
    /// Of whom: id, prefix or name.
    pub organisation: String,
    /// For which claims, as patterns.
    #[serde(default)]
    pub claims: Vec<String>,
    /// Of which roles, as patterns; of any where none is named or mapped.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Own roles by the other's.
    #[serde(default)]
    pub role_map: BTreeMap<String, String>,
    /// Own claims by the other's.
    #[serde(default)]
    pub claim_map: BTreeMap<String, String>,
    /// The most that its authorities count for, in parts per million.
    #[serde(default)]
    pub authority_cap: Option<Ppm>,
    /// Whether it is no longer recognised for them.
    #[serde(default)]
    pub withdrawn: bool,
}

/// An activation.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivateBody {
    /// Which declared profiles.
    pub profiles: Vec<String>,
    /// How they compose.
    pub composition: Composition,
    /// Who says so, by role or id; the steward where nobody is named.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
}

/// Texts that are declared, joined or the like.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextBody {
    /// The text.
    pub text: String,
}

/// A profile that is to be tried on past decisions.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShadowBody {
    /// The profile, in TOML.
    pub text: String,
    /// Of the decisions from the first to the last second.
    pub period: (Timestamp, Timestamp),
}

/// A wish for a backup.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupBody {
    /// Where to, as an absolute path on the node's machine.
    pub path: std::path::PathBuf,
}

/// A witness to be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessBody {
    /// Where it is: `http://host:port`, and a prefix.
    pub address: String,
}

/// What a bundle is to prove.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleBody {
    /// The lineage of these statements.
    #[serde(default)]
    pub about: Vec<String>,
    /// Everything that was said from the first to the last second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<(Timestamp, Timestamp)>,
    /// By these organisations: ids, prefixes or names; by the own one where nobody is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub organisations: Vec<String>,
    /// Names of sealed claims that are to be disclosed, by statement.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub disclose: BTreeMap<String, BTreeSet<String>>,
    /// For these organisations, ids, prefixes or names: also what each of them may read of what is limited; for anybody where
    /// nobody is named.
    #[serde(default, rename = "for", skip_serializing_if = "Vec::is_empty")]
    pub readers: Vec<String>,
    /// Whether what is limited is to be in it, whoever may read it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub include_limited: bool,
}

/// The API of a node.
pub fn router(node: Arc<Node>) -> Router {
    actuation::router()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/.well-known/counterfoil.json", get(well_known))
        .route("/log/checkpoint", get(checkpoint))
        .route("/log/tile/{*path}", get(tile))
        .route("/log/consistency/{size}", get(scitt::consistency))
        .route("/add-checkpoint", post(witness::add_checkpoint))
        .route("/{origin}/checkpoint", get(witness::witnessed))
        .route("/entries", post(scitt::register))
        .route("/entries/{id}", get(scitt::entry))
        .route("/.well-known/scitt-keys", get(scitt::keys))
        .route("/.well-known/scitt-keys/{kid}", get(scitt::key))
        .route("/v1/status", get(async |State(n): Shared| run(n, |n| n.status()).await))
        .route("/v1/peers", get(async |State(n): Shared| run(n, |n| n.peers()).await))
        .route("/v1/authorities", get(async |State(n): Shared| run(n, |n| n.authorities()).await))
        .route("/v1/authorities/{text}", get(authority))
        .route("/v1/authorities/{text}/credential", get(credential))
        .route("/v1/organisation", get(async |State(n): Shared| run(n, |n| Ok(n.description())).await))
        .route("/v1/keys/{role}", post(new_key))
        .route("/v1/peer-key", post(async |State(n): Shared| run(n, |n| n.rotate_peer()).await))
        .route("/v1/mesh", post(found_mesh))
        .route("/v1/mesh/invitations", post(invite))
        .route("/v1/mesh/leave", post(async |State(n): Shared| run(n, |n| n.leave()).await))
        .route("/v1/mesh/terms", get(async |State(n): Shared| run(n, |n| n.terms()).await).post(amend))
        .route("/v1/mesh/join", post(join))
        .route("/v1/mesh/members", get(async |State(n): Shared| run(n, |n| n.members()).await))
        .route("/v1/mesh/votes", post(vote))
        .route("/v1/recognitions", post(recognise))
        .route("/v1/pauses", get(async |State(n): Shared| run(n, |n| n.reconciliation()).await).post(pause))
        .route("/v1/agreements", get(async |State(n): Shared| run(n, |n| n.agreements()).await).post(agree))
        .route("/v1/agreements/{id}/acceptance", post(accept_agreement))
        .route("/v1/statements", get(log).post(say))
        .route("/v1/statements/signed", post(append))
        .route("/v1/statements/{id}", get(show))
        .route("/v1/statements/{id}/raw", get(raw))
        .route("/v1/statements/{id}/receipt", get(receipt))
        .route("/v1/documents", post(document))
        .route("/v1/links", get(links).post(link))
        .route("/v1/links/{id}/answer", post(answer))
        .route("/v1/profiles", post(declare))
        .route("/v1/activations", post(activate))
        .route("/v1/approvals", post(approve))
        .route("/v1/decisions/{id}/what-if", post(what_if))
        .route("/v1/shadow", post(shadow))
        .route("/v1/recalls", post(recall))
        .route("/v1/disputes", post(dispute))
        .route("/v1/recalls/{id}/acknowledgements", get(acknowledgements))
        .route("/v1/bundles", post(bundle))
        .route("/v1/witness", post(ask_witness))
        .route("/v1/forks", get(async |State(n): Shared| run(n, |n| n.forks()).await))
        .route("/v1/forks/{organisation}", get(fork))
        .merge(lineage::router())
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "address", "there is nothing at this address"))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(harden))
        .with_state(node)
}

/// The API as the owner's socket has it: with what touches files of the machine.
pub fn owner_router(node: Arc<Node>) -> Router {
    Router::new().route("/v1/backups", post(backup)).with_state(node.clone()).merge(router(node))
}

async fn backup(State(node): Shared, bytes: Bytes) -> Answered {
    let wish: BackupBody = body(&bytes)?;
    run(node, move |node| node.backup(&wish.path)).await
}

/// Headers that keep browsers from making anything else of an answer.
async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(header::HeaderValue::from_static("no-store"));
    response
}

/// Calls the service where it may block.
pub(super) async fn call<T: Send + 'static>(
    node: Arc<Node>,
    work: impl FnOnce(&Node) -> Result<T, ServiceError> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(move || work(&node)).await {
        Ok(outcome) => Ok(outcome?),
        Err(error) => {
            tracing::error!(%error, "a request ended by a panic");
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "panic", "the node failed; see its log"))
        }
    }
}

pub(super) async fn run<T: Serialize + Send + 'static>(
    node: Arc<Node>,
    work: impl FnOnce(&Node) -> Result<T, ServiceError> + Send + 'static,
) -> Answered {
    Ok(Json(call(node, work).await?).into_response())
}

/// Reads a JSON body; the error says where it is wrong.
pub(super) fn body<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(bytes)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "json", format!("the body: {error}")))
}

fn decoded(text: &str) -> Result<Vec<u8>, Problem> {
    STANDARD
        .decode(text)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "base64", format!("the body: {error}")))
}

async fn ready(State(node): Shared) -> Answered {
    let status = call(node, Node::status).await?;
    match status.frozen {
        None => Ok("ready\n".into_response()),
        Some(why) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "head-lock", why)),
    }
}

async fn well_known(State(node): Shared) -> Answered {
    let status = call(node, Node::status).await?;
    let json = serde_json::json!({
        "organisation": status.organisation,
        "name": status.name,
        "vkey": status.vkey,
        "peer_id": status.peer_id,
        "addresses": status.addresses,
        "mesh": status.mesh,
    });
    Ok(Json(json).into_response())
}

async fn checkpoint(State(node): Shared) -> Answered {
    let text = call(node, |node| {
        let view = node.view()?;
        let own = view.chains.get(&node.organisation());
        let head = own.and_then(|own| own.head());
        let head = head.ok_or_else(|| ServiceError::absent("there is no checkpoint yet"))?;
        let mut text = head.note().to_string();
        own.into_iter().flat_map(|own| own.cosignatures().values()).for_each(|line| text.push_str(line));
        Ok(text)
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

/// C2SP tiles of the own chain: hashes by level, or the entries, which are digests here.
async fn tile(State(node): Shared, Path(path): Path<String>) -> Answered {
    let bytes = call(node, move |node| {
        let view = node.view()?;
        let size = crate::service::covered(&view, &node.organisation());
        let path: TilePath = format!("tile/{path}")
            .parse()
            .map_err(|error: TilePathError| ServiceError::caller("tile", error.to_string()))?;
        let tile = TileId { level: path.level.unwrap_or(0), index: path.index };
        if u64::from(path.width) > width_in(tile, size) {
            return Err(ServiceError::absent(format!("a chain of {size} statements has no such tile")));
        }
        node.tile(&path)
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
}

async fn authority(State(node): Shared, Path(text): Path<String>) -> Answered {
    run(node, move |node| node.find_authority(&text)).await
}

async fn credential(State(node): Shared, Path(text): Path<String>) -> Answered {
    run(node, move |node| node.credential(&text)).await
}

/// A key is wanted.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyBody {
    /// For an authority that has one already.
    #[serde(default)]
    pub succeeds: bool,
}

async fn new_key(State(node): Shared, Path(role): Path<String>, bytes: Bytes) -> Answered {
    let wish: KeyBody = body(&bytes)?;
    run(node, move |node| node.new_authority_key(&role, wish.succeeds)).await
}

async fn found_mesh(State(node): Shared, bytes: Bytes) -> Answered {
    let charter: Charter = body(&bytes)?;
    run(node, move |node| node.found_mesh(charter)).await
}

async fn invite(State(node): Shared, bytes: Bytes) -> Answered {
    let wish: InviteBody = body(&bytes)?;
    run(node, move |node| {
        let invited = wish.organisation.map(|text| node.find_organisation(&text)).transpose()?;
        node.invite(invited, wish.valid_s)
    })
    .await
}

async fn amend(State(node): Shared, bytes: Bytes) -> Answered {
    let wish: TermsWish = body(&bytes)?;
    run(node, move |node| node.amend(&wish)).await
}

async fn join(State(node): Shared, bytes: Bytes) -> Answered {
    let text: TextBody = body(&bytes)?;
    run(node, move |node| node.join(&text.text)).await
}

async fn vote(State(node): Shared, bytes: Bytes) -> Answered {
    let vote: VoteBody = body(&bytes)?;
    run(node, move |node| node.vote(node.find_organisation(&vote.organisation)?, vote.ballot)).await
}

async fn recognise(State(node): Shared, bytes: Bytes) -> Answered {
    let wish: RecogniseBody = body(&bytes)?;
    run(node, move |node| {
        let organisation = node.find_organisation(&wish.organisation)?;
        node.recognise(&Recognition {
            organisation,
            claims: wish.claims,
            roles: wish.roles,
            role_map: wish.role_map,
            claim_map: wish.claim_map,
            authority_cap: wish.authority_cap,
            withdrawn: wish.withdrawn,
        })
    })
    .await
}

async fn pause(State(node): Shared, bytes: Bytes) -> Answered {
    let wish: PauseBody = body(&bytes)?;
    run(node, move |node| {
        let organisation = node.find_organisation(&wish.organisation)?;
        if wish.paused { node.pause(organisation) } else { node.resume(organisation) }
    })
    .await
}

async fn agree(State(node): Shared, bytes: Bytes) -> Answered {
    let wish: AgreeBody = body(&bytes)?;
    run(node, move |node| {
        let parties = wish.with.iter().map(|text| node.find_organisation(text)).collect::<Result<_, _>>()?;
        node.propose(Agreement {
            parties,
            kinds: wish.kinds,
            subjects: wish.subjects,
            jurisdictions: wish.jurisdictions,
            from: wish.from.unwrap_or_else(|| node.now()),
            until: wish.until,
            link_answer_s: wish.link_answer_s,
            purpose: wish.purpose,
        })
    })
    .await
}

async fn accept_agreement(State(node): Shared, Path(id): Path<String>, bytes: Bytes) -> Answered {
    let wish: AcceptanceBody = body(&bytes)?;
    run(node, move |node| node.accept_agreement(&node.resolve(&id)?, wish.withdrawn)).await
}

async fn say(State(node): Shared, bytes: Bytes) -> Answered {
    let say: Say = body(&bytes)?;
    run(node, move |node| node.say(say)).await
}

async fn append(State(node): Shared, bytes: Bytes) -> Answered {
    let signed: Signed = body(&bytes)?;
    let statement = decoded(&signed.signed)?;
    run(node, move |node| node.append(&statement)).await
}

async fn log(State(node): Shared, Query(query): Query<LogQuery>) -> Answered {
    run(node, move |node| node.log(&query)).await
}

async fn show(State(node): Shared, Path(id): Path<String>) -> Answered {
    run(node, move |node| node.show(&node.resolve(&id)?)).await
}

async fn raw(State(node): Shared, Path(id): Path<String>) -> Answered {
    let bytes = call(node, move |node| node.raw(&node.resolve(&id)?)).await?;
    Ok(([(header::CONTENT_TYPE, "application/cose")], bytes).into_response())
}

async fn receipt(State(node): Shared, Path(id): Path<String>) -> Answered {
    run(node, move |node| node.receipt(&node.resolve(&id)?)).await
}

async fn document(State(node): Shared, bytes: Bytes) -> Answered {
    let document: Document = body(&bytes)?;
    let document = decoded(&document.document)?;
    run(node, move |node| node.keep_document(&document)).await
}

#[derive(Deserialize)]
struct Open {
    #[serde(default)]
    open: bool,
}

async fn links(State(node): Shared, Query(query): Query<Open>) -> Answered {
    run(node, move |node| node.links(query.open)).await
}

async fn link(State(node): Shared, bytes: Bytes) -> Answered {
    let wish: LinkBody = body(&bytes)?;
    run(node, move |node| {
        let from = wish.from.as_deref().map(|from| node.resolve(from)).transpose()?;
        let agreement = wish.agreement.as_deref().map(|id| node.resolve(id)).transpose()?;
        node.link(node.resolve(&wish.target)?, wish.relation, from, &wish.purpose, agreement)
    })
    .await
}

async fn answer(State(node): Shared, Path(id): Path<String>, bytes: Bytes) -> Answered {
    let answer: Answer = body(&bytes)?;
    run(node, move |node| node.answer(&node.resolve(&id)?, answer)).await
}

async fn declare(State(node): Shared, bytes: Bytes) -> Answered {
    let text: TextBody = body(&bytes)?;
    run(node, move |node| node.declare(&text.text)).await
}

async fn activate(State(node): Shared, bytes: Bytes) -> Answered {
    let wish: ActivateBody = body(&bytes)?;
    run(node, move |node| node.activate(resolved(node, &wish.profiles)?, wish.composition, wish.authority))
        .await
}

async fn approve(State(node): Shared, bytes: Bytes) -> Answered {
    let wish: ActivateBody = body(&bytes)?;
    run(node, move |node| node.approve(resolved(node, &wish.profiles)?, wish.composition, wish.authority))
        .await
}

async fn what_if(State(node): Shared, Path(id): Path<String>, bytes: Bytes) -> Answered {
    let suppose: Suppose = body(&bytes)?;
    run(node, move |node| node.what_if(&node.resolve(&id)?, &suppose)).await
}

async fn shadow(State(node): Shared, bytes: Bytes) -> Answered {
    let wish: ShadowBody = body(&bytes)?;
    run(node, move |node| node.shadow(&wish.text, wish.period)).await
}

async fn recall(State(node): Shared, bytes: Bytes) -> Answered {
    let wish: RecallBody = body(&bytes)?;
    run(node, move |node| node.recall(&node.resolve(&wish.statement)?, &wish.reason)).await
}

async fn dispute(State(node): Shared, bytes: Bytes) -> Answered {
    let wish: DisputeBody = body(&bytes)?;
    run(node, move |node| node.dispute(node.resolve(&wish.statement)?, &wish.reason, wish.withdraw)).await
}

async fn acknowledgements(State(node): Shared, Path(id): Path<String>) -> Answered {
    run(node, move |node| node.acknowledgements(&node.resolve(&id)?)).await
}

async fn fork(State(node): Shared, Path(text): Path<String>) -> Answered {
    run(node, move |node| node.fork(&node.find_organisation(&text)?)).await
}

async fn ask_witness(State(node): Shared, bytes: Bytes) -> Answered {
    let wish: WitnessBody = body(&bytes)?;
    run(node, move |node| node.ask_witness(&wish.address)).await
}

async fn bundle(State(node): Shared, bytes: Bytes) -> Answered {
    let wish: BundleBody = body(&bytes)?;
    let file = call(node, move |node| {
        let named = wish.organisations.iter().map(|text| node.find_organisation(text));
        let mut organisations = named.collect::<Result<Vec<_>, _>>()?;
        if organisations.is_empty() {
            organisations.push(node.organisation());
        }
        let period = wish.period.map(|(first, last)| (first, last, organisations));
        let disclose = wish.disclose.into_iter().map(|(id, names)| Ok((node.resolve(&id)?, names)));
        let disclose = disclose.collect::<Result<_, ServiceError>>()?;
        let readers = node.readers(&wish.readers, wish.include_limited)?;
        node.bundle(&Wanted { about: resolved(node, &wish.about)?, period, disclose, readers })
    })
    .await?;
    let body = Body::from_stream(chunks(tokio::fs::File::from_std(file)));
    Ok(([(header::CONTENT_TYPE, "application/vnd.counterfoil.bundle")], body).into_response())
}

/// A file, a piece at a time.
fn chunks(file: tokio::fs::File) -> impl Stream<Item = std::io::Result<Bytes>> {
    unfold(file, async |mut file| {
        let mut buffer = vec![0; 64 * 1024];
        match file.read(&mut buffer).await {
            Ok(0) => None,
            Ok(length) => {
                buffer.truncate(length);
                Some((Ok(Bytes::from(buffer)), file))
            }
            Err(error) => Some((Err(error), file)),
        }
    })
}

pub(super) fn resolved(node: &Node, texts: &[String]) -> Result<Vec<StatementId>, ServiceError> {
    texts.iter().map(|text| node.resolve(text)).collect()
}
