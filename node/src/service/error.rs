//! Errors of the service: who is to blame decides the HTTP status and the exit code.

use counterfoil_federation::effect::AppendError;
use counterfoil_protocol::admissibility::gather::GatherError;
use counterfoil_protocol::bundle::BundleError;
use counterfoil_protocol::codec::CodecError;

use crate::backup::BackupError;
use crate::data::DataError;
use crate::p2p::NetworkError;
use crate::runtime::RuntimeError;
use crate::store::StoreError;

/// Who or what is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The request makes no sense.
    Caller,
    /// What it names is not here.
    Absent,
    /// It makes sense and is not allowed, or fails a check.
    Refused,
    /// The node cannot do it at present.
    Unavailable,
    /// The node is at fault.
    Node,
}

/// Why the service does not do what it was asked to. Nothing was changed unless the text says so.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct ServiceError {
    /// Who is to blame.
    pub blame: Blame,
    /// The check that failed, in kebab case.
    pub check: &'static str,
    /// What is wrong, and the way out.
    pub text: String,
}

impl ServiceError {
    pub(crate) fn new(blame: Blame, check: &'static str, text: impl Into<String>) -> Self {
        Self { blame, check, text: text.into() }
    }

    pub(crate) fn caller(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(Blame::Caller, check, text)
    }

    pub(crate) fn absent(text: impl Into<String>) -> Self {
        Self::new(Blame::Absent, "known", text)
    }

    pub(crate) fn refused(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(Blame::Refused, check, text)
    }
}

impl From<RuntimeError> for ServiceError {
    fn from(error: RuntimeError) -> Self {
        let (blame, check) = match &error {
            RuntimeError::Refused(refusal) => (Blame::Refused, refusal.check()),
            RuntimeError::Append(AppendError::Refused(refusal)) => (Blame::Refused, refusal.check()),
            RuntimeError::Append(AppendError::UnknownRef(_)) => (Blame::Refused, "refs"),
            RuntimeError::Append(AppendError::Outside(_)) => (Blame::Refused, "agreement"),
            RuntimeError::Append(AppendError::Duplicate(_)) => (Blame::Refused, "duplicate"),
            RuntimeError::Append(AppendError::Busy(_)) => (Blame::Unavailable, "capacity"),
            RuntimeError::Append(AppendError::Frozen(_)) => (Blame::Unavailable, "head-lock"),
            RuntimeError::Stopped => (Blame::Unavailable, "running"),
            RuntimeError::Store(_)
            | RuntimeError::Data(_)
            | RuntimeError::Start(_)
            | RuntimeError::Directory { .. } => (Blame::Node, "store"),
        };
        Self::new(blame, check, error.to_string())
    }
}

macro_rules! from {
    ($($error:ty => $blame:ident, $check:literal;)*) => {
        $(impl From<$error> for ServiceError {
            fn from(error: $error) -> Self {
                Self::new(Blame::$blame, $check, error.to_string())
            }
        })*
    };
}

from! {
    StoreError => Node, "store";
    DataError => Node, "data-directory";
    NetworkError => Node, "network";
    CodecError => Caller, "encoding";
    GatherError => Refused, "case";
    BundleError => Refused, "bundle";
    BackupError => Refused, "backup";
}
