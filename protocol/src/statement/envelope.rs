//! The envelope: a tagged COSE_Sign1 (RFC 9052) with an empty unprotected header and SCITT's headers.
//!
//! ```text
//! 18([ << { 1: -8, 3: content type, 4: kid, 15: { 1: iss, 2: sub, 6: iat }, ? "refs": [+ statement id],
//!           ? "visibility": text } >>, {}, payload bytes, signature bytes ])
//! ```
//!
//! `iss` is absent in an inception alone, whose organisation id follows from its bytes. No other header is
//! accepted, so a statement never says anything that its reader does not understand.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::chain::tree::LeafDigest;
use crate::codec::{self, CodecError, Value};
use crate::cose::{self, ALG_EDDSA, Label, Sign1, StructureError, int, label, to_be_signed};
use crate::digest::blake3;
use crate::ids::{KeyId, OrganisationId, StatementId, Timestamp};
use crate::keys::{Judge, PreparedKey, Signature, SignatureInvalid, Signer, Verifier};
use crate::limits::{LABEL_BYTES_MAX, PAYLOAD_BYTES_MAX, REFS_MAX, STATEMENT_BYTES_MAX};

use super::kind::{Kind, Visibility};

/// What a statement's protected header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// What kind of statement this is.
    pub kind: Kind,
    /// The key that signed.
    pub key: KeyId,
    /// The organisation in whose chain it belongs; none in an inception.
    pub organisation: Option<OrganisationId>,
    /// Primary subject, for people and for indexes.
    pub subject: Option<String>,
    /// When its author says that it was made: a label, not proof.
    pub issued_at: Timestamp,
    /// Statements that it depends on.
    pub refs: Vec<StatementId>,
    /// Who may read it.
    pub visibility: Visibility,
}

/// A well-formed statement, with the exact bytes that arrived. Its signature is not checked yet.
#[derive(Clone)]
pub struct Statement {
    bytes: Arc<[u8]>,
    id: StatementId,
    header: Header,
    protected: Range<usize>,
    payload: Range<usize>,
    signature: Signature,
}

/// A statement whose signature its key made. Whether the key was allowed to is not checked yet.
#[derive(Debug, Clone)]
pub struct Authentic(Statement);

/// How the signature of one of many statements came out.
#[derive(Debug)]
pub(crate) enum Signed {
    /// Its key made it.
    Checked(Authentic),
    /// There was no such key.
    Unchecked(Statement),
    /// Its key did not make it.
    Wrong(StatementId),
}

/// Checks signatures of many statements, each by its own key, where `key` knows it.
pub(crate) fn authenticate_all<'k>(
    statements: Vec<Statement>,
    key: impl Fn(&KeyId) -> Option<&'k PreparedKey>,
) -> Vec<Signed> {
    let mut judge = Judge::default();
    let known: Vec<bool> = statements
        .iter()
        .map(|statement| {
            let key = key(&statement.header.key).filter(|key| key.id() == statement.header.key);
            if let Some(key) = key {
                judge.add(key, &statement.to_be_signed(), &statement.signature);
            }
            key.is_some()
        })
        .collect();
    let mut verdicts = judge.verdicts().into_iter();
    statements
        .into_iter()
        .zip(known)
        .map(|(statement, known)| match known.then(|| verdicts.next()).flatten() {
            Some(true) => Signed::Checked(Authentic(statement)),
            Some(false) => Signed::Wrong(statement.id()),
            None => Signed::Unchecked(statement),
        })
        .collect()
}

/// Why bytes are not a statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Too long.
    #[error(
        "a statement has at most {STATEMENT_BYTES_MAX} bytes, this has {0}; put large content into a blob"
    )]
    TooLong(usize),
    /// Not the COSE_Sign1 structure.
    #[error("{0}")]
    Structure(#[from] StructureError),
    /// The protected header is not strict CBOR.
    #[error("protected header: {0}")]
    Codec(#[from] CodecError),
    /// A protected header field is wrong, missing or unknown.
    #[error("protected header: {0}")]
    Header(String),
    /// The key that was given is not the one that the statement names.
    #[error("signed by {named}, checked against {given}")]
    OtherKey {
        /// The statement's key id.
        named: KeyId,
        /// The id of the key that was given.
        given: KeyId,
    },
    /// The signature is wrong.
    #[error("{0}")]
    Signature(#[from] SignatureInvalid),
}

impl Statement {
    /// Parses `bytes`, all of them.
    ///
    /// # Errors
    /// [`EnvelopeError`], never for the signature.
    pub fn parse(bytes: impl Into<Arc<[u8]>>) -> Result<Self, EnvelopeError> {
        let bytes = bytes.into();
        if bytes.len() > STATEMENT_BYTES_MAX {
            return Err(EnvelopeError::TooLong(bytes.len()));
        }
        let Sign1 { protected, payload, signature } = Sign1::parse(&bytes)?;
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(StructureError("the payload is too long").into());
        }
        let header = read_header(bytes.get(protected.clone()).unwrap_or_default())?;
        let id = StatementId::from_bytes(blake3(&bytes));
        Ok(Self { bytes, id, header, protected, payload, signature })
    }

    /// BLAKE3 of the bytes.
    pub const fn id(&self) -> StatementId {
        self.id
    }

    /// The bytes as they arrived.
    pub const fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// What the chain's tree holds of this statement.
    pub fn leaf_digest(&self) -> LeafDigest {
        LeafDigest::of(&self.bytes)
    }

    /// The protected header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The payload's bytes.
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(self.payload.clone()).unwrap_or_default()
    }

    /// The organisation in whose chain this belongs: the header's, or the one that this inception founds.
    pub fn organisation(&self) -> OrganisationId {
        self.header.organisation.unwrap_or_else(|| self.id.into())
    }

    /// Checks the signature against `key`.
    ///
    /// # Errors
    /// [`EnvelopeError::OtherKey`], [`EnvelopeError::Signature`].
    pub fn authenticate(self, key: &impl Verifier) -> Result<Authentic, EnvelopeError> {
        let given = key.id();
        if given != self.header.key {
            return Err(EnvelopeError::OtherKey { named: self.header.key, given });
        }
        key.verify(&self.to_be_signed(), &self.signature)?;
        Ok(Authentic(self))
    }

    fn to_be_signed(&self) -> Vec<u8> {
        to_be_signed(self.bytes.get(self.protected.clone()).unwrap_or_default(), self.payload())
    }
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.header.kind, self.id)
    }
}

impl PartialEq for Statement {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Statement {}

impl Authentic {
    /// The statement.
    pub const fn statement(&self) -> &Statement {
        &self.0
    }

    /// The statement, without the mark.
    pub fn into_statement(self) -> Statement {
        self.0
    }
}

/// A statement in the making: everything but the key and the signature.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Kind.
    pub kind: Kind,
    /// Organisation; none for an inception.
    pub organisation: Option<OrganisationId>,
    /// Primary subject.
    pub subject: Option<String>,
    /// When it is made.
    pub issued_at: Timestamp,
    /// Statements that it depends on; sorted and made unique when signed.
    pub refs: Vec<StatementId>,
    /// Who may read it.
    pub visibility: Visibility,
    /// The payload's bytes.
    pub payload: Vec<u8>,
}

impl Draft {
    /// Signs the draft. The result has passed the same parser as a statement that arrives.
    ///
    /// # Errors
    /// [`EnvelopeError`] when the draft exceeds a limit.
    pub fn sign(mut self, signer: &dyn Signer) -> Result<Authentic, EnvelopeError> {
        self.refs.sort();
        self.refs.dedup();
        let protected = cose::protected(self.header(signer.public_key().id()))?;
        let signature = signer.sign(&to_be_signed(&protected, &self.payload));
        let bytes = cose::assemble(&protected, &self.payload, &signature);
        Statement::parse(bytes).map(Authentic)
    }

    fn header(&self, key: KeyId) -> Vec<(Value, Value)> {
        let mut claims = Vec::with_capacity(3);
        if let Some(organisation) = self.organisation {
            claims.push((int(1), Value::Text(organisation.to_string())));
        }
        if let Some(subject) = &self.subject {
            claims.push((int(2), Value::Text(subject.clone())));
        }
        claims.push((int(6), Value::Integer(self.issued_at.0.into())));
        let mut header = vec![
            (int(1), int(ALG_EDDSA)),
            (int(3), Value::Text(self.kind.content_type().into())),
            (int(4), Value::Bytes(key.as_bytes().to_vec())),
            (int(15), Value::Map(claims)),
        ];
        if !self.refs.is_empty() {
            let refs = self.refs.iter().map(|id| Value::Bytes(id.as_bytes().to_vec())).collect();
            header.push((Value::Text("refs".into()), Value::Array(refs)));
        }
        if self.visibility != Visibility::Mesh {
            let name = Value::Text(self.visibility.name().into());
            header.push((Value::Text("visibility".into()), name));
        }
        header
    }
}

fn read_header(bytes: &[u8]) -> Result<Header, EnvelopeError> {
    let wrong = |what: &str| EnvelopeError::Header(what.to_owned());
    let Value::Map(entries) = codec::from_bytes(bytes, bytes.len())? else {
        return Err(wrong("it is not a map"));
    };
    let (mut algorithm, mut kind, mut key, mut claims) = (None, None, None, None);
    let (mut refs, mut visibility) = (Vec::new(), Visibility::Mesh);
    for (name, value) in entries {
        match (label(&name), value) {
            (Label::Int(1), Value::Integer(n)) => algorithm = i64::try_from(n).ok(),
            (Label::Int(3), Value::Text(text)) => {
                kind = Kind::from_content_type(&text);
                if kind.is_none() {
                    return Err(EnvelopeError::Header(format!("content type {text:?} is not known")));
                }
            }
            (Label::Int(4), Value::Bytes(bytes)) => {
                key = bytes.try_into().ok().map(KeyId::from_bytes);
            }
            (Label::Int(15), Value::Map(entries)) => claims = Some(read_claims(entries)?),
            (Label::Text("refs"), Value::Array(items)) => refs = read_refs(items)?,
            (Label::Text("visibility"), Value::Text(name)) => {
                visibility = name.parse().map_err(|_| wrong("visibility is not known"))?;
                if visibility == Visibility::Mesh {
                    return Err(wrong("visibility mesh is said by leaving it out"));
                }
            }
            _ => return Err(EnvelopeError::Header(format!("label {name:?} has no place here"))),
        }
    }
    if algorithm != Some(ALG_EDDSA) {
        return Err(wrong("algorithm (label 1) is not EdDSA"));
    }
    let kind = kind.ok_or_else(|| wrong("content type (label 3) is missing"))?;
    let key = key.ok_or_else(|| wrong("key id (label 4) is missing or not 32 bytes"))?;
    let (organisation, subject, issued_at) = claims.ok_or_else(|| wrong("claims (label 15) are missing"))?;
    if kind.is_standing() && visibility != Visibility::Mesh {
        return Err(EnvelopeError::Header(format!("a {kind} statement is visible to the whole mesh")));
    }
    if organisation.is_none() && kind != Kind::Organisation {
        return Err(wrong("issuer is missing"));
    }
    Ok(Header { kind, key, organisation, subject, issued_at, refs, visibility })
}

type Claims = (Option<OrganisationId>, Option<String>, Timestamp);

fn read_claims(entries: Vec<(Value, Value)>) -> Result<Claims, EnvelopeError> {
    let (mut organisation, mut subject, mut issued_at) = (None, None, None);
    for (name, value) in entries {
        match (label(&name), value) {
            (Label::Int(1), Value::Text(text)) => {
                let id = text.parse().map_err(|e| EnvelopeError::Header(format!("issuer: {e}")))?;
                organisation = Some(id);
            }
            (Label::Int(2), Value::Text(text)) if text.len() <= LABEL_BYTES_MAX => subject = Some(text),
            (Label::Int(6), Value::Integer(n)) => issued_at = u64::try_from(n).ok().map(Timestamp),
            _ => return Err(EnvelopeError::Header(format!("claim {name:?} has no place here"))),
        }
    }
    let issued_at =
        issued_at.ok_or_else(|| EnvelopeError::Header("time of issue (claim 6) is missing".into()))?;
    Ok((organisation, subject, issued_at))
}

fn read_refs(items: Vec<Value>) -> Result<Vec<StatementId>, EnvelopeError> {
    let wrong = |what: &str| EnvelopeError::Header(what.to_owned());
    if items.is_empty() || items.len() > REFS_MAX {
        return Err(wrong("refs are empty or too many"));
    }
    let mut refs: Vec<StatementId> = Vec::with_capacity(items.len());
    for item in items {
        let Value::Bytes(bytes) = item else { return Err(wrong("a ref is no byte string")) };
        let id = bytes.try_into().map_err(|_| wrong("a ref has not 32 bytes"))?;
        let id = StatementId::from_bytes(id);
        if refs.last().is_some_and(|last| *last >= id) {
            return Err(wrong("refs are repeated or out of order"));
        }
        refs.push(id);
    }
    Ok(refs)
}
