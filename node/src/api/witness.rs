//! The witness's addresses (C2SP tlog-witness).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use crate::service::witness::{REQUEST_BYTES_MAX, WitnessError};
use crate::service::{Node, ServiceError};

/// `POST /add-checkpoint`.
pub(super) async fn add_checkpoint(State(node): State<Arc<Node>>, body: Bytes) -> Response {
    let plain = |status: StatusCode, text: String| (status, text + "\n").into_response();
    if body.len() > REQUEST_BYTES_MAX {
        return plain(StatusCode::BAD_REQUEST, format!("a request has at most {REQUEST_BYTES_MAX} bytes"));
    }
    let outcome = tokio::task::spawn_blocking(move || node.add_checkpoint(&body)).await;
    match outcome {
        Ok(Ok(line)) => line.into_response(),
        Ok(Err(error)) => match error {
            WitnessError::Malformed(_) => plain(StatusCode::BAD_REQUEST, error.to_string()),
            WitnessError::Unsigned(_) => plain(StatusCode::FORBIDDEN, error.to_string()),
            WitnessError::Unknown(_) => plain(StatusCode::NOT_FOUND, error.to_string()),
            WitnessError::Stale(size) => {
                let kind = [(header::CONTENT_TYPE, "text/x.tlog.size")];
                (StatusCode::CONFLICT, kind, format!("{size}\n")).into_response()
            }
            WitnessError::Inconsistent(_) => plain(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
            WitnessError::Service(error) => Problem::from(error).into_response(),
        },
        Err(error) => {
            tracing::error!(%error, "a request ended by a panic");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the node failed; see its log".into())
        }
    }
}

/// `GET /<SHA-256 of the origin>/checkpoint`.
pub(super) async fn witnessed(State(node): State<Arc<Node>>, Path(origin): Path<String>) -> Response {
    let outcome = tokio::task::spawn_blocking(move || node.witnessed(&origin)).await;
    match outcome.unwrap_or_else(|_| Err(ServiceError::absent("the node failed; see its log"))) {
        Ok(note) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], note).into_response(),
        Err(error) => Problem::from(error).into_response(),
    }
}
