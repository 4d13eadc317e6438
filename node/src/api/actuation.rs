//! Decisions and what follows from them, as an AI runtime calls them: a request in, a verdict and a permit out.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use counterfoil_protocol::actuation::{CorrectiveAction, Request as ActionRequest};
use counterfoil_protocol::ids::{StatementId, Timestamp};
use counterfoil_protocol::observation::Subject;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::routes::{Answered, Shared, body, resolved, run};
use crate::service::overriding::OverrideWish;
use crate::service::{Node, ServiceError};

/// Long enough for any peer that is there, and short enough for a caller who waits.
pub const WAIT_S: u64 = 2;
/// The longest that a caller may wait.
pub(super) const WAIT_S_MAX: u64 = 300;

pub(super) const fn wait_s() -> u64 {
    WAIT_S
}

/// A wish to decide.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecideBody {
    /// What is asked. Its subjects may be texts: `sha256:...`, `name:...`, the id of a statement.
    #[serde(deserialize_with = "readable")]
    pub request: ActionRequest,
    /// About which second; a dry run alone may ask about another time than now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Whether nothing is to be recorded.
    #[serde(default)]
    pub dry_run: bool,
    /// Seconds to wait at most for what other members know of the subjects.
    #[serde(default = "wait_s")]
    pub wait_s: u64,
    /// An emergency override, where one is meant.
    #[serde(default, rename = "override", skip_serializing_if = "Option::is_none")]
    pub overriding: Option<OverrideWish>,
}

/// An effect.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EffectBody {
    /// Under which permit.
    pub permit: String,
    /// What was observed.
    pub observed: BTreeMap<String, String>,
}

/// A declaration in TOML.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclareBody {
    /// The text.
    pub text: String,
    /// Who declares it; the steward where nobody is named.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
}

/// Something is not as it should be.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RaiseBody {
    /// The statement that shows it.
    pub cause: String,
    /// What is not as it should be.
    pub finding: String,
}

/// A corrective action.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorrectBody {
    /// About which nonconformity.
    pub nonconformity: String,
    /// What is done.
    pub action: String,
    /// Statements that show what it came from.
    #[serde(default)]
    pub causes: Vec<String>,
    /// Who is responsible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub responsible: Option<String>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// Whether that ends the matter.
    #[serde(default)]
    pub closes: bool,
    /// Statements that show that it was done and that it helped.
    #[serde(default)]
    pub evidence: Vec<String>,
    /// Who says so; the steward where nobody is named.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
}

/// Reads a request whose subjects may be texts.
fn readable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ActionRequest, D::Error> {
    let mut request = serde_json::Value::deserialize(deserializer)?;
    let subjects = request.get_mut("subjects").and_then(serde_json::Value::as_array_mut);
    for subject in subjects.into_iter().flatten() {
        if let Some(text) = subject.as_str() {
            let parsed: Subject =
                text.parse().map_err(|error| de::Error::custom(format!("subject: {error}")))?;
            *subject = serde_json::to_value(parsed).map_err(de::Error::custom)?;
        }
    }
    serde_json::from_value(request).map_err(|error| de::Error::custom(format!("request: {error}")))
}

/// The addresses of decisions and what follows from them.
pub(super) fn router() -> Router<std::sync::Arc<Node>> {
    Router::new()
        .route("/v1/action-classes", post(declare_class))
        .route("/v1/harm-orderings", post(declare_ordering))
        .route("/v1/declarations", get(async |State(n): Shared| run(n, |n| n.declarations()).await))
        .route("/v1/decisions", post(decide))
        .route("/v1/decisions/{id}", get(why))
        .route("/v1/effects", post(effect))
        .route("/v1/nonconformities", get(nonconformities).post(raise))
        .route("/v1/nonconformities/{id}", get(nonconformity))
        .route("/v1/corrections", post(correct))
}

async fn declare_class(State(node): Shared, bytes: Bytes) -> Answered {
    let wish: DeclareBody = body(&bytes)?;
    run(node, move |node| node.declare_class(&wish.text, wish.authority)).await
}

async fn declare_ordering(State(node): Shared, bytes: Bytes) -> Answered {
    let wish: DeclareBody = body(&bytes)?;
    run(node, move |node| node.declare_ordering(&wish.text, wish.authority)).await
}

async fn decide(State(node): Shared, bytes: Bytes) -> Answered {
    let wish: DecideBody = body(&bytes)?;
    let wait = Duration::from_secs(wish.wait_s.min(WAIT_S_MAX));
    run(node, move |node| match &wish.overriding {
        Some(_) if wish.dry_run || wish.at.is_some() => {
            let text = "an override is recorded as of now; a dry run spends nothing, so it shows nothing";
            Err(ServiceError::caller("override", text))
        }
        Some(overriding) => node.decide_overriding(wish.request, overriding),
        None => node.decide(wish.request, wish.at, wish.dry_run, wait),
    })
    .await
}

async fn why(State(node): Shared, Path(id): Path<String>) -> Answered {
    run(node, move |node| node.why(&node.resolve(&id)?)).await
}

async fn effect(State(node): Shared, bytes: Bytes) -> Answered {
    let wish: EffectBody = body(&bytes)?;
    run(node, move |node| node.report_effect(&node.resolve(&wish.permit)?, wish.observed)).await
}

#[derive(Deserialize)]
struct Open {
    #[serde(default)]
    open: bool,
}

async fn nonconformities(State(node): Shared, Query(query): Query<Open>) -> Answered {
    run(node, move |node| node.nonconformities(query.open)).await
}

async fn raise(State(node): Shared, bytes: Bytes) -> Answered {
    let wish: RaiseBody = body(&bytes)?;
    run(node, move |node| {
        let raised = node.raise(&node.resolve(&wish.cause)?, &wish.finding)?;
        node.nonconformity(&raised)
    })
    .await
}

async fn nonconformity(State(node): Shared, Path(id): Path<String>) -> Answered {
    run(node, move |node| node.nonconformity(&node.resolve(&id)?)).await
}

async fn correct(State(node): Shared, bytes: Bytes) -> Answered {
    let wish: CorrectBody = body(&bytes)?;
    run(node, move |node| {
        let nonconformity: StatementId = node.resolve(&wish.nonconformity)?;
        let action = CorrectiveAction {
            nonconformity,
            action: wish.action,
            causes: resolved(node, &wish.causes)?,
            responsible: wish.responsible,
            due: wish.due,
            closes: wish.closes,
            evidence: resolved(node, &wish.evidence)?,
        };
        node.correct(&action, wish.authority)?;
        node.nonconformity(&nonconformity)
    })
    .await
}
