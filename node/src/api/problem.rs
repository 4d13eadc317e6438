//! Errors as problem details (RFC 9457) that name the failing check.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::service::{Blame, ServiceError};

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong, and the way out.
    pub detail: String,
    /// The check that failed, in kebab case.
    pub check: String,
}

impl Problem {
    /// A problem.
    pub fn new(status: StatusCode, check: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank".into(),
            title: status.canonical_reason().unwrap_or("Error").into(),
            status: status.as_u16(),
            detail: detail.into(),
            check: check.into(),
        }
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        let status = match error.blame {
            Blame::Refused => match error.check {
                "chain" => StatusCode::MISDIRECTED_REQUEST,
                "key" | "former-key" | "scope" | "credential-revoked" | "credential-compromised" => {
                    StatusCode::FORBIDDEN
                }
                "credential-expired" => StatusCode::GONE,
                "credential-suspended" => StatusCode::LOCKED,
                "credential-not-yet-valid" => StatusCode::TOO_EARLY,
                "duplicate" | "permit-used" | "nonconformity-closed" | "override-needless" => {
                    StatusCode::CONFLICT
                }
                "override-credential" | "override-forbidden" | "override-veto" | "override-irreversible" => {
                    StatusCode::FORBIDDEN
                }
                "override-budget" => StatusCode::TOO_MANY_REQUESTS,
                "refs" => StatusCode::FAILED_DEPENDENCY,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            },
            Blame::Caller => StatusCode::BAD_REQUEST,
            Blame::Absent => StatusCode::NOT_FOUND,
            Blame::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Blame::Node => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.check, error.text)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let kind = header::HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}
