//! Reading: status, statements, the log.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use counterfoil_protocol::chain::checkpoint::verifier;
use counterfoil_protocol::chain::misbehaviour::Misbehaviour;
use counterfoil_protocol::chain::proof::Subtrees as _;
use counterfoil_protocol::chain::tile::{TilePath, bytes_of};
use counterfoil_protocol::chain::tree::{Hash, LeafDigest};
use counterfoil_protocol::chain::{CompactRange, SignedHead};
use counterfoil_protocol::codec;
use counterfoil_protocol::identity::epoch_of;
use counterfoil_protocol::ids::{
    BlobId, ByteString, HeadSeq, KeyId, MeshId, OrganisationId, Position, StatementId, Timestamp, TreeSize,
};
use counterfoil_protocol::limits::PAYLOAD_BYTES_MAX;
use counterfoil_protocol::statement::{Kind, Payload, Statement};
use serde::{Deserialize, Serialize};

use super::{Blame, Node, ServiceError, covered};
use crate::data::DOCUMENT_BYTES_MAX;
use crate::p2p::peer_id;
use crate::runtime::View;
use crate::store::StoredEntry;

/// Most nodes of one answer about lineage, and statements of one about the log.
pub const NODES_MAX: usize = 10_000;

/// How the node is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// The organisation.
    pub organisation: OrganisationId,
    /// Its name.
    pub name: String,
    /// The key that verifies its checkpoints, as a C2SP verifier key.
    pub vkey: String,
    /// The node's libp2p peer id.
    pub peer_id: String,
    /// Where the HTTP API is served.
    pub api: String,
    /// Where peers reach it.
    pub addresses: Vec<String>,
    /// Size of its chain.
    pub size: TreeSize,
    /// Root of its tree, in base32.
    pub root: Hash,
    /// Peers connected.
    pub peers: usize,
    /// How many of them a relay carries the connection with.
    #[serde(default)]
    pub relayed: usize,
    /// The mesh that it takes part in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mesh: Option<MeshId>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mesh_name: Option<String>,
    /// Whether the organisation is a member.
    pub member: bool,
    /// Cosignatures on the latest head, and how many make it witnessed.
    pub cosignatures: usize,
    /// Cosignatures that make a head witnessed.
    pub witness_quorum: usize,
    /// The own witnesses that have not signed the latest head, while it lacks a quorum.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent_witnesses: Vec<OrganisationId>,
    /// The own witnesses that were not connected for as long as the charter lets word of the present count.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub witnesses_away: BTreeSet<OrganisationId>,
    /// Chains known here, by organisation: size and seconds since they were last confirmed.
    pub chains: Vec<ChainStatus>,
    /// Why the node does not sign, if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen: Option<String>,
}

/// One chain as it is known here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChainStatus {
    /// Whose.
    pub organisation: OrganisationId,
    /// Its name.
    pub name: String,
    /// Size under its latest head.
    pub size: TreeSize,
    /// Root of its tree under that head, in base32.
    pub root: Hash,
    /// Size under the latest head that was heard of.
    pub heard: TreeSize,
    /// Entries between the two, which are not here yet.
    pub missing: u64,
    /// Cosignatures on the head that is here.
    pub cosignatures: usize,
    /// Organisations that witness the chain.
    pub witnesses: Vec<OrganisationId>,
    /// Seconds since the head was last confirmed.
    pub seen_s: u64,
    /// Messages about it that were dropped because they were too many.
    pub limited: u64,
    /// Whether it is known to have signed contradicting heads.
    pub misbehaved: bool,
    /// Which epoch of its chain key its latest head is of.
    #[serde(default)]
    pub epoch: u64,
    /// Why its new epoch is not followed, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_followed: Option<String>,
}

/// One connected peer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PeerView {
    /// Its libp2p peer id.
    pub peer_id: String,
    /// The organisation that it speaks for, once it has proven that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organisation: Option<OrganisationId>,
    /// That organisation's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it is, or the relay that carries the connection, as a multiaddress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Whether a relay carries the connection.
    #[serde(default)]
    pub relayed: bool,
    /// Whether its side has let this organisation in.
    pub admitted_there: bool,
    /// Points lost.
    pub penalty: u32,
    /// Requests and messages of it that were dropped because they were too many.
    pub limited: u64,
}

/// A statement for people and programs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatementView {
    /// Its id.
    pub statement: StatementId,
    /// Whose chain it stands in.
    pub organisation: OrganisationId,
    /// That organisation's name.
    pub name: String,
    /// Where.
    pub position: Position,
    /// Its kind.
    pub kind: Kind,
    /// Who signed: the authority's role, or `root`.
    pub signed_by: String,
    /// The key that signed.
    pub key: KeyId,
    /// When its author says that it was made: a label.
    pub issued_at: Timestamp,
    /// Not before: its chain had embedded what witnesses had seen at this second.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub not_before: Option<Timestamp>,
    /// Not after: a quorum of witnesses had seen at this second a tree that holds it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub not_after: Option<Timestamp>,
    /// Primary subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Statements that it depends on.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub refs: Vec<StatementId>,
    /// Who may read it.
    pub visibility: String,
    /// What it says.
    pub payload: serde_json::Value,
    /// One line for people.
    pub summary: String,
}

/// A proof that an organisation signed contradicting heads.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ForkView {
    /// The organisation.
    pub organisation: OrganisationId,
    /// Its name.
    pub name: String,
    /// What it signed.
    pub how: String,
    /// The two things that it signed.
    pub signed: Vec<SignedView>,
    /// The proof, which verifies from its own bytes.
    pub proof: ByteString,
}

/// A head or checkpoint that contradicts another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedView {
    /// Number of statements under it.
    pub size: TreeSize,
    /// Root over them, in base64 as checkpoints have it.
    pub root: String,
    /// Which head it was, where the proof holds heads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<HeadSeq>,
}

/// Which statements are wanted from the log.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogQuery {
    /// Of whose chain; the own one where nobody is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// Of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Issued at or after this second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Signed by the authority with this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// From this position on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// At most so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

impl Node {
    /// How the node is.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn status(&self) -> Result<Status, ServiceError> {
        let view = self.view()?;
        let (me, state) = (self.organisation(), self.runtime.state());
        let own = view.chains.get(&me);
        let head = own.and_then(|own| own.head());
        let peer = {
            let keys = self.keys.read().unwrap_or_else(std::sync::PoisonError::into_inner);
            self.data.key(&keys, super::binding::PEER)?
        };
        use counterfoil_protocol::keys::Signer as _;
        let root =
            |head: Option<&SignedHead>| head.map_or_else(|| CompactRange::default().root(), SignedHead::root);
        let membership = view.membership.as_ref();
        let witnesses = |chain: &OrganisationId| {
            membership.map(|mesh| mesh.now().electorate().witnesses(chain)).unwrap_or_default()
        };
        let chains = view.chains.iter().map(|(id, replica)| {
            let size = covered(&view, id);
            let heard = view.heard.get(id).copied().unwrap_or(size).max(size);
            ChainStatus {
                organisation: *id,
                name: replica.state().description().name.clone(),
                size,
                root: root(replica.head()),
                heard,
                missing: heard.0 - size.0,
                cosignatures: replica.cosignatures().len(),
                witnesses: witnesses(id),
                seen_s: if *id == me { 0 } else { view.now.since(replica.seen) / 1000 },
                limited: view.limited.get(id).copied().unwrap_or_default(),
                misbehaved: view.misbehaved.contains(id),
                epoch: replica.head().map_or(0, |head| epoch_of(head.seq())),
                not_followed: view.not_followed.get(id).cloned(),
            }
        });
        let reached = view.peers.iter().filter_map(|peer| self.reach(&peer.key));
        let quorum = membership.map_or(0, |membership| membership.witness_quorum(&me));
        let silent_witnesses = match own.filter(|own| own.cosignatures().len() < quorum) {
            Some(own) => {
                let signed = own.cosignatures();
                witnesses(&me).into_iter().filter(|witness| !signed.contains_key(witness)).collect()
            }
            None => Vec::new(),
        };
        Ok(Status {
            organisation: me,
            name: state.description().name.clone(),
            vkey: verifier(&me, state.description().chain_key).map(|key| key.to_string()).unwrap_or_default(),
            peer_id: peer_id(&peer.public_key())?.to_string(),
            api: self.config().api.clone(),
            addresses: self.addresses().iter().map(ToString::to_string).collect(),
            size: head.map_or(TreeSize(0), |head| head.size()),
            root: root(head),
            peers: view.peers.len(),
            relayed: reached.filter(|reach| reach.is_relayed).count(),
            mesh: membership.map(|membership| membership.mesh()),
            mesh_name: membership.map(|membership| membership.charter().name.clone()),
            member: membership.is_some_and(|membership| membership.contains(&me)),
            cosignatures: own.map_or(0, |own| own.cosignatures().len()),
            witness_quorum: quorum,
            silent_witnesses,
            witnesses_away: view.witnesses_away.clone(),
            chains: chains.collect(),
            frozen: view.frozen.clone(),
        })
    }

    /// Connected peers.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn peers(&self) -> Result<Vec<PeerView>, ServiceError> {
        let view = self.view()?;
        let names = Self::names(&view);
        view.peers
            .iter()
            .map(|peer| {
                let reach = self.reach(&peer.key);
                Ok(PeerView {
                    relayed: reach.as_ref().is_some_and(|reach| reach.is_relayed),
                    address: reach.map(|reach| reach.address.to_string()),
                    peer_id: peer_id(&peer.key)?.to_string(),
                    organisation: peer.organisation,
                    name: peer.organisation.and_then(|id| names.get(&id).cloned()),
                    admitted_there: peer.admitted_there,
                    penalty: peer.penalty,
                    limited: peer.limited,
                })
            })
            .collect()
    }

    /// Proofs that organisations signed contradicting heads.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn forks(&self) -> Result<Vec<ForkView>, ServiceError> {
        let view = self.view()?;
        view.misbehaved.iter().map(|organisation| self.fork(organisation)).collect()
    }

    /// The proof that this organisation signed contradicting heads.
    ///
    /// # Errors
    /// [`ServiceError`] when there is none.
    pub fn fork(&self, organisation: &OrganisationId) -> Result<ForkView, ServiceError> {
        let bytes = self.store().misbehaviour(organisation)?;
        let absent = || ServiceError::absent(format!("no proof against {organisation} is here"));
        let bytes = bytes.ok_or_else(absent)?;
        let damaged = |error: String| ServiceError::new(Blame::Node, "misbehaviour", error);
        let proof = Misbehaviour::parse(&bytes).map_err(|error| damaged(error.to_string()))?;
        let conviction = proof.convict().map_err(|error| damaged(error.to_string()))?;
        let names = Self::names(&self.view()?);
        let signed = conviction.signed.iter().map(|signed| SignedView {
            size: signed.size,
            root: STANDARD.encode(signed.root.0),
            seq: signed.seq,
        });
        Ok(ForkView {
            organisation: *organisation,
            name: names.get(organisation).cloned().unwrap_or_default(),
            how: conviction.how.to_string(),
            signed: signed.collect(),
            proof: ByteString(bytes),
        })
    }

    pub(crate) fn kind_at(
        &self,
        organisation: &OrganisationId,
        position: Position,
    ) -> Result<Option<Kind>, ServiceError> {
        Ok(match self.store().entry(organisation, position)? {
            Some(StoredEntry::Statement(bytes)) => {
                Statement::parse(bytes).ok().map(|statement| statement.header().kind)
            }
            Some(StoredEntry::Withheld(_)) | None => None,
        })
    }

    /// A tile of the own chain, which is known to exist: hashes, or entries with their lengths of two bytes, big endian.
    pub(crate) fn tile(&self, path: &TilePath) -> Result<Vec<u8>, ServiceError> {
        let (own, first) = (self.organisation(), path.index.saturating_mul(256));
        let places = first..first.saturating_add(u64::from(path.width));
        let absent = || ServiceError::absent("there is no such tile");
        let Some(level) = path.level else {
            let mut bytes = Vec::new();
            for position in places {
                let digest = match self.store().entry(&own, Position(position))? {
                    Some(StoredEntry::Statement(bytes)) => LeafDigest::of(&bytes),
                    Some(StoredEntry::Withheld(digest)) => digest,
                    None => return Err(absent()),
                };
                bytes.extend_from_slice(&32u16.to_be_bytes());
                bytes.extend_from_slice(&digest.0);
            }
            return Ok(bytes);
        };
        let chain = self.store().chain(own);
        let hashes: Option<Vec<Hash>> =
            places.map(|index| chain.subtree(u32::from(level) * 8, index)).collect();
        Ok(bytes_of(&hashes.ok_or_else(absent)?))
    }

    /// Keeps a document beside the chain, by its digest.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn keep_document(&self, bytes: &[u8]) -> Result<BlobId, ServiceError> {
        if bytes.len() > DOCUMENT_BYTES_MAX {
            let text = format!("a document has at most {DOCUMENT_BYTES_MAX} bytes, this has {}", bytes.len());
            return Err(ServiceError::caller("size", text));
        }
        Ok(self.data.keep_document(bytes)?)
    }

    /// A statement.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn show(&self, id: &StatementId) -> Result<StatementView, ServiceError> {
        let (placed, view) = (self.placed(id)?, self.view()?);
        let bounds = self.bounds(&view, &placed.organisation, placed.position)?;
        let shown = statement_view(&view, placed.organisation, placed.position, &placed.statement);
        Ok(StatementView { not_before: bounds.not_before, not_after: bounds.not_after, ..shown })
    }

    /// A statement's bytes.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn raw(&self, id: &StatementId) -> Result<Vec<u8>, ServiceError> {
        Ok(self.placed(id)?.statement.bytes().to_vec())
    }

    /// Statements of a chain in order.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn log(&self, query: &LogQuery) -> Result<Vec<StatementView>, ServiceError> {
        let view = self.view()?;
        let organisation = match &query.organisation {
            Some(text) => self.find_organisation(text)?,
            None => self.organisation(),
        };
        let (from, limit) = (query.from.unwrap_or(0), query.limit.unwrap_or(1000).min(NODES_MAX));
        let mut found = Vec::new();
        for position in from..covered(&view, &organisation).0 {
            if found.len() == limit {
                break;
            }
            let position = Position(position);
            let Some(StoredEntry::Statement(bytes)) = self.store().entry(&organisation, position)? else {
                continue;
            };
            let Ok(statement) = Statement::parse(bytes) else { continue };
            let header = statement.header();
            if query.kind.is_some_and(|kind| kind != header.kind)
                || query.since.is_some_and(|since| header.issued_at.0 < since)
            {
                continue;
            }
            let one = statement_view(&view, organisation, position, &statement);
            if query.authority.as_ref().is_none_or(|role| *role == one.signed_by) {
                found.push(one);
            }
        }
        Ok(found)
    }
}

pub(super) fn statement_view(
    view: &View,
    organisation: OrganisationId,
    position: Position,
    statement: &Statement,
) -> StatementView {
    let header = statement.header();
    let replica = view.chains.get(&organisation);
    let signed_by = replica.map_or_else(String::new, |replica| {
        let state = replica.state();
        let role = state
            .authority_of(&header.key)
            .and_then(|authority| state.authorities().get(&authority))
            .map(|record| record.credential.role.clone());
        role.unwrap_or_else(|| "root".into())
    });
    let payload = Payload::decode(header.kind, statement.payload());
    StatementView {
        statement: statement.id(),
        organisation,
        name: replica.map(|replica| replica.state().description().name.clone()).unwrap_or_default(),
        position,
        kind: header.kind,
        signed_by,
        key: header.key,
        issued_at: header.issued_at,
        not_before: None,
        not_after: None,
        subject: header.subject.clone(),
        refs: header.refs.clone(),
        visibility: header.visibility.name().into(),
        summary: payload.as_ref().map(summary).unwrap_or_default(),
        payload: payload.as_ref().map_or(serde_json::Value::Null, payload_json),
    }
}

/// One line that says what a payload says.
fn summary(payload: &Payload) -> String {
    match payload {
        Payload::Organisation(organisation, _) => match &organisation.recovery {
            Some(recovery) => format!(
                "{} version {} recovers from lost heads with a new chain key: {}",
                organisation.name, organisation.version, recovery.reason
            ),
            None => format!("{} version {}", organisation.name, organisation.version),
        },
        Payload::Credential(credential, _) => format!("credential for {}", credential.role),
        Payload::Revocation(revocation, _) => {
            format!("revokes {}: {}", revocation.authority, revocation.reason)
        }
        Payload::Suspension(suspension, _) => {
            let what = if suspension.lifted { "lifts the suspension of" } else { "suspends" };
            format!("{what} {}: {}", suspension.authority, suspension.reason)
        }
        Payload::Status(status) => {
            format!("{} revoked, {} suspended", status.revoked.len(), status.suspended.len())
        }
        Payload::Node(binding) => format!("binds peer key {}", binding.peer_key.id()),
        Payload::Charter(charter) => format!("founds mesh {:?}", charter.name),
        Payload::Join(join) => format!("asks to join {}", join.mesh),
        Payload::Amendment(amendment) => format!("votes for version {} of the terms", amendment.version),
        Payload::Invitation(invitation) => match invitation.organisation {
            Some(organisation) => format!("invites {organisation}"),
            None => "invites whoever shows this".into(),
        },
        Payload::Leave(leave) => format!("leaves {}", leave.mesh),
        Payload::Admission(admission) => {
            format!("votes {:?} on {}", admission.ballot, admission.organisation)
        }
        Payload::Recognition(recognition) => {
            let mut claims = recognition.claims.clone();
            claims.extend(recognition.claim_map.iter().map(|(foreign, own)| format!("{foreign} as {own}")));
            let what = if recognition.withdrawn { "recognises no more" } else { "recognises" };
            format!("{what} {} for {}", recognition.organisation, claims.join(", "))
        }
        Payload::Agreement(agreement) => {
            let kinds: Vec<&str> = agreement.kinds.iter().map(|kind| kind.name()).collect();
            format!("proposes to {} parties: {}", agreement.parties.len(), kinds.join(", "))
        }
        Payload::Acceptance(acceptance) => {
            let what = if acceptance.withdrawn { "withdraws from" } else { "accepts" };
            format!("{what} {}", acceptance.agreement)
        }
        Payload::Observation(observation) => {
            let subject = observation.subjects.first().map(ToString::to_string).unwrap_or_default();
            format!("{} about {subject}", observation.claim)
        }
        Payload::Link(link) => format!("{} {}", link.relation.name(), link.target.statement),
        Payload::Counterfoil(counterfoil) => {
            format!("answers {}: {:?}", counterfoil.link, counterfoil.answer)
        }
        Payload::Anchor(anchor) => format!("anchors {} heads", anchor.heads.len()),
        Payload::Profile(profile) => format!("declares {} version {}", profile.id, profile.version),
        Payload::Activation(activation) => format!("activates {} profiles", activation.profiles.len()),
        Payload::Approval(activation) => {
            format!("stands behind the activation of {} profiles", activation.profiles.len())
        }
        Payload::Decision(decision) => format!("{} for {}", decision.mode, decision.request.action),
        Payload::Permit(permit) => format!("{} for {}", permit.mode, permit.actuator),
        Payload::Effect(effect) => format!("effect with {} mismatches", effect.mismatches.len()),
        Payload::Nonconformity(nonconformity) => nonconformity.finding.clone(),
        Payload::ActionClass(class) => format!("declares {} {}", class.action, class.reversibility.name()),
        Payload::HarmOrdering(ordering) => format!("orders the harm of {}", ordering.jurisdiction),
        Payload::Override(overriding) => {
            format!("overrides for {}: {}", overriding.action, overriding.reason)
        }
        Payload::CorrectiveAction(action) => {
            let what = if action.closes { "closes" } else { "acts on" };
            format!("{what} {}: {}", action.nonconformity, action.action)
        }
        Payload::Recall(recall) => format!("recalls {}: {}", recall.statement, recall.reason),
        Payload::Acknowledgement(acknowledgement) => {
            let (decisions, permits) = (acknowledgement.decisions.len(), acknowledgement.permits.len());
            format!(
                "acknowledges {}: {decisions} decisions, {permits} permits touched",
                acknowledgement.recall
            )
        }
    }
}

/// A payload for programs: ids as texts, bytes as base32, a decision's verdict opened.
fn payload_json(payload: &Payload) -> serde_json::Value {
    let json = match payload {
        Payload::Organisation(organisation, _) => serde_json::to_value(organisation),
        Payload::Credential(credential, _) => serde_json::to_value(credential),
        Payload::Revocation(revocation, _) => serde_json::to_value(revocation),
        Payload::Suspension(suspension, _) => serde_json::to_value(suspension),
        Payload::Status(status) => serde_json::to_value(status),
        Payload::Node(binding) => serde_json::to_value(binding),
        Payload::Charter(charter) => serde_json::to_value(charter),
        Payload::Join(join) => serde_json::to_value(join),
        Payload::Amendment(amendment) => serde_json::to_value(amendment),
        Payload::Invitation(invitation) => serde_json::to_value(invitation),
        Payload::Leave(leave) => serde_json::to_value(leave),
        Payload::Admission(admission) => serde_json::to_value(admission),
        Payload::Recognition(recognition) => serde_json::to_value(recognition),
        Payload::Agreement(agreement) => serde_json::to_value(agreement),
        Payload::Acceptance(acceptance) => serde_json::to_value(acceptance),
        Payload::Observation(observation) => serde_json::to_value(observation),
        Payload::Link(link) => serde_json::to_value(link),
        Payload::Counterfoil(counterfoil) => serde_json::to_value(counterfoil),
        Payload::Anchor(anchor) => serde_json::to_value(anchor),
        Payload::Profile(profile) => serde_json::to_value(profile),
        Payload::Activation(activation) | Payload::Approval(activation) => serde_json::to_value(activation),
        Payload::Decision(decision) => serde_json::to_value(decision).map(|mut json| {
            let verdict: Result<counterfoil_protocol::admissibility::Verdict, _> =
                codec::decode(&decision.verdict.0, PAYLOAD_BYTES_MAX);
            if let (Some(object), Ok(Ok(verdict))) = (json.as_object_mut(), verdict.map(serde_json::to_value))
            {
                object.insert("verdict".into(), verdict);
            }
            json
        }),
        Payload::Permit(permit) => {
            let fields: BTreeMap<&str, serde_json::Value> = BTreeMap::from([
                ("decision", permit.decision.to_string().into()),
                ("mode", permit.mode.name().into()),
                ("scopes", serde_json::to_value(&permit.scopes).unwrap_or_default()),
                ("actuator", permit.actuator.clone().into()),
                ("not_before", permit.not_before.0.into()),
                ("expires", permit.expires.0.into()),
                ("effect_by", permit.effect_by.0.into()),
                ("token", serde_json::to_value(&permit.token).unwrap_or_default()),
                ("stage", serde_json::to_value(permit.stage).unwrap_or_default()),
            ]);
            serde_json::to_value(fields)
        }
        Payload::Effect(effect) => serde_json::to_value(effect),
        Payload::Nonconformity(nonconformity) => serde_json::to_value(nonconformity),
        Payload::ActionClass(class) => serde_json::to_value(class),
        Payload::HarmOrdering(ordering) => serde_json::to_value(ordering),
        Payload::Override(overriding) => serde_json::to_value(overriding),
        Payload::CorrectiveAction(action) => serde_json::to_value(action),
        Payload::Recall(recall) => serde_json::to_value(recall),
        Payload::Acknowledgement(acknowledgement) => serde_json::to_value(acknowledgement),
    };
    json.unwrap_or_default()
}
