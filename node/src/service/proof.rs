//! Receipts and bundles, from the store.

use std::io::{Seek as _, Write as _};
use std::sync::Arc;

use counterfoil_protocol::bundle::{self, BundleError, ChainSource, Readers, Source, Wanted};
use counterfoil_protocol::chain::LeafDigest;
use counterfoil_protocol::chain::consistency::consistency_receipt;
use counterfoil_protocol::chain::proof::{Subtrees, consistency_proof, inclusion_proof};
use counterfoil_protocol::chain::receipt::{receipt, tlog_proof};
use counterfoil_protocol::ids::{ByteString, OrganisationId, Position, StatementId, TreeSize};
use counterfoil_protocol::lineage::Edge;
use counterfoil_protocol::lineage::graph::EdgeSource;
use counterfoil_protocol::observation::SubjectKey;
use serde::{Deserialize, Serialize};

use super::{Node, ServiceError};
use crate::runtime::View;
use crate::store::{Store, StoreError, StoredEntry};

/// The proof that a statement stands in its chain, in three forms that belong together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Proof {
    /// The statement.
    pub statement: StatementId,
    /// Whose chain.
    pub organisation: OrganisationId,
    /// Where.
    pub position: Position,
    /// Size of the chain that the receipt is for.
    pub size: TreeSize,
    /// COSE receipt (RFC 9942).
    pub receipt: ByteString,
    /// The signed checkpoint with the cosignatures known, which binds the receipt's size.
    pub checkpoint: ByteString,
    /// The same as a C2SP tlog-proof.
    pub tlog_proof: String,
}

impl Node {
    /// The proof that a statement, own or foreign, stands in its chain.
    ///
    /// # Errors
    /// [`ServiceError`] when it is not here, or under no head yet.
    pub fn receipt(&self, id: &StatementId) -> Result<Proof, ServiceError> {
        let place = self.store().place(id)?;
        let (organisation, position) =
            place.ok_or_else(|| ServiceError::absent(format!("{id} is not known here")))?;
        let view = self.view()?;
        let replica = view.chains.get(&organisation);
        let head = replica.and_then(|replica| replica.head()).filter(|head| head.size().contains(position));
        let (Some(replica), Some(head)) = (replica, head) else {
            return Err(ServiceError::absent(format!("{id} is under no head yet; try again shortly")));
        };
        let path = inclusion_proof(&self.store().chain(organisation), position, head.size())
            .map_err(StoreError::from)?;
        let key = replica.state().epochs().at(head.size()).key;
        let bytes = receipt(&organisation, &key, head.receipt_signature(), head.size(), position, &path)?;
        let mut checkpoint = head.note().to_string();
        replica.cosignatures().values().for_each(|line| checkpoint.push_str(line));
        Ok(Proof {
            statement: *id,
            organisation,
            position,
            size: head.size(),
            receipt: ByteString(bytes),
            tlog_proof: tlog_proof(position, &path, &checkpoint),
            checkpoint: ByteString(checkpoint.into_bytes()),
        })
    }

    /// A COSE receipt that the own chain of `from` statements is the beginning of the chain under its latest head.
    ///
    /// # Errors
    /// [`ServiceError`] when the chain is shorter.
    pub fn consistency(&self, from: TreeSize) -> Result<Vec<u8>, ServiceError> {
        let view = self.view()?;
        let replica = view.chains.get(&self.organisation());
        let head = replica.and_then(|replica| replica.head()).filter(|head| from <= head.size());
        let (Some(replica), Some(head)) = (replica, head) else {
            return Err(ServiceError::absent(format!(
                "the chain has not {from} statements under a head yet"
            )));
        };
        let to = head.size();
        let organisation = self.organisation();
        let proof =
            consistency_proof(&self.store().chain(organisation), from, to).map_err(StoreError::from)?;
        let key = replica.state().epochs().at(head.size()).key;
        Ok(consistency_receipt(&organisation, &key, head.receipt_signature(), from, to, &proof)?)
    }

    /// For whom a bundle is: for the organisations named, by the agreements in force now; for anybody where none is named;
    /// or for whom somebody here has chosen, who takes it on themselves.
    ///
    /// # Errors
    /// [`ServiceError`] when an organisation is not known here, or both are asked for.
    pub fn readers(&self, named: &[String], include_limited: bool) -> Result<Readers, ServiceError> {
        match (named, include_limited) {
            ([], false) => Ok(Readers::Anybody),
            ([], true) => Ok(Readers::Chosen),
            (_, true) => Err(ServiceError::caller(
                "readers",
                "a bundle is for the organisations named, or has all that is limited; leave one of the two out",
            )),
            (named, false) => {
                let view = self.view()?;
                let audience = |text: &String| {
                    let reader = self.find_organisation(text)?;
                    Ok(view.agreements.audience(reader, view.now.timestamp()))
                };
                Ok(Readers::These(named.iter().map(audience).collect::<Result<_, ServiceError>>()?))
            }
        }
    }

    /// The bundle that proves what is wanted.
    ///
    /// # Errors
    /// [`ServiceError`].
    /// The bundle lies in a file without a name, however large it is, and is gone with it.
    pub fn bundle(&self, wanted: &Wanted) -> Result<std::fs::File, ServiceError> {
        if wanted.about.is_empty() && wanted.period.is_none() {
            return Err(ServiceError::caller(
                "bundle",
                "name the statements that it is to be about, or a period",
            ));
        }
        let view = self.view()?;
        let file = tempfile::tempfile_in(self.data.path()).map_err(BundleError::from)?;
        let mut out = std::io::BufWriter::new(file);
        bundle::write_to(&StoredLineage { store: self.store(), view: &view }, wanted, &mut out)?;
        out.flush().map_err(BundleError::from)?;
        let mut file = out.into_inner().map_err(|error| BundleError::from(error.into_error()))?;
        file.rewind().map_err(BundleError::from)?;
        Ok(file)
    }
}

/// The store as a source of bundles, with the heads of one moment.
struct StoredLineage<'a> {
    store: &'a Store,
    view: &'a View,
}

impl EdgeSource for StoredLineage<'_> {
    type Error = StoreError;

    fn upstream(&self, node: &SubjectKey) -> Result<Vec<Edge>, StoreError> {
        self.store.upstream(node)
    }

    fn downstream(&self, node: &SubjectKey) -> Result<Vec<Edge>, StoreError> {
        self.store.downstream(node)
    }
}

impl Source for StoredLineage<'_> {
    fn place(&self, statement: &StatementId) -> Result<Option<(OrganisationId, Position)>, StoreError> {
        // What came after the view's heads does not exist for this bundle.
        let place = self.store.place(statement)?;
        Ok(place.filter(|(organisation, position)| super::is_covered(self.view, organisation, *position)))
    }

    fn statement(
        &self,
        organisation: &OrganisationId,
        position: Position,
    ) -> Result<Option<Arc<[u8]>>, StoreError> {
        Ok(match self.store.entry(organisation, position)? {
            Some(StoredEntry::Statement(bytes)) => Some(bytes),
            Some(StoredEntry::Withheld(_)) | None => None,
        })
    }

    fn withheld(
        &self,
        organisation: &OrganisationId,
        position: Position,
    ) -> Result<Option<LeafDigest>, StoreError> {
        Ok(match self.store.entry(organisation, position)? {
            Some(StoredEntry::Withheld(digest)) => Some(digest),
            Some(StoredEntry::Statement(_)) | None => None,
        })
    }

    fn chain(&self, organisation: &OrganisationId) -> Result<Option<ChainSource>, StoreError> {
        let Some(replica) = self.view.chains.get(organisation) else { return Ok(None) };
        let Some(head) = replica.head() else { return Ok(None) };
        let standing = replica.standing().iter().map(|verified| verified.position());
        Ok(Some(ChainSource {
            head: head.clone(),
            cosignatures: replica.cosignatures().values().map(|line| line.as_ref().to_owned()).collect(),
            standing: standing.filter(|position| head.size().contains(*position)).collect(),
        }))
    }

    fn tree(&self, organisation: &OrganisationId) -> impl Subtrees {
        self.store.chain(*organisation)
    }

    fn disclosures(&self, statement: &StatementId) -> Result<Vec<Vec<u8>>, StoreError> {
        self.store.disclosures(statement)
    }

    fn misbehaviour(&self, organisation: &OrganisationId) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.misbehaviour(organisation)
    }
}
