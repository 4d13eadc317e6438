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
use crate::codec::{CodecError, Head, Reader, Value};
use crate::cose::{self, ALG_EDDSA, Sign1, StructureError, int, to_be_signed};
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
    leaf: LeafDigest,
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
pub enum Signed {
    /// Its key made it.
    Checked(Authentic),
    /// There was no such key.
    Unchecked(Statement),
    /// Its key did not make it.
    Wrong(StatementId),
}

/// Checks signatures of many statements, each by its own key, where `key` knows it. Gives one answer for each, in order.
pub fn authenticate_all<K: AsRef<PreparedKey>>(
    statements: Vec<Statement>,
    key: impl Fn(&KeyId) -> Option<K>,
) -> Vec<Signed> {
    let mut judge = Judge::default();
    let known: Vec<bool> = statements
        .iter()
        .map(|statement| {
            let key = key(&statement.header.key).filter(|key| key.as_ref().id() == statement.header.key);
            if let Some(key) = &key {
                judge.add(key.as_ref(), &statement.to_be_signed(), &statement.signature);
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
        let leaf = LeafDigest::of(&bytes);
        Ok(Self { bytes, id, leaf, header, protected, payload, signature })
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
    pub const fn leaf_digest(&self) -> LeafDigest {
        self.leaf
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
        if let Visibility::Parties(agreement) = self.visibility {
            let agreement = Value::Bytes(agreement.as_bytes().to_vec());
            header.push((Value::Text("agreement".into()), agreement));
        }
        header
    }
}

fn wrong(what: &str) -> EnvelopeError {
    EnvelopeError::Header(what.to_owned())
}

fn out_of_place(what: &str, name: Head<'_>) -> EnvelopeError {
    EnvelopeError::Header(format!("{what} {name:?} has no place here"))
}

fn read_header(bytes: &[u8]) -> Result<Header, EnvelopeError> {
    let mut reader = Reader::new(bytes, STATEMENT_BYTES_MAX)?;
    let Head::Map(entries) = reader.head(0)? else {
        return Err(wrong("it is not a map"));
    };
    let (mut is_eddsa, mut kind, mut key, mut claims) = (false, None, None, None);
    let (mut refs, mut visibility, mut agreement) = (Vec::new(), None, None);
    let mut previous = None;
    for _ in 0..entries {
        let start = reader.position();
        let name = reader.head(1)?;
        reader.in_order(&mut previous, start)?;
        match (name, reader.head(1)?) {
            (Head::Unsigned(1), Head::Negative(n)) => is_eddsa = -1 - i128::from(n) == i128::from(ALG_EDDSA),
            (Head::Unsigned(3), Head::Text(text)) => {
                let found = Kind::from_content_type(text);
                kind = Some(found.ok_or_else(|| wrong(&format!("content type {text:?} is not known")))?);
            }
            (Head::Unsigned(4), Head::Bytes(bytes)) => key = bytes.try_into().ok().map(KeyId::from_bytes),
            (Head::Unsigned(15), Head::Map(entries)) => claims = Some(read_claims(&mut reader, entries)?),
            (Head::Text("refs"), Head::Array(items)) => refs = read_refs(&mut reader, items)?,
            (Head::Text("visibility"), Head::Text(name)) => {
                if name == Visibility::Mesh.name() {
                    return Err(wrong("visibility mesh is said by leaving it out"));
                }
                visibility = Some(name);
            }
            (Head::Text("agreement"), Head::Bytes(bytes)) => {
                let id = bytes.try_into().map_err(|_| wrong("agreement has not 32 bytes"))?;
                agreement = Some(StatementId::from_bytes(id));
            }
            _ => return Err(out_of_place("label", name)),
        }
    }
    reader.finish()?;
    if !is_eddsa {
        return Err(wrong("algorithm (label 1) is not EdDSA"));
    }
    let kind = kind.ok_or_else(|| wrong("content type (label 3) is missing"))?;
    let key = key.ok_or_else(|| wrong("key id (label 4) is missing or not 32 bytes"))?;
    let (organisation, subject, issued_at) = claims.ok_or_else(|| wrong("claims (label 15) are missing"))?;
    let visibility = visibility.unwrap_or(Visibility::Mesh.name());
    let visibility = Visibility::named(visibility, agreement)
        .ok_or_else(|| wrong("visibility is parties with an agreement, or private without one"))?;
    if kind.is_standing() && visibility != Visibility::Mesh {
        return Err(EnvelopeError::Header(format!("a {kind} statement is visible to the whole mesh")));
    }
    if organisation.is_none() && kind != Kind::Organisation {
        return Err(wrong("issuer is missing"));
    }
    Ok(Header { kind, key, organisation, subject, issued_at, refs, visibility })
}

type Claims = (Option<OrganisationId>, Option<String>, Timestamp);

fn read_claims(reader: &mut Reader<'_>, entries: usize) -> Result<Claims, EnvelopeError> {
    let (mut organisation, mut subject, mut issued_at) = (None, None, None);
    let mut previous = None;
    for _ in 0..entries {
        let start = reader.position();
        let name = reader.head(2)?;
        reader.in_order(&mut previous, start)?;
        match (name, reader.head(2)?) {
            (Head::Unsigned(1), Head::Text(text)) => {
                let id = text.parse().map_err(|e| EnvelopeError::Header(format!("issuer: {e}")))?;
                organisation = Some(id);
            }
            (Head::Unsigned(2), Head::Text(text)) if text.len() <= LABEL_BYTES_MAX => {
                subject = Some(text.to_owned());
            }
            (Head::Unsigned(6), Head::Unsigned(n)) => issued_at = Some(Timestamp(n)),
            _ => return Err(out_of_place("claim", name)),
        }
    }
    let issued_at = issued_at.ok_or_else(|| wrong("time of issue (claim 6) is missing"))?;
    Ok((organisation, subject, issued_at))
}

fn read_refs(reader: &mut Reader<'_>, items: usize) -> Result<Vec<StatementId>, EnvelopeError> {
    if items == 0 || items > REFS_MAX {
        return Err(wrong("refs are empty or too many"));
    }
    let mut refs: Vec<StatementId> = Vec::with_capacity(items);
    for _ in 0..items {
        let Head::Bytes(bytes) = reader.head(2)? else { return Err(wrong("a ref is no byte string")) };
        let id = bytes.try_into().map_err(|_| wrong("a ref has not 32 bytes"))?;
        let id = StatementId::from_bytes(id);
        if refs.last().is_some_and(|last| *last >= id) {
            return Err(wrong("refs are repeated or out of order"));
        }
        refs.push(id);
    }
    Ok(refs)
}
