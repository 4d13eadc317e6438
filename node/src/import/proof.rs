//! What was proven about a document, gathered while it is checked.

use counterfoil_protocol::ids::{BlobId, Timestamp};
use counterfoil_protocol::observation::{Source, SourceCheck, SourceSignature};

/// Longest reason that is kept, in characters.
const DETAIL_CHARS_MAX: usize = 320;

/// One check with its finding.
pub(super) fn check(name: &str, proven: bool, detail: impl Into<String>) -> SourceCheck {
    let detail: String = detail.into();
    SourceCheck { check: name.to_owned(), proven, detail: detail.chars().take(DETAIL_CHARS_MAX).collect() }
}

/// How a document's signature stands.
#[derive(Debug, Clone)]
pub(super) struct Proof {
    pub(super) signature: SourceSignature,
    pub(super) signer: Option<String>,
    pub(super) witnessed: Option<Timestamp>,
    pub(super) checks: Vec<SourceCheck>,
}

impl Proof {
    fn new(signature: SourceSignature, first: SourceCheck) -> Self {
        Self { signature, signer: None, witnessed: None, checks: vec![first] }
    }

    /// There is no signature.
    pub(super) fn unsigned(detail: &str) -> Self {
        Self::new(SourceSignature::Unsigned, check("signature", false, detail))
    }

    /// There is a signature that could not be checked, for this reason.
    pub(super) fn unverified(name: &str, detail: impl Into<String>) -> Self {
        Self::new(SourceSignature::Unverified, check(name, false, detail))
    }

    /// The signature holds under `signer`.
    pub(super) fn verified(name: &str, signer: impl Into<String>, detail: impl Into<String>) -> Self {
        let proof = Self::new(SourceSignature::Verified, check(name, true, detail));
        Self { signer: Some(signer.into()), ..proof }
    }

    /// The same with one more finding.
    pub(super) fn and(mut self, name: &str, proven: bool, detail: impl Into<String>) -> Self {
        self.checks.push(check(name, proven, detail));
        self
    }

    pub(super) fn into_source(self, format: String, document: BlobId) -> Source {
        let Self { signature, signer, witnessed, checks } = self;
        Source { format, document, signature, signer, witnessed, checks }
    }
}
