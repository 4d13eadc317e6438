//! For whom a bundle is, and what is left out of it for that.

use std::sync::Arc;

use super::write::{ChainSource, Source};
use crate::chain::LeafDigest;
use crate::chain::proof::Subtrees;
use crate::ids::{OrganisationId, Position, StatementId};
use crate::lineage::edge::Edge;
use crate::lineage::graph::EdgeSource;
use crate::mesh::Audience;
use crate::observation::SubjectKey;
use crate::statement::{Statement, Visibility};

/// For whom a bundle is. A file goes from hand to hand, so what is limited is in it only where somebody says for whom.
// INVARIANT(10): nobody outside an agreement can read what is limited to it; what goes into a file passes `may_read`.
#[derive(Debug, Clone, Default)]
pub enum Readers {
    /// For anybody: nothing that is limited.
    #[default]
    Anybody,
    /// For these organisations, and whoever they show it to: also what each single one of them may read.
    These(Vec<Audience>),
    /// For whom the writer has chosen otherwise: also what is limited, all of it.
    Chosen,
}

impl Readers {
    /// Whether a statement may be in a file for them.
    pub fn may_read(&self, statement: &Statement) -> bool {
        match self {
            Self::These(audiences) if !audiences.is_empty() => {
                audiences.iter().all(|audience| audience.may_read(statement))
            }
            Self::Anybody | Self::These(_) => statement.header().visibility == Visibility::Mesh,
            Self::Chosen => true,
        }
    }

    fn may_read_bytes(&self, bytes: &Arc<[u8]>) -> bool {
        matches!(self, Self::Chosen)
            || Statement::parse(bytes.clone()).is_ok_and(|statement| self.may_read(&statement))
    }
}

/// A source as readers may see it: what is limited to others is as withheld.
pub(super) struct Shown<'a, S> {
    /// As the writer sees it.
    pub(super) whole: &'a S,
    pub(super) readers: &'a Readers,
}

impl<S: Source> Shown<'_, S> {
    /// The digest of a statement that the writer has and that the readers may not read.
    pub(super) fn hidden(
        &self,
        organisation: &OrganisationId,
        position: Position,
    ) -> Result<Option<LeafDigest>, S::Error> {
        let bytes = self.whole.statement(organisation, position)?;
        Ok(bytes.filter(|bytes| !self.readers.may_read_bytes(bytes)).map(|bytes| LeafDigest::of(&bytes)))
    }
}

impl<S: Source> EdgeSource for Shown<'_, S> {
    type Error = S::Error;

    fn upstream(&self, node: &SubjectKey) -> Result<Vec<Edge>, S::Error> {
        self.whole.upstream(node)
    }

    fn downstream(&self, node: &SubjectKey) -> Result<Vec<Edge>, S::Error> {
        self.whole.downstream(node)
    }
}

impl<S: Source> Source for Shown<'_, S> {
    fn place(&self, statement: &StatementId) -> Result<Option<(OrganisationId, Position)>, S::Error> {
        self.whole.place(statement)
    }

    fn statement(
        &self,
        organisation: &OrganisationId,
        position: Position,
    ) -> Result<Option<Arc<[u8]>>, S::Error> {
        let bytes = self.whole.statement(organisation, position)?;
        Ok(bytes.filter(|bytes| self.readers.may_read_bytes(bytes)))
    }

    fn withheld(
        &self,
        organisation: &OrganisationId,
        position: Position,
    ) -> Result<Option<LeafDigest>, S::Error> {
        match self.hidden(organisation, position)? {
            Some(digest) => Ok(Some(digest)),
            None => self.whole.withheld(organisation, position),
        }
    }

    fn chain(&self, organisation: &OrganisationId) -> Result<Option<ChainSource>, S::Error> {
        self.whole.chain(organisation)
    }

    fn tree(&self, organisation: &OrganisationId) -> impl Subtrees {
        self.whole.tree(organisation)
    }

    fn disclosures(&self, statement: &StatementId) -> Result<Vec<Vec<u8>>, S::Error> {
        self.whole.disclosures(statement)
    }

    fn misbehaviour(&self, organisation: &OrganisationId) -> Result<Option<Vec<u8>>, S::Error> {
        self.whole.misbehaviour(organisation)
    }
}
