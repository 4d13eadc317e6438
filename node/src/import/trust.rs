//! Keys, certificates and roots that the importer was given, and what they verify.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use counterfoil_protocol::bundle::TrustFile;
use counterfoil_protocol::digest::sha256;
use data_encoding::HEXLOWER;
use sigstore_verify::Verifier;
use sigstore_verify::crypto::{KeyAlgorithm, SigningScheme};
use sigstore_verify::crypto::{parse_certificate_info, verify_signature, verify_signature_prehashed};
use sigstore_verify::trust_root::TrustedRoot;
use sigstore_verify::types::{DerCertificate, DerPublicKey, HashAlgorithm, SignatureBytes};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::{ImportError, TRUST_BYTES_MAX};

/// Keys, certificates and roots that the importer trusts.
#[derive(Default)]
pub struct Trust {
    keys: Vec<Key>,
    anchors: Vec<Anchor>,
    roots: Vec<Root>,
    policies: Vec<TrustFile>,
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Trust({} keys, {} certificates, {} roots, {} policies)",
            self.keys.len(),
            self.anchors.len(),
            self.roots.len(),
            self.policies.len()
        )
    }
}

/// A certificate that may end a chain.
pub(super) struct Anchor {
    pub(super) name: String,
    pub(super) certificate: Certificate,
}

/// A sigstore trusted root, ready to verify with.
pub(super) struct Root {
    pub(super) name: String,
    pub(super) root: TrustedRoot,
    pub(super) verifier: Verifier,
}

/// A public key with every scheme that its kind of signer uses.
pub(super) struct Key {
    pub(super) name: String,
    pub(super) der: DerPublicKey,
    schemes: &'static [SigningScheme],
}

impl Key {
    fn new(name: &str, der: DerPublicKey) -> Result<Self, String> {
        let schemes: &[SigningScheme] = match KeyAlgorithm::from_spki(&der).map_err(|e| e.to_string())? {
            KeyAlgorithm::EcdsaP256 => &[SigningScheme::EcdsaP256Sha256],
            KeyAlgorithm::EcdsaP384 => &[SigningScheme::EcdsaP384Sha384, SigningScheme::EcdsaP384Sha256],
            KeyAlgorithm::Ed25519 => &[SigningScheme::Ed25519],
            // in-toto signs with PSS, everybody else with PKCS #1 v1.5.
            KeyAlgorithm::Rsa => &[SigningScheme::RsaPssSha256, SigningScheme::RsaPkcs1Sha256],
            _ => return Err("a key that is none of P-256, P-384, Ed25519 and RSA".to_owned()),
        };
        Ok(Self { name: name.to_owned(), der, schemes })
    }

    /// The key that a certificate certifies, without any judgement on the certificate.
    pub(super) fn of_certificate(der: &[u8]) -> Result<Self, String> {
        let info = parse_certificate_info(&DerCertificate::from_bytes(der)).map_err(|e| e.to_string())?;
        Self::new("certificate", info.public_key)
    }

    /// SHA-256 of the key's SubjectPublicKeyInfo.
    pub(super) fn fingerprint(&self) -> String {
        HEXLOWER.encode(&sha256(&[self.der.as_bytes()]))
    }

    /// How the key is named as a signer.
    pub(super) fn signer(&self) -> String {
        format!("key sha256:{}", self.fingerprint())
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.any(signature, |scheme, bytes| verify_signature(&self.der, message, bytes, scheme).is_ok())
    }

    /// As [`Key::verifies`] when only the message's digest is at hand; a scheme with another digest says no.
    pub(super) fn verifies_digest(&self, algorithm: HashAlgorithm, digest: &[u8], signature: &[u8]) -> bool {
        self.any(signature, |scheme, bytes| {
            scheme.hash_algorithm() == Some(algorithm)
                && verify_signature_prehashed(&self.der, digest, bytes, scheme).is_ok()
        })
    }

    fn any(&self, signature: &[u8], check: impl Fn(SigningScheme, &SignatureBytes) -> bool) -> bool {
        let whole = SignatureBytes::from_bytes(signature);
        // Some signers write r and s one after the other instead of DER.
        let raw = der_of_raw(signature).map(SignatureBytes::new);
        self.schemes.iter().any(|&scheme| {
            let ecdsa = matches!(scheme.key_algorithm(), KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384);
            check(scheme, &whole) || (ecdsa && raw.as_ref().is_some_and(|raw| check(scheme, raw)))
        })
    }
}

/// An ECDSA signature of 32- or 48-byte halves in the DER that verifiers expect.
fn der_of_raw(signature: &[u8]) -> Option<Vec<u8>> {
    if !matches!(signature.len(), 64 | 96) {
        return None;
    }
    let (r, s) = signature.split_at_checked(signature.len() / 2)?;
    let mut body = Vec::with_capacity(signature.len() + 6);
    for half in [r, s] {
        let zeros = half.iter().take_while(|byte| **byte == 0).count();
        let digits = half.get(zeros..).filter(|digits| !digits.is_empty())?;
        let pad = digits.first().is_some_and(|byte| byte & 0x80 != 0);
        body.extend([2, u8::try_from(digits.len() + usize::from(pad)).ok()?]);
        body.extend(pad.then_some(0));
        body.extend_from_slice(digits);
    }
    let mut der = vec![0x30, u8::try_from(body.len()).ok().filter(|length| *length < 0x80)?];
    der.append(&mut body);
    Some(der)
}

/// The blocks of a PEM file: label and bytes.
fn pem_blocks(text: &str) -> Result<Vec<(&str, Vec<u8>)>, String> {
    let mut blocks = Vec::new();
    for block in text.split("-----BEGIN ").skip(1) {
        let (label, rest) = block.split_once("-----").ok_or("a PEM header that does not end")?;
        let (body, _) = rest.split_once("-----END ").ok_or("a PEM block that does not end")?;
        let body: String = body.split_ascii_whitespace().collect();
        blocks.push((label, STANDARD.decode(body).map_err(|e| e.to_string())?));
    }
    Ok(blocks)
}

impl Trust {
    /// Adds what `bytes` holds: PEM public keys, PEM certificates, or a sigstore `trusted_root.json`.
    ///
    /// # Errors
    /// [`ImportError`] when it is none of these, or holds a key of an unknown kind.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), ImportError> {
        self.add_any(name, bytes).map_err(|detail| ImportError::new(name, "trust", detail))
    }

    fn add_any(&mut self, name: &str, bytes: &[u8]) -> Result<(), String> {
        if bytes.len() > TRUST_BYTES_MAX {
            return Err(format!("{} bytes, more than the {TRUST_BYTES_MAX} allowed", bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
        if text.trim_start().starts_with('{') {
            let root = TrustedRoot::from_json(text).map_err(|e| e.to_string())?;
            let verifier = Verifier::new(&root).map_err(|e| e.to_string())?;
            self.roots.push(Root { name: name.to_owned(), root, verifier });
            return Ok(());
        }
        if !text.contains("-----BEGIN ") && !text.trim().is_empty() {
            let policy = TrustFile::parse(text)
                .map_err(|error| format!("neither PEM nor JSON, and as a trust file: {error}"))?;
            self.policies.push(policy);
            return Ok(());
        }
        let (mut keys, mut anchors) = (Vec::new(), Vec::new());
        for (label, der) in pem_blocks(text)? {
            match label {
                "PUBLIC KEY" => keys.push(Key::new(name, DerPublicKey::new(der))?),
                "CERTIFICATE" => {
                    let certificate = Certificate::from_der(&der).map_err(|e| e.to_string())?;
                    anchors.push(Anchor { name: name.to_owned(), certificate });
                }
                other => return Err(format!("a PEM block {:?}", other.chars().take(40).collect::<String>())),
            }
        }
        if keys.is_empty() && anchors.is_empty() {
            return Err("neither PEM nor JSON".to_owned());
        }
        self.keys.append(&mut keys);
        self.anchors.append(&mut anchors);
        Ok(())
    }

    pub(super) fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Whose chains a bundle may bring.
    pub(super) fn policies(&self) -> &[TrustFile] {
        &self.policies
    }

    pub(super) fn roots(&self) -> &[Root] {
        &self.roots
    }

    /// The key that verifies this signature, unless there is none.
    pub(super) fn key_for(&self, message: &[u8], signature: &[u8]) -> Option<&Key> {
        self.keys.iter().find(|key| key.verifies(message, signature))
    }

    pub(super) fn anchors(&self) -> &[Anchor] {
        &self.anchors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_signatures_become_minimal_der() {
        let mut raw = [0_u8; 64];
        raw[31] = 0x80;
        raw[63] = 0x01;
        assert_eq!(der_of_raw(&raw).unwrap(), [0x30, 7, 2, 2, 0, 0x80, 2, 1, 1]);
        assert_eq!(der_of_raw(&[0; 64]), None, "zero is no half of a signature");
        assert_eq!(der_of_raw(&[1; 65]), None);
    }

    #[test]
    fn what_is_no_trust_material_is_refused() {
        let mut trust = Trust::default();
        for bytes in
            [&b""[..], b"{}", b"-----BEGIN PUBLIC KEY-----", b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END "]
        {
            assert_eq!(trust.add("it", bytes).unwrap_err().check, "trust");
        }
    }
}
