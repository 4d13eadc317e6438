//! The parts of a bundle, taken apart and put together again, with the digest that belongs to them.

use counterfoil_protocol::bundle::{Manifest, Section};
use counterfoil_protocol::chain::proof::{LeafHashes, consistency_proof, root};
use counterfoil_protocol::chain::{HeadDraft, LeafDigest};
use counterfoil_protocol::codec::{self, Value};
use counterfoil_protocol::digest::blake3;
use counterfoil_protocol::identity::{StandingDigest, first_seq};
use counterfoil_protocol::ids::{ByteString, HeadSeq, Position, Timestamp, TreeSize};
use counterfoil_protocol::statement::{Payload, Statement};
use counterfoil_protocol::test_support::TestOrganisation;

const BEGINNING: &[u8] = b"CFBUNDLE\x02";

/// A file that both verifiers are asked about.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// A bundle's items. Nothing here is checked: what is put together may be as wrong as a test wants it.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) manifest: Manifest,
    /// Each section with its entries, encoded.
    pub(crate) sections: Vec<(Section, Vec<Vec<u8>>)>,
}

impl Parts {
    /// Takes a bundle apart.
    pub(crate) fn of(bundle: &[u8]) -> Self {
        let mut rest = bundle.strip_prefix(BEGINNING).unwrap();
        let mut next = || {
            let (_, after) = codec::first_item(rest).unwrap();
            let item = rest[..rest.len() - after.len()].to_vec();
            rest = after;
            item
        };
        let manifest: Manifest = codec::decode(&next(), usize::MAX).unwrap();
        let mut sections = Vec::new();
        for _ in 0..manifest.sections {
            let section: Section = codec::decode(&next(), usize::MAX).unwrap();
            let entries = (0..section.entries).map(|_| next()).collect();
            sections.push((section, entries));
        }
        Self { manifest, sections }
    }

    /// Makes the announced numbers fit.
    pub(crate) fn count(&mut self) {
        self.manifest.sections = self.sections.len() as u64;
        for (section, entries) in &mut self.sections {
            section.entries = entries.len() as u64;
        }
    }

    /// The items, encoded.
    pub(crate) fn items(&self) -> Vec<Vec<u8>> {
        let mut items = vec![codec::encode(&self.manifest).unwrap()];
        for (section, entries) in &self.sections {
            items.push(codec::encode(section).unwrap());
            items.extend(entries.iter().cloned());
        }
        items
    }

    /// The file.
    pub(crate) fn seal(&self) -> Vec<u8> {
        seal(&self.items())
    }
}

/// A file of these items, and the digest that belongs to it.
pub(crate) fn seal(items: &[Vec<u8>]) -> Vec<u8> {
    resealed([BEGINNING, &items.concat(), &[0x58, 0x20], &[0; 32]].concat())
}

/// The same file with the digest that belongs to what it says now.
pub(crate) fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = bytes.len() - 32;
    let digest = blake3(&bytes[..at - 2]);
    bytes[at..].copy_from_slice(&digest);
    bytes
}

/// The entry of a statement that is here.
pub(crate) fn here(statement: &[u8]) -> Vec<u8> {
    codec::to_bytes(&Value::Bytes(statement.to_vec())).unwrap()
}

/// The entry of `2^level` statements that are not.
pub(crate) fn absent(level: u64, hash: &[u8]) -> Vec<u8> {
    codec::to_bytes(&Value::Array(vec![level.into(), Value::Bytes(hash.to_vec())])).unwrap()
}

/// The leaf hash of a statement.
pub(crate) fn leaf(statement: &[u8]) -> [u8; 32] {
    LeafDigest::of(statement).leaf_hash().0
}

/// A chain that says whatever it is told to, under a head that its organisation signs all the same, with the proofs that
/// its earlier sizes led to it.
pub(crate) fn section(
    organisation: &TestOrganisation,
    statements: &[Vec<u8>],
    earlier: &[u64],
) -> (Section, Vec<Vec<u8>>) {
    let leaves = LeafHashes(statements.iter().map(|one| LeafDigest::of(one).leaf_hash()).collect());
    let size = TreeSize(statements.len() as u64);
    let (mut standing, mut epoch) = (StandingDigest::EMPTY, 0);
    for (at, bytes) in statements.iter().enumerate() {
        if let Ok(statement) = Statement::parse(bytes.as_slice())
            && statement.header().kind.is_standing()
        {
            standing = standing.with(Position(at as u64), statement.id());
            let payload = Payload::decode(statement.header().kind, statement.payload());
            epoch += u64::from(payload.is_ok_and(|payload| payload.recovery().is_some()));
        }
    }
    let draft = HeadDraft {
        organisation: organisation.id(),
        seq: HeadSeq(first_seq(epoch).0 + 1_000),
        previous: None,
        size,
        root: root(&leaves, size).unwrap(),
        standing,
        issued_at: Timestamp(3_000),
    };
    let head = draft.sign(&organisation.epoch_key(epoch)).unwrap();
    let proof = |from: &u64| {
        let proof = consistency_proof(&leaves, TreeSize(*from), size).unwrap();
        counterfoil_protocol::bundle::Earlier { size: TreeSize(*from), proof }
    };
    let section = Section {
        organisation: organisation.id(),
        head: ByteString(head.bytes().to_vec()),
        cosignatures: Vec::new(),
        earlier: earlier.iter().map(proof).collect(),
        entries: statements.len() as u64,
    };
    (section, statements.iter().map(|one| here(one)).collect())
}
