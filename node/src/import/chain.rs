//! X.509 chains that end at a given certificate, for signers who run their own authority.
//!
//! Certificates of sigstore's authorities are not judged here but with their trusted root. A strict web verifier does
//! not fit: OpenSSF Model Signing's own certificates name the signer a certificate authority, which says nothing as
//! long as it may only sign code.

use std::time::Duration;

use sigstore_verify::crypto::{KeyAlgorithm, SigningScheme, verify_signature};
use sigstore_verify::types::{DerPublicKey, SignatureBytes};
use x509_cert::Certificate;
use x509_cert::der::oid::{AssociatedOid as _, ObjectIdentifier};
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};

use super::trust::Trust;

/// Most certificates between the signer's and the one that is trusted.
const DEPTH_MAX: usize = 6;
/// Most signatures that one chain may make the importer verify.
const SIGNATURES_MAX: usize = 64;
/// The extended key usage "code signing".
const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");

/// Why a certificate is not trusted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Untrusted {
    /// No given certificate issued it.
    Unknown,
    /// It is broken, or used for what it does not allow.
    Refused(String),
}

/// The name of the given certificate that ends the chain from `leaf`.
///
/// The chain is judged at the first second of the leaf's validity: nothing else is known of the time of signing, and
/// whether an old signature still counts is the affair of who weighs it.
pub(super) fn issuer_of<'a>(trust: &'a Trust, leaf: &[u8], chain: &[Vec<u8>]) -> Result<&'a str, Untrusted> {
    let read = |der: &[u8]| Certificate::from_der(der).map_err(|e| Untrusted::Refused(e.to_string()));
    let leaf = read(leaf)?;
    let chain = chain.iter().map(|der| read(der)).collect::<Result<Vec<_>, _>>()?;
    let mut search = Search {
        trust,
        chain: &chain,
        time: leaf.tbs_certificate.validity.not_before.to_unix_duration(),
        left: SIGNATURES_MAX,
        refused: None,
    };
    let anchor = search.anchor_of(&leaf, 0);
    match (anchor, search.refused) {
        (Some(anchor), _) => {
            may_sign_code(&leaf)
                .map_err(|what| Untrusted::Refused(format!("the signer's certificate {what}")))?;
            Ok(anchor)
        }
        (None, Some(what)) => Err(Untrusted::Refused(format!("an issuing certificate {what}"))),
        (None, None) => Err(Untrusted::Unknown),
    }
}

struct Search<'t, 'c> {
    trust: &'t Trust,
    chain: &'c [Certificate],
    time: Duration,
    left: usize,
    refused: Option<&'static str>,
}

impl<'t> Search<'t, '_> {
    /// The trusted certificate above `child`, which has `below` issuers under it.
    fn anchor_of(&mut self, child: &Certificate, below: usize) -> Option<&'t str> {
        let trust = self.trust;
        for anchor in trust.anchors() {
            if self.is_issued_by(child, &anchor.certificate, below) {
                return Some(&anchor.name);
            }
        }
        if below == DEPTH_MAX {
            return None;
        }
        let chain = self.chain;
        chain.iter().find_map(|issuer| {
            self.is_issued_by(child, issuer, below).then(|| self.anchor_of(issuer, below + 1)).flatten()
        })
    }

    fn is_issued_by(&mut self, child: &Certificate, issuer: &Certificate, below: usize) -> bool {
        let named = child.tbs_certificate.issuer == issuer.tbs_certificate.subject;
        if !named || self.left == 0 {
            return false;
        }
        self.left -= 1;
        if !is_signed_by(child, issuer) {
            return false;
        }
        match may_issue(issuer, below, self.time) {
            Ok(()) => true,
            Err(what) => {
                self.refused = Some(what);
                false
            }
        }
    }
}

fn is_signed_by(child: &Certificate, issuer: &Certificate) -> bool {
    let signed = || {
        let key = DerPublicKey::new(issuer.tbs_certificate.subject_public_key_info.to_der().ok()?);
        let scheme = scheme(KeyAlgorithm::from_spki(&key).ok()?, &child.signature_algorithm.oid)?;
        let signature = SignatureBytes::from_bytes(child.signature.as_bytes()?);
        let message = child.tbs_certificate.to_der().ok()?;
        verify_signature(&key, &message, &signature, scheme).ok()
    };
    child.signature_algorithm == child.tbs_certificate.signature && signed().is_some()
}

/// The scheme that a certificate names by an object identifier, under an issuer's key.
fn scheme(key: KeyAlgorithm, algorithm: &ObjectIdentifier) -> Option<SigningScheme> {
    Some(match (key, algorithm.to_string().as_str()) {
        (KeyAlgorithm::EcdsaP256, "1.2.840.10045.4.3.2") => SigningScheme::EcdsaP256Sha256,
        (KeyAlgorithm::EcdsaP256, "1.2.840.10045.4.3.3") => SigningScheme::EcdsaP256Sha384,
        (KeyAlgorithm::EcdsaP384, "1.2.840.10045.4.3.2") => SigningScheme::EcdsaP384Sha256,
        (KeyAlgorithm::EcdsaP384, "1.2.840.10045.4.3.3") => SigningScheme::EcdsaP384Sha384,
        (KeyAlgorithm::Ed25519, "1.3.101.112") => SigningScheme::Ed25519,
        (KeyAlgorithm::Rsa, "1.2.840.113549.1.1.11") => SigningScheme::RsaPkcs1Sha256,
        (KeyAlgorithm::Rsa, "1.2.840.113549.1.1.12") => SigningScheme::RsaPkcs1Sha384,
        (KeyAlgorithm::Rsa, "1.2.840.113549.1.1.13") => SigningScheme::RsaPkcs1Sha512,
        _ => return None,
    })
}

/// Whether every critical extension is one that is looked at.
fn is_understood(certificate: &Certificate) -> bool {
    let known = [BasicConstraints::OID, KeyUsage::OID, ExtendedKeyUsage::OID, SubjectAltName::OID];
    let extensions = certificate.tbs_certificate.extensions.iter().flatten();
    extensions.filter(|extension| extension.critical).all(|extension| known.contains(&extension.extn_id))
}

fn may_issue(certificate: &Certificate, below: usize, time: Duration) -> Result<(), &'static str> {
    let tbs = &certificate.tbs_certificate;
    if !is_understood(certificate) {
        return Err("has a critical extension that is not understood");
    }
    let validity = &tbs.validity;
    if time < validity.not_before.to_unix_duration() || time > validity.not_after.to_unix_duration() {
        return Err("was not valid when the signer's began to be");
    }
    let (_, basic) = tbs.get::<BasicConstraints>().ok().flatten().ok_or("is not an authority's")?;
    if !basic.ca || basic.path_len_constraint.is_some_and(|most| below > usize::from(most)) {
        return Err("does not allow to issue this one");
    }
    match tbs.get::<KeyUsage>() {
        Ok(Some((_, usage))) if !usage.key_cert_sign() => Err("must not sign certificates"),
        Ok(_) => Ok(()),
        Err(_) => Err("has a malformed key usage"),
    }
}

fn may_sign_code(certificate: &Certificate) -> Result<(), &'static str> {
    let tbs = &certificate.tbs_certificate;
    if !is_understood(certificate) {
        return Err("has a critical extension that is not understood");
    }
    let (_, usage) =
        tbs.get::<ExtendedKeyUsage>().ok().flatten().ok_or("does not say that it may sign code")?;
    if !usage.0.contains(&CODE_SIGNING) {
        return Err("must not sign code");
    }
    match tbs.get::<KeyUsage>() {
        Ok(Some((_, usage))) if !usage.digital_signature() => Err("must not make signatures"),
        Ok(_) => Ok(()),
        Err(_) => Err("has a malformed key usage"),
    }
}
