//! The addresses of a SCITT transparency service (SCRAPI draft 11) for the own organisation's statements.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use counterfoil_protocol::codec::{self, Value};
use counterfoil_protocol::ids::TreeSize;
use counterfoil_protocol::keys::PublicKey;

use crate::service::{Blame, Node, ServiceError};

const RECEIPT: &str = "application/scitt-receipt+cose";

fn int(n: i64) -> Value {
    Value::Integer(n.into())
}

/// Concise problem details (RFC 9290): title and detail.
fn problem(status: StatusCode, title: &str, detail: &str) -> Response {
    let map = Value::Map(vec![(int(-1), Value::Text(title.into())), (int(-2), Value::Text(detail.into()))]);
    let kind = [(header::CONTENT_TYPE, "application/concise-problem-details+cbor")];
    (status, kind, codec::to_bytes(&map).unwrap_or_default()).into_response()
}

fn refused(error: &ServiceError) -> Response {
    match error.blame {
        Blame::Absent => problem(StatusCode::NOT_FOUND, "Not Found", &error.text),
        Blame::Unavailable => problem(StatusCode::SERVICE_UNAVAILABLE, "Unavailable", &error.text),
        Blame::Node => problem(StatusCode::INTERNAL_SERVER_ERROR, "Internal Error", &error.text),
        Blame::Caller | Blame::Refused => problem(StatusCode::BAD_REQUEST, "Rejected", &error.text),
    }
}

async fn call<T: Send + 'static>(
    node: Arc<Node>,
    work: impl FnOnce(&Node) -> Result<T, ServiceError> + Send + 'static,
) -> Result<T, Response> {
    match tokio::task::spawn_blocking(move || work(&node)).await {
        Ok(outcome) => outcome.map_err(|error| refused(&error)),
        Err(_) => Err(problem(StatusCode::INTERNAL_SERVER_ERROR, "Internal Error", "see the node's log")),
    }
}

/// `POST /entries`: a signed statement of the own organisation. Answered with its receipt.
pub(super) async fn register(State(node): State<Arc<Node>>, body: Bytes) -> Response {
    if body.is_empty() {
        return problem(StatusCode::BAD_REQUEST, "Payload Missing", "the request is empty");
    }
    let registered = call(node, move |node| {
        let said = node.append(&body)?;
        Ok((said.statement, node.receipt(&said.statement)?.receipt.0))
    });
    match registered.await {
        Ok((id, receipt)) => {
            let headers =
                [(header::CONTENT_TYPE, RECEIPT.to_owned()), (header::LOCATION, format!("/entries/{id}"))];
            (StatusCode::CREATED, headers, receipt).into_response()
        }
        Err(response) => response,
    }
}

/// `GET /entries/{id}`: the receipt of a statement.
pub(super) async fn entry(State(node): State<Arc<Node>>, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse() else {
        return problem(StatusCode::BAD_REQUEST, "Invalid locator", "it is no statement id");
    };
    match call(node, move |node| node.receipt(&id)).await {
        Ok(proof) => ([(header::CONTENT_TYPE, RECEIPT)], proof.receipt.0).into_response(),
        Err(response) => response,
    }
}

/// `GET /log/consistency/{size}`: the receipt that the chain of that size is the beginning of what its head covers now.
pub(super) async fn consistency(State(node): State<Arc<Node>>, Path(size): Path<u64>) -> Response {
    match call(node, move |node| node.consistency(TreeSize(size))).await {
        Ok(receipt) => ([(header::CONTENT_TYPE, RECEIPT)], receipt).into_response(),
        Err(response) => response,
    }
}

/// The key that signs receipts, as a COSE_Key (RFC 9053, section 7.2): an octet key pair on Ed25519.
fn cose_key(key: &PublicKey) -> Value {
    Value::Map(vec![
        (int(1), int(1)),
        (int(2), Value::Bytes(key.id().as_bytes().to_vec())),
        (int(3), int(-8)),
        (int(-1), int(6)),
        (int(-2), Value::Bytes(key.as_bytes().to_vec())),
    ])
}

/// `GET /.well-known/scitt-keys`: a COSE_KeySet.
pub(super) async fn keys(State(node): State<Arc<Node>>) -> Response {
    let set = Value::Array(node.chain_keys().iter().map(cose_key).collect());
    let kind = [(header::CONTENT_TYPE, "application/cose-key-set")];
    (kind, codec::to_bytes(&set).unwrap_or_default()).into_response()
}

/// `GET /.well-known/scitt-keys/{kid}`: one COSE_Key, by its id in hexadecimal.
pub(super) async fn key(State(node): State<Arc<Node>>, Path(kid): Path<String>) -> Response {
    let is_it = |key: &PublicKey| data_encoding::HEXLOWER.encode(key.id().as_bytes()) == kid;
    let Some(key) = node.chain_keys().into_iter().find(is_it) else {
        return problem(StatusCode::NOT_FOUND, "Not Found", "no receipt is signed with such a key");
    };
    ([(header::CONTENT_TYPE, "application/cose-key")], codec::to_bytes(&cose_key(&key)).unwrap_or_default())
        .into_response()
}
