//! Indexes over statements, written in the same batch as the statements: lineage edges by their ends, links and their
//! answers; and the mesh that the node takes part in.

use counterfoil_federation::evidence::EvidenceSource;
use counterfoil_protocol::codec;
use counterfoil_protocol::digest::blake3;
use counterfoil_protocol::ids::{ByteString, Bytes, MeshId, OrganisationId, Position, StatementId};
use counterfoil_protocol::lineage::graph::EdgeSource;
use counterfoil_protocol::lineage::{Edge, EdgeKind, edges};
use counterfoil_protocol::mesh::Charter;
use counterfoil_protocol::observation::SubjectKey;
use counterfoil_protocol::observation::sealed::seal;
use counterfoil_protocol::statement::{Kind, Payload, Statement};
use rocksdb::{Direction, IteratorMode, WriteBatch};

use super::{Store, StoreError, family};
use crate::service::reconcile::Pause;

/// Largest encoded [`Pause`].
const PAUSE_BYTES_MAX: usize = 256;

/// First byte of a key by which an edge is found from its beginning.
const FROM: u8 = 0;
/// First byte of a key by which an edge is found from its end.
const TO: u8 = 1;
/// The same for the edges that decisions assert: as many end at a subject, and at evidence, as there were decisions that
/// rest on it, and no evidence is found over them.
const TO_OF_DECISION: u8 = 2;
/// Value of an edge by which a statement is about something.
const ABOUT: u8 = 1;
const LINK: u8 = b'l';
const ANSWER: u8 = b'c';
const MESH: &[u8] = b"mesh";
const INVITER_AT: &[u8] = b"inviter-at";
/// Most edges read for one node; what lies beyond makes an answer incomplete, so it is an error.
const EDGES_MAX: usize = 100_000;

/// `direction || BLAKE3 of the node's text`: a node may be a name of any length.
fn node_key(direction: u8, node: &SubjectKey) -> [u8; 33] {
    let mut key = [direction; 33];
    let (_, digest) = key.split_at_mut(1);
    digest.copy_from_slice(&blake3(node.to_string().as_bytes()));
    key
}

fn witness_key(origin: &str) -> Vec<u8> {
    [b"w", origin.as_bytes()].concat()
}

fn disclosure_key(digest: &Bytes<32>) -> [u8; 33] {
    let mut key = [b'd'; 33];
    let (_, rest) = key.split_at_mut(1);
    rest.copy_from_slice(&digest.0);
    key
}

impl Store {
    /// Adds what a statement says about others to the batch that writes it.
    pub(super) fn index(
        &self,
        statement: &Statement,
        payload: &Payload,
        batch: &mut WriteBatch,
    ) -> Result<(), StoreError> {
        for (number, edge) in edges(statement.id(), payload).iter().enumerate() {
            let to = if statement.header().kind == Kind::Decision { TO_OF_DECISION } else { TO };
            for (direction, node) in [(FROM, &edge.from), (to, &edge.to)] {
                let mut key = node_key(direction, node).to_vec();
                key.extend_from_slice(edge.asserted_by.as_bytes());
                key.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
                // Which decisions are about something is found without reading them.
                let value: &[u8] = if edge.kind == EdgeKind::About { &[ABOUT] } else { &[] };
                batch.put_cf(self.family(family::EDGES)?, key, value);
            }
        }
        let (tag, link) = match payload {
            Payload::Link(_) => (LINK, statement.id()),
            Payload::Counterfoil(counterfoil) => (ANSWER, counterfoil.link),
            _ => return Ok(()),
        };
        let mut key = vec![tag];
        key.extend_from_slice(link.as_bytes());
        batch.put_cf(self.family(family::LINKS)?, key, statement.id().as_bytes());
        Ok(())
    }

    /// The index holds places alone: the edges follow from the statements that assert them, which are read again.
    fn edges(&self, direction: u8, node: &SubjectKey) -> Result<Vec<Edge>, StoreError> {
        let prefix = node_key(direction, node);
        let mode = IteratorMode::From(&prefix, Direction::Forward);
        let mut found = Vec::new();
        let mut asserting: Option<StatementId> = None;
        for item in self.db.iterator_cf(self.family(family::EDGES)?, mode) {
            let (key, _) = item.map_err(|error| self.database(error))?;
            let Some(rest) = key.strip_prefix(&prefix) else { break };
            let damaged = || StoreError::Damaged("the index of edges".into());
            let (id, _) = rest.split_first_chunk::<32>().ok_or_else(damaged)?;
            let id = StatementId::from_bytes(*id);
            if asserting.replace(id) == Some(id) {
                // All edges of one statement were read with the first.
                continue;
            }
            let placed = self.statement(&id)?.ok_or_else(damaged)?;
            let payload = Payload::decode(placed.statement.header().kind, placed.statement.payload());
            let asserted = edges(id, &payload.map_err(|_| damaged())?);
            found.extend(asserted.into_iter().filter(|edge| match direction {
                FROM => edge.from == *node,
                _ => edge.to == *node,
            }));
            if found.len() > EDGES_MAX {
                return Err(StoreError::TooMany { what: "edges of one node", max: EDGES_MAX });
            }
        }
        found.sort();
        Ok(found)
    }

    /// The decisions about something, without reading them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn decisions_about(&self, node: &SubjectKey) -> Result<Vec<StatementId>, StoreError> {
        let prefix = node_key(TO_OF_DECISION, node);
        let mode = IteratorMode::From(&prefix, Direction::Forward);
        let mut found = Vec::new();
        for item in self.db.iterator_cf(self.family(family::EDGES)?, mode) {
            let (key, value) = item.map_err(|error| self.database(error))?;
            let Some(rest) = key.strip_prefix(&prefix) else { break };
            let damaged = || StoreError::Damaged("the index of edges".into());
            let (id, _) = rest.split_first_chunk::<32>().ok_or_else(damaged)?;
            if value.as_ref() == [ABOUT] {
                found.push(StatementId::from_bytes(*id));
            }
        }
        Ok(found)
    }

    /// Every link, with the statement that answers it, if there is one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn links(&self) -> Result<Vec<(StatementId, Option<StatementId>)>, StoreError> {
        let mode = IteratorMode::From(&[LINK], Direction::Forward);
        let mut found = Vec::new();
        for item in self.db.iterator_cf(self.family(family::LINKS)?, mode) {
            let (key, _) = item.map_err(|error| self.database(error))?;
            let Some((&LINK, id)) = key.split_first() else { break };
            let id: [u8; 32] = id.try_into().map_err(|_| StoreError::Damaged("the index of links".into()))?;
            let link = StatementId::from_bytes(id);
            found.push((link, self.answer(&link)?));
        }
        Ok(found)
    }

    /// The counterfoil that answers a link.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn answer(&self, link: &StatementId) -> Result<Option<StatementId>, StoreError> {
        let mut key = vec![ANSWER];
        key.extend_from_slice(link.as_bytes());
        let value =
            self.db.get_pinned_cf(self.family(family::LINKS)?, key).map_err(|error| self.database(error))?;
        let damaged = || StoreError::Damaged("the index of links".into());
        let Some(value) = value else { return Ok(None) };
        let id: [u8; 32] = value.as_ref().try_into().map_err(|_| damaged())?;
        Ok(Some(StatementId::from_bytes(id)))
    }

    /// Ids of statements that begin with these characters of their text form, at most `max`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn ids_with_prefix(&self, prefix: &str, max: usize) -> Result<Vec<StatementId>, StoreError> {
        // Eight characters of base32 are five bytes: the whole ones narrow the range, the text decides.
        let text = prefix.strip_prefix("stmt:").unwrap_or(prefix);
        let whole = text.get(..text.len() / 8 * 8).unwrap_or_default();
        let Some(from) = counterfoil_protocol::ids::from_base32(whole) else { return Ok(Vec::new()) };
        let mode = IteratorMode::From(&from, Direction::Forward);
        let mut found = Vec::new();
        for item in self.db.iterator_cf(self.family(family::IDS)?, mode) {
            let (key, _) = item.map_err(|error| self.database(error))?;
            let Ok(bytes) = <[u8; 32]>::try_from(key.as_ref()) else { continue };
            if !key.starts_with(&from) || found.len() == max {
                break;
            }
            let id = StatementId::from_bytes(bytes);
            if id.to_string().strip_prefix("stmt:").is_some_and(|id| id.starts_with(text)) {
                found.push(id);
            }
        }
        Ok(found)
    }

    /// Writes down disclosures of claims that are about to be sealed, and syncs.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keep_disclosures(&self, disclosures: &[ByteString]) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for disclosure in disclosures {
            batch.put_cf(self.family(family::META)?, disclosure_key(&seal(&disclosure.0)), &disclosure.0);
        }
        self.write_synced(batch)
    }

    /// Disclosures of a statement's sealed claims, as far as they are known here.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn disclosures(&self, statement: &StatementId) -> Result<Vec<Vec<u8>>, StoreError> {
        let Some(placed) = self.statement(statement)? else { return Ok(Vec::new()) };
        let payload = Payload::decode(placed.statement.header().kind, placed.statement.payload());
        let Ok(Payload::Observation(observation)) = payload else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for digest in &observation.sealed {
            let known = self.db.get_cf(self.family(family::META)?, disclosure_key(digest));
            found.extend(known.map_err(|error| self.database(error))?);
        }
        Ok(found)
    }

    /// Writes down what was cosigned for a log, and syncs.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn witness(&self, origin: &str, checkpoint: &[u8]) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        batch.put_cf(self.family(family::META)?, witness_key(origin), checkpoint);
        self.write_synced(batch)
    }

    /// The latest checkpoint of a log that was cosigned over HTTP.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn witnessed(&self, origin: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get_cf(self.family(family::META)?, witness_key(origin)).map_err(|error| self.database(error))
    }

    /// Writes down when exchange with an organisation was paused or resumed, and syncs.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_pause(&self, organisation: &OrganisationId, pause: &Pause) -> Result<(), StoreError> {
        let key = [b"p", organisation.as_bytes().as_slice()].concat();
        let mut batch = WriteBatch::default();
        batch.put_cf(self.family(family::META)?, key, codec::encode(pause)?);
        self.write_synced(batch)
    }

    /// The last pause of the exchange with an organisation.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn pause(&self, organisation: &OrganisationId) -> Result<Option<Pause>, StoreError> {
        Ok(self.pauses()?.into_iter().find(|(id, _)| id == organisation).map(|(_, pause)| pause))
    }

    /// The last pause of each organisation with which exchange was ever paused.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn pauses(&self) -> Result<Vec<(OrganisationId, Pause)>, StoreError> {
        let damaged = || StoreError::Damaged("the pauses".into());
        let mut found = Vec::new();
        let mode = IteratorMode::From(b"p", Direction::Forward);
        for item in self.db.iterator_cf(self.family(family::META)?, mode) {
            let (key, value) = item.map_err(|error| self.database(error))?;
            let Some((&b'p', id)) = key.split_first() else { break };
            let id: [u8; 32] = id.try_into().map_err(|_| damaged())?;
            let pause = codec::decode(&value, PAUSE_BYTES_MAX).map_err(|_| damaged())?;
            found.push((OrganisationId::from_bytes(id), pause));
        }
        Ok(found)
    }

    /// Takes note of the mesh that this node takes part in, and where whoever invited it is: until its chain is here, nothing
    /// else says that.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn enter_mesh(&self, charter: &Statement, inviter_at: &[String]) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        let family = self.family(family::META)?;
        batch.put_cf(family, MESH, charter.bytes());
        batch.put_cf(family, INVITER_AT, inviter_at.join("\n"));
        self.write_synced(batch)
    }

    /// Where whoever invited this node into its mesh was then.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn inviter_at(&self) -> Result<Vec<String>, StoreError> {
        let found = self.db.get_cf(self.family(family::META)?, INVITER_AT);
        let Some(bytes) = found.map_err(|error| self.database(error))? else { return Ok(Vec::new()) };
        let text = String::from_utf8(bytes);
        let text = text.map_err(|_| StoreError::Damaged("the addresses of an invitation".into()))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// The charter statement of the mesh that this node takes part in.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn mesh(&self) -> Result<Option<(MeshId, Charter, Statement)>, StoreError> {
        let bytes = self.db.get_cf(self.family(family::META)?, MESH).map_err(|error| self.database(error))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let damaged = |error: String| StoreError::Damaged(format!("the mesh's charter: {error}"));
        let statement = Statement::parse(bytes).map_err(|error| damaged(error.to_string()))?;
        match Payload::decode(statement.header().kind, statement.payload()) {
            Ok(Payload::Charter(charter)) => Ok(Some((MeshId::from(statement.id()), charter, statement))),
            Ok(_) => Err(damaged("another kind of statement".into())),
            Err(error) => Err(damaged(error.to_string())),
        }
    }
}

impl EvidenceSource for Store {
    fn find(&self, id: &StatementId) -> Option<(OrganisationId, Position, Statement)> {
        let placed = self.statement(id).ok()??;
        Some((placed.organisation, placed.position, placed.statement))
    }
}

impl EdgeSource for Store {
    type Error = StoreError;

    fn upstream(&self, node: &SubjectKey) -> Result<Vec<Edge>, StoreError> {
        self.edges(FROM, node)
    }

    fn downstream(&self, node: &SubjectKey) -> Result<Vec<Edge>, StoreError> {
        let mut found = self.edges(TO, node)?;
        found.extend(self.edges(TO_OF_DECISION, node)?);
        found.sort();
        Ok(found)
    }
}

/// The edges over which evidence is found: all but those that decisions assert, which lead to none. What a decision costs
/// does not depend on how many there were.
#[derive(Clone, Copy)]
pub struct EvidenceEdges<'a>(pub &'a Store);

impl EdgeSource for EvidenceEdges<'_> {
    type Error = StoreError;

    fn upstream(&self, node: &SubjectKey) -> Result<Vec<Edge>, StoreError> {
        self.0.edges(FROM, node)
    }

    fn downstream(&self, node: &SubjectKey) -> Result<Vec<Edge>, StoreError> {
        self.0.edges(TO, node)
    }
}

impl EvidenceSource for EvidenceEdges<'_> {
    fn find(&self, id: &StatementId) -> Option<(OrganisationId, Position, Statement)> {
        self.0.find(id)
    }
}
