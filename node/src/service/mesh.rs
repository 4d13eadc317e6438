//! Taking part in a mesh: founding it, inviting, joining, voting.

use counterfoil_federation::Input;
use counterfoil_protocol::ids::{ByteString, MeshId, OrganisationId, StatementId};
use counterfoil_protocol::mesh::membership::Proposal;
use counterfoil_protocol::mesh::{
    Admission, Amendment, Ballot, Charter, Invitation, Join, Leave, Letter, OnFork, Recognition, Terms,
};
use counterfoil_protocol::statement::{Kind, Statement};
use data_encoding::HEXLOWER;
use libp2p::Multiaddr;
use serde::{Deserialize, Serialize};

use super::say::{Said, Say};
use super::{Blame, Node, ServiceError};
use crate::p2p::reachable;

/// The terms in force, and what is voted for in their place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TermsView {
    /// Which version is in force; the charter's own terms are version 0.
    pub version: u64,
    /// The terms.
    pub terms: Terms,
    /// Votes that other terms need.
    pub needed: usize,
    /// Terms that are voted for.
    pub proposals: Vec<ProposalView>,
}

/// Terms that are voted for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProposalView {
    /// Names what is voted for: BLAKE3 in hexadecimal.
    pub digest: String,
    /// The terms.
    pub terms: Terms,
    /// Members that vote for them.
    pub votes: Vec<OrganisationId>,
}

/// Other terms that are wished for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermsWish {
    /// The beginning of a proposal's digest, to vote for that; nothing else is given then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agree: Option<String>,
    /// Votes that an admission needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admission_threshold: Option<u16>,
    /// Votes that other terms need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amendment_threshold: Option<u16>,
    /// Cosignatures that make a head witnessed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness_quorum: Option<u16>,
    /// Most witnesses of one chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witnesses: Option<u16>,
    /// Seconds beyond which a head says nothing about the present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freshness_s: Option<u64>,
    /// Seconds within which a link is to be answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_answer_s: Option<u64>,
    /// What becomes of a member that forked its chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_fork: Option<OnFork>,
}

/// A mesh that was founded or entered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MeshEntered {
    /// The mesh.
    pub mesh: MeshId,
    /// Its name.
    pub name: String,
    /// The own statement that says so: the charter, or the wish to join.
    pub statement: StatementId,
    /// Whether the own organisation is a member already.
    pub member: bool,
    /// Who invited it, where it was invited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invited_by: Option<OrganisationId>,
}

/// One member, or one that was or asks to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MemberView {
    /// The organisation.
    pub organisation: OrganisationId,
    /// Its name, where its chain is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it is a member.
    pub member: bool,
    /// Whether it was one, and left or was put out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub former: bool,
    /// Those that vote for it, where it was not a founder.
    pub votes: Vec<OrganisationId>,
    /// Those that vote for putting it out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub against: Vec<OrganisationId>,
    /// How many votes it takes to let it in or put it out.
    pub needed: usize,
    /// Whether a peer of it is connected.
    pub connected: bool,
    /// Whether it is known to have signed contradicting heads.
    pub misbehaved: bool,
    /// The member whose invitation it has shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invited_by: Option<OrganisationId>,
}

impl Node {
    /// Founds a mesh by a charter in the own chain.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn found_mesh(&self, mut charter: Charter) -> Result<MeshEntered, ServiceError> {
        self.ensure_outside()?;
        if !charter.members.contains(&self.organisation()) {
            charter.members.insert(0, self.organisation());
        }
        charter.check().map_err(|error| ServiceError::caller("charter", error.to_string()))?;
        let said = self.say(Say::new(Kind::Charter, &charter)?)?;
        let statement = self.placed(&said.statement)?.statement;
        let mesh = self.enter(&statement, &charter, Vec::new())?;
        Ok(MeshEntered {
            mesh,
            name: charter.name,
            statement: said.statement,
            member: true,
            invited_by: None,
        })
    }

    fn ensure_outside(&self) -> Result<(), ServiceError> {
        match self.store().mesh()? {
            None => Ok(()),
            Some((mesh, charter, _)) => {
                let text = format!("this node takes part in {:?} ({mesh}) already", charter.name);
                Err(ServiceError::refused("mesh", text))
            }
        }
    }

    fn enter(
        &self,
        statement: &Statement,
        charter: &Charter,
        dial: Vec<Multiaddr>,
    ) -> Result<MeshId, ServiceError> {
        let mesh = MeshId::from(statement.id());
        let inviter_at: Vec<String> = dial.iter().map(ToString::to_string).collect();
        self.store().enter_mesh(statement, &inviter_at)?;
        self.runtime.input(Input::EnterMesh { mesh, charter: charter.clone() })?;
        self.listen(dial)?;
        Ok(mesh)
    }

    /// Invites an organisation, or whoever shows the letter, for some seconds: says so in the own chain, and gives the
    /// letter that proves it. It admits nobody; members vote.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn invite(&self, invited: Option<OrganisationId>, valid_s: u64) -> Result<String, ServiceError> {
        let Some((mesh, _, charter)) = self.store().mesh()? else {
            let text = "this node takes part in no mesh yet; found one with `mesh create`";
            return Err(ServiceError::refused("mesh", text));
        };
        let invitation = Invitation { mesh, organisation: invited, expires: self.now().plus(valid_s) };
        let said = self.say(Say::new(Kind::Invitation, &invitation)?)?;
        let proof = self.receipt(&said.statement)?;
        let view = self.view()?;
        let own = view.chains.get(&self.organisation());
        let inception = own.map(|own| own.inception().to_vec()).unwrap_or_default();
        let letter = Letter {
            charter: ByteString(charter.bytes().to_vec()),
            inception: ByteString(inception),
            invitation: ByteString(self.raw(&said.statement)?),
            receipt: proof.receipt,
            checkpoint: proof.checkpoint,
            addresses: reachable(self.addresses()).iter().map(ToString::to_string).take(32).collect(),
        };
        letter.to_text().map_err(|error| ServiceError::new(Blame::Node, "invitation", error.to_string()))
    }

    /// Enters the mesh of an invitation, and says so in the own chain.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn join(&self, invitation: &str) -> Result<MeshEntered, ServiceError> {
        self.ensure_outside()?;
        let wrong = |text: String| ServiceError::caller("invitation", text);
        let letter = Letter::parse(invitation).map_err(|error| wrong(error.to_string()))?;
        let invited =
            letter.check(&self.organisation(), self.now()).map_err(|error| wrong(error.to_string()))?;
        let dial = letter
            .addresses
            .iter()
            .map(|text| text.parse().map_err(|error| wrong(format!("address {text}: {error}"))))
            .collect::<Result<Vec<Multiaddr>, _>>()?;
        let statement = Statement::parse(invited.statement).map_err(|error| wrong(error.to_string()))?;
        let join = Join { mesh: invited.mesh, invitation: Some(invited.invitation) };
        let said = self.say(Say::new(Kind::Join, &join)?)?;
        let mesh = self.enter(&statement, &invited.charter, dial)?;
        let member = invited.charter.members.contains(&self.organisation());
        let (name, invited_by) = (invited.charter.name, Some(invited.by));
        Ok(MeshEntered { mesh, name, statement: said.statement, member, invited_by })
    }

    /// Leaves the mesh, at once. To come back, the organisation is voted for again.
    ///
    /// # Errors
    /// [`ServiceError`] when this node takes part in none, or is no member.
    pub fn leave(&self) -> Result<Said, ServiceError> {
        let view = self.view()?;
        let Some(membership) = &view.membership else {
            return Err(ServiceError::refused("mesh", "this node takes part in no mesh"));
        };
        if !membership.contains(&self.organisation()) {
            return Err(ServiceError::refused("member", "this organisation is no member of the mesh"));
        }
        self.say(Say::new(Kind::Leave, &Leave { mesh: membership.mesh() })?)
    }

    /// The terms in force, and what is voted for in their place.
    ///
    /// # Errors
    /// [`ServiceError`] when this node takes part in no mesh.
    pub fn terms(&self) -> Result<TermsView, ServiceError> {
        let view = self.view()?;
        let Some(membership) = &view.membership else {
            return Err(ServiceError::refused("mesh", "this node takes part in no mesh yet"));
        };
        let proposal = |one: Proposal| ProposalView {
            digest: HEXLOWER.encode(&one.digest),
            terms: one.terms,
            votes: one.votes,
        };
        Ok(TermsView {
            version: membership.now().version(),
            terms: membership.charter().terms(),
            needed: membership.amendment_threshold(),
            proposals: membership.proposals().into_iter().map(proposal).collect(),
        })
    }

    /// Votes for other terms: for those of a proposal, or for the ones in force with some changes.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn amend(&self, wish: &TermsWish) -> Result<Said, ServiceError> {
        let current = self.terms()?;
        let mut terms = current.terms;
        if let Some(digest) = &wish.agree {
            let mut meant = current.proposals.iter().filter(|one| one.digest.starts_with(digest.as_str()));
            terms = match (meant.next(), meant.next()) {
                (Some(one), None) => one.terms,
                (None, _) => {
                    return Err(ServiceError::absent(format!(
                        "no proposal begins with {digest:?}; see `mesh terms`"
                    )));
                }
                _ => {
                    return Err(ServiceError::caller(
                        "id",
                        format!("{digest:?} is ambiguous; give more of it"),
                    ));
                }
            };
        }
        terms.admission_threshold = wish.admission_threshold.unwrap_or(terms.admission_threshold);
        terms.amendment_threshold = wish.amendment_threshold.or(terms.amendment_threshold);
        terms.witness_quorum = wish.witness_quorum.unwrap_or(terms.witness_quorum);
        terms.witnesses = wish.witnesses.or(terms.witnesses);
        terms.freshness_s = wish.freshness_s.unwrap_or(terms.freshness_s);
        terms.link_answer_s = wish.link_answer_s.unwrap_or(terms.link_answer_s);
        terms.on_fork = wish.on_fork.unwrap_or(terms.on_fork);
        if terms == current.terms {
            return Err(ServiceError::caller(
                "terms",
                "these are the terms in force; name what is to change",
            ));
        }
        terms.check().map_err(|error| ServiceError::caller("terms", error.to_string()))?;
        let Some((mesh, ..)) = self.store().mesh()? else {
            return Err(ServiceError::refused("mesh", "this node takes part in no mesh yet"));
        };
        let version = current.version.saturating_add(1);
        self.say(Say::new(Kind::Amendment, &Amendment { mesh, version, terms })?)
    }

    /// Votes about an organisation. A vote for one that has left names its departure.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn vote(&self, organisation: OrganisationId, ballot: Ballot) -> Result<Said, ServiceError> {
        let view = self.view()?;
        let Some(membership) = &view.membership else {
            return Err(ServiceError::refused("mesh", "this node takes part in no mesh yet"));
        };
        let after = membership.departure(&organisation).filter(|_| ballot == Ballot::Admit);
        self.say(Say::new(
            Kind::Admission,
            &Admission { mesh: membership.mesh(), organisation, ballot, after },
        )?)
    }

    /// Accepts authorities of another organisation for some claims, reads their terms as own ones, or takes that back.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn recognise(&self, recognition: &Recognition) -> Result<Said, ServiceError> {
        self.say(Say::new(Kind::Recognition, recognition)?)
    }

    /// Members, those that were, and those that ask to be.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn members(&self) -> Result<Vec<MemberView>, ServiceError> {
        let view = self.view()?;
        let Some(membership) = &view.membership else { return Ok(Vec::new()) };
        let names = Self::names(&view);
        let mut all: Vec<OrganisationId> = membership.members().to_vec();
        all.extend(membership.now().admitted());
        all.extend(membership.candidates());
        all.extend(view.candidates.iter().copied());
        let mut seen = std::collections::BTreeSet::new();
        all.retain(|organisation| seen.insert(*organisation));
        let member = |organisation: OrganisationId| MemberView {
            organisation,
            name: names.get(&organisation).cloned(),
            member: membership.contains(&organisation),
            former: membership.has_admitted(&organisation) && !membership.contains(&organisation),
            votes: membership.voted(&organisation, Ballot::Admit),
            against: membership.voted(&organisation, Ballot::Expel),
            needed: membership.threshold(),
            connected: view.peers.iter().any(|peer| peer.organisation == Some(organisation)),
            misbehaved: view.misbehaved.contains(&organisation),
            invited_by: view
                .invited
                .get(&organisation)
                .and_then(|id| membership.invitation(id))
                .map(|(by, _)| by),
        };
        Ok(all.into_iter().map(member).collect())
    }
}
