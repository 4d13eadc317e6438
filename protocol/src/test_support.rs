//! Seeded organisations for tests: same seed, same bytes.

#![allow(clippy::expect_used, reason = "a builder that cannot build is a broken test")]

pub mod gate;
pub mod governed;
pub mod identity;
pub mod mesh;
pub mod recovery;

use std::sync::Arc;

use serde::Serialize;

use crate::codec;
use crate::identity::{AuthorityKind, Credential, NodeBinding, Organisation, Scope};
use crate::ids::{OrganisationId, StatementId, Timestamp};
use crate::keys::{SecretKey, Signer};
use crate::observation::{ArtifactDigest, Observation, Subject};
use crate::statement::{Authentic, Draft, Endorsed, Kind, Visibility};

/// An organisation with all its keys.
pub struct TestOrganisation {
    /// Root keys, two of which make the threshold.
    pub root_keys: Vec<SecretKey>,
    /// Chain key.
    pub chain_key: Arc<SecretKey>,
    /// Witness key.
    pub witness_key: Arc<SecretKey>,
    /// The peer's key.
    pub peer_key: SecretKey,
    /// The first authority's key.
    pub authority_key: SecretKey,
    /// The inception.
    pub inception: Authentic,
}

fn key(seed: u64, number: u8) -> SecretKey {
    let mut bytes = [number; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    SecretKey::from_seed(&bytes)
}

impl TestOrganisation {
    /// The organisation that follows from `seed`.
    pub fn new(seed: u64) -> Self {
        let root_keys: Vec<SecretKey> = (1..=3).map(|n| key(seed, n)).collect();
        let (chain_key, witness_key) = (Arc::new(key(seed, 4)), Arc::new(key(seed, 5)));
        let description = Organisation {
            version: 0,
            name: format!("organisation {seed}"),
            domains: Vec::new(),
            jurisdictions: vec!["EU".into()],
            parent: None,
            root_keys: root_keys.iter().map(Signer::public_key).collect(),
            threshold: 2,
            next_root_keys: vec![key(seed, 8).public_key().commitment()],
            activation_quorum: None,
            chain_key: chain_key.public_key(),
            witness_key: witness_key.public_key(),
            recovery: None,
        };
        let draft = draft(None, Kind::Organisation, &root_act(Kind::Organisation, &description, &root_keys));
        let inception = draft.sign(root_keys.first().expect("three root keys")).expect("a legal inception");
        Self {
            root_keys,
            chain_key,
            witness_key,
            peer_key: key(seed, 6),
            authority_key: key(seed, 7),
            inception,
        }
    }

    /// The root key that the organisation of this seed has committed to for its next version.
    pub fn next_root_key(seed: u64) -> SecretKey {
        key(seed, 8)
    }

    /// Its id.
    pub fn id(&self) -> OrganisationId {
        self.inception.statement().id().into()
    }

    /// What a new organisation's chain begins with: inception, first authority, node binding.
    pub fn opening(&self) -> Vec<Authentic> {
        let credential = self.credential(&self.authority_key, vec![Scope::everything()], 1);
        let (counter, expires) = (1, Timestamp(u64::MAX / 2));
        let message = NodeBinding::message(&self.id(), &self.peer_key.public_key(), counter, expires);
        let binding = NodeBinding {
            mesh: None,
            peer_key: self.peer_key.public_key(),
            counter,
            expires,
            addresses: Vec::new(),
            peer_signature: self.peer_key.sign(&message),
        };
        vec![self.inception.clone(), credential, self.statement(Kind::Node, &binding)]
    }

    /// A credential by the root keys.
    pub fn credential(&self, key: &SecretKey, scopes: Vec<Scope>, delegation: u8) -> Authentic {
        let credential = Credential {
            key: key.public_key(),
            kind: AuthorityKind::HumanRole,
            role: "steward".into(),
            scopes,
            jurisdictions: Vec::new(),
            competence: Vec::new(),
            not_before: Timestamp(0),
            expires: None,
            delegation,
            issuer: None,
            authority: None,
            overrides: None,
        };
        self.root_statement(Kind::Credential, &credential)
    }

    /// A statement by the root keys, with the threshold of them.
    pub fn root_statement<T: Serialize>(&self, kind: Kind, content: &T) -> Authentic {
        let signer = self.root_keys.first().expect("three root keys");
        draft(Some(self.id()), kind, &root_act(kind, content, &self.root_keys)).sign(signer).expect("legal")
    }

    /// A statement by the first authority.
    pub fn statement<T: Serialize>(&self, kind: Kind, payload: &T) -> Authentic {
        draft(Some(self.id()), kind, payload).sign(&self.authority_key).expect("a legal statement")
    }

    /// The `n`th of its observations, all of them different.
    pub fn observation(&self, n: u64) -> Authentic {
        self.statement(Kind::Observation, &observation("evaluation/test", n))
    }
}

/// An observation about the `n`th artifact.
pub fn observation(claim: &str, n: u64) -> Observation {
    Observation {
        claim: claim.into(),
        subjects: vec![Subject::artifact(ArtifactDigest::sha256_of(&n.to_be_bytes()))],
        effective: Timestamp(n),
        expires: None,
        adverse: false,
        content: std::collections::BTreeMap::new(),
        sealed: Vec::new(),
        metrics: Vec::new(),
        derived_from: Vec::<StatementId>::new(),
        materials: Vec::new(),
        source: None,
    }
}

fn root_act<T: Serialize>(kind: Kind, content: &T, keys: &[SecretKey]) -> Endorsed {
    let second = keys.get(1).expect("three root keys");
    Endorsed::new(kind, content, &[second]).expect("legal content")
}

/// A draft with that payload, made at second 1000.
pub fn draft<T: Serialize>(organisation: Option<OrganisationId>, kind: Kind, payload: &T) -> Draft {
    Draft {
        kind,
        organisation,
        subject: None,
        issued_at: Timestamp(1000),
        refs: Vec::new(),
        visibility: Visibility::Mesh,
        payload: codec::encode(payload).expect("a legal payload"),
    }
}
