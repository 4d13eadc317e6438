//! DSSE envelopes, and the formats that are little more than one: npm's list, PyPI's attestation, Cloud Build's
//! summary.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use counterfoil_protocol::observation::{ArtifactDigest, SourceSignature, Subject};
use serde_json::{Value as Json, json};

use super::json::{list, text};
use super::proof::Proof;
use super::{ImportError, Imported, Input, link, sigstore, statement};

/// Most signatures that one envelope may carry.
const SIGNATURES_MAX: usize = 16;
/// Most documents that one list may hold.
const LISTED_MAX: usize = 16;
/// Payload type of in-toto.
const IN_TOTO: &str = "application/vnd.in-toto+json";

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// Base64 in the standard or the URL-safe alphabet, with or without padding.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    GeneralPurpose::new(&alphabet::STANDARD, LENIENT)
        .decode(text)
        .or_else(|_| GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT).decode(text))
        .ok()
}

/// What DSSE signs: the type and the raw bytes of the payload, each with its length.
pub(super) fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

/// An envelope, decoded.
pub(super) struct Envelope {
    pub(super) payload_type: String,
    pub(super) payload: Vec<u8>,
    pub(super) signatures: Vec<Vec<u8>>,
}

impl Envelope {
    pub(super) fn read(input: &Input<'_>, value: &Json) -> Result<Self, ImportError> {
        let wrong = |what: &str| input.fail("dsse-envelope", what);
        let payload = value.get("payload").and_then(Json::as_str).and_then(base64);
        let payload = payload.ok_or_else(|| wrong("the payload is not base64"))?;
        let payload_type = text(value, "/payloadType").ok_or_else(|| wrong("it has no payload type"))?;
        let listed = list(value, "/signatures");
        if listed.len() > SIGNATURES_MAX {
            return Err(wrong(&format!("more than {SIGNATURES_MAX} signatures")));
        }
        let signatures: Option<Vec<_>> =
            listed.iter().map(|signature| text(signature, "/sig").and_then(base64)).collect();
        let signatures =
            signatures.ok_or_else(|| input.fail("dsse-signature", "a signature is not base64"))?;
        Ok(Self { payload_type: payload_type.to_owned(), payload, signatures })
    }

    pub(super) fn pae(&self) -> Vec<u8> {
        pae(&self.payload_type, &self.payload)
    }

    /// Checks every signature against every given key. The key ids in the envelope are hints that anybody can
    /// write, so they play no part.
    ///
    /// # Errors
    /// Keys were given and none of them made any of the signatures.
    pub(super) fn prove(&self, input: &Input<'_>) -> Result<Proof, ImportError> {
        self.prove_over(input, &self.pae(), "over the encoded payload")
    }

    fn prove_over(&self, input: &Input<'_>, message: &[u8], what: &str) -> Result<Proof, ImportError> {
        if self.signatures.is_empty() {
            return Ok(Proof::unsigned("the envelope carries no signature"));
        }
        if input.trust.keys().is_empty() {
            return Ok(Proof::unverified("dsse-signature", "no key was given"));
        }
        let keys: Vec<_> =
            self.signatures.iter().filter_map(|signature| input.trust.key_for(message, signature)).collect();
        let Some(first) = keys.first() else {
            let detail = format!("none of its {} signatures holds under a given key", self.signatures.len());
            return Err(input.fail("dsse-signature", detail));
        };
        // Two signatures by one key are one signer.
        let signers: BTreeSet<_> = keys.iter().map(|key| key.signer()).collect();
        let detail = format!(
            "{} of {} signatures, {what}, by {} of the given keys, the first {}",
            keys.len(),
            self.signatures.len(),
            signers.len(),
            first.name
        );
        Ok(Proof::verified("dsse-signature", Vec::from_iter(signers).join(", "), detail))
    }

    /// The claim inside.
    pub(super) fn claim(
        &self,
        input: &Input<'_>,
        proof: Proof,
        container: &str,
    ) -> Result<Imported, ImportError> {
        if self.payload_type != IN_TOTO {
            let subject = Subject::artifact(ArtifactDigest::sha256_of(&self.payload));
            let mut imported = input.claim(container, "attestation/dsse", vec![subject], proof);
            let payload_type = super::Value::Text(super::json::label(&self.payload_type));
            imported.content.insert("payloadType".to_owned(), payload_type);
            return Ok(imported);
        }
        let value: Json = serde_json::from_slice(&self.payload).map_err(|e| input.fail("statement", e))?;
        match text(&value, "/_type") {
            Some("link" | "layout") => link::read(input, &value, proof, container),
            _ => statement::read(input, &value, proof, container),
        }
    }
}

/// An envelope alone.
pub(super) fn envelope(input: &Input<'_>, value: &Json) -> Result<Imported, ImportError> {
    let envelope = Envelope::read(input, value)?;
    let proof = envelope.prove(input)?;
    envelope.claim(input, proof, "dsse")
}

/// npm's list of attestations about one package. The provenance is imported; every other one must hold as well.
pub(super) fn attestation_list(input: &Input<'_>, value: &Json) -> Result<Imported, ImportError> {
    let listed = list(value, "/attestations");
    if listed.is_empty() || listed.len() > LISTED_MAX {
        let detail = format!("{} attestations, where 1 to {LISTED_MAX} are allowed", listed.len());
        return Err(input.fail("document", detail));
    }
    let mut all = Vec::new();
    for attestation in listed {
        let bundle = attestation
            .get("bundle")
            .ok_or_else(|| input.fail("document", "an attestation without bundle"))?;
        all.push(sigstore::bundle(input, bundle)?);
    }
    let verified = all.iter().filter(|one| one.source.signature >= SourceSignature::Verified).count();
    let count = all.len();
    let chosen = all.iter().position(|one| one.claim == "provenance/slsa").unwrap_or_default();
    let mut imported = all.swap_remove(chosen);
    let detail = format!("{verified} of {count} attestations in the list are verified");
    imported.source.checks.push(super::proof::check("attestation-list", verified == count, detail));
    imported.source.format.push_str("+npm");
    Ok(imported)
}

/// PyPI's publish attestation (PEP 740): a sigstore bundle with other names for its parts.
pub(super) fn publish_attestation(input: &Input<'_>, value: &Json) -> Result<Imported, ImportError> {
    let wrong = |what: &str| input.fail("document", format!("it has no {what}"));
    let part = |pointer: &str| value.pointer(pointer).ok_or_else(|| wrong(pointer));
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {
            "certificate": { "rawBytes": part("/verification_material/certificate")? },
            "tlogEntries": part("/verification_material/transparency_entries")?,
        },
        "dsseEnvelope": {
            "payload": part("/envelope/statement")?,
            "payloadType": IN_TOTO,
            "signatures": [{ "sig": part("/envelope/signature")? }],
        },
    });
    let mut imported = sigstore::bundle(input, &bundle)?;
    imported.source.format.push_str("+pep740");
    Ok(imported)
}

/// Google Cloud Build's provenance summary. Only the signed payload is read; the copies beside it are not signed.
pub(super) fn build_summary(input: &Input<'_>, value: &Json) -> Result<Imported, ImportError> {
    let listed = list(value, "/provenance_summary/provenance");
    let found = listed.iter().take(LISTED_MAX).find_map(|one| one.get("envelope"));
    let found = found.ok_or_else(|| input.fail("dsse-envelope", "no provenance with an envelope in it"))?;
    let envelope = Envelope::read(input, found)?;
    // Older signers of this service sign the bare payload. It is accepted from this format alone, because such a
    // signature does not say what kind of payload it covers.
    let proof = match envelope.prove(input) {
        Err(_) => envelope.prove_over(input, &envelope.payload, "over the bare payload")?,
        proof => proof?,
    };
    let mut imported = envelope.claim(input, proof, "gcb")?;
    if let Some(digest) = text(value, "/image_summary/digest") {
        let subject = digest.parse::<Subject>().map_err(|e| input.fail("subject-digest", e))?;
        if !imported.subjects.iter().any(|known| known.key() == subject.key()) {
            let detail = format!("the image {digest} is not what the signed provenance is about");
            return Err(input.fail("subject-digest", detail));
        }
        let detail = "the image is a subject of the signed provenance";
        imported.source.checks.push(super::proof::check("subject-digest", true, detail));
    }
    Ok(imported)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_counts_bytes_and_base64_is_read_in_both_alphabets() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
        for text in ["+/8=", "-_8=", "-_8", "+/8"] {
            assert_eq!(base64(text).unwrap(), [0xfb, 0xff], "{text}");
        }
        assert_eq!(base64("+_8="), None, "one text has one alphabet");
    }
}
