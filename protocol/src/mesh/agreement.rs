//! Agreements: what two or more organisations let cross between them, and which of them are in force.
//!
//! One organisation proposes, by an `agreement` statement in its chain; each other party accepts it by an `acceptance` in
//! its own. It is in force when all have accepted and none has withdrawn since, from its first to its last second. All of
//! these are standing statements, so nobody can show one without the others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::identity::credential::pattern_matches;
use crate::ids::{OrganisationId, Position, StatementId, Timestamp};
use crate::limits::{LABEL_BYTES_MAX, PARTIES_MAX, TERMS_MAX};
use crate::observation::Subject;
use crate::statement::{Kind, Payload, Statement, Verified, Visibility};

/// Lets statements cross between its parties.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Agreement {
    /// The organisations, in the order of their ids, whoever proposes it among them.
    pub parties: Vec<OrganisationId>,
    /// Kinds of statements that may cross.
    pub kinds: Vec<Kind>,
    /// Subjects that they may be about, as patterns; none means any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// Jurisdictions, one of which their signer has to act in; none means any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jurisdictions: Vec<String>,
    /// The first second in which it is in force.
    pub from: Timestamp,
    /// The last one; none means until somebody withdraws.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Seconds within which a link under it is to be answered; the charter's where none are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_answer_s: Option<u64>,
    /// What for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub purpose: String,
}

/// A party accepts an agreement, or withdraws from it. Its latest word counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// The statement that proposes it.
    pub agreement: StatementId,
    /// Whether the party withdraws.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
}

/// Why an agreement is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgreementError {
    /// Too few parties, too many, or not in order.
    #[error("{0} parties, where 2 to {PARTIES_MAX} different ones in the order of their ids are allowed")]
    Parties(usize),
    /// No kinds, or some that everybody in the mesh sees anyway.
    #[error("an agreement names kinds of statements, and no standing ones: those are for the whole mesh")]
    Kinds,
    /// Too many patterns, or an empty or too long one.
    #[error(
        "an agreement has at most {TERMS_MAX} subjects and jurisdictions, of 1 to {LABEL_BYTES_MAX} bytes each"
    )]
    Patterns,
    /// It ends before it begins.
    #[error("it ends at {until}, before it begins at {from}")]
    Window {
        /// First second.
        from: Timestamp,
        /// Last second.
        until: Timestamp,
    },
    /// No time for an answer.
    #[error("link-answer-s must be at least 1")]
    NoTime,
}

/// Why something does not cross under an agreement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Outside {
    /// Nobody proposed it, as far as is known.
    #[error("{0} is no agreement that is known here")]
    Unknown(StatementId),
    /// An organisation is no party.
    #[error("{0} is no party to the agreement")]
    NoParty(OrganisationId),
    /// A party has not accepted it.
    #[error("{0} has not accepted the agreement")]
    NotAccepted(OrganisationId),
    /// A party has withdrawn.
    #[error("{0} has withdrawn from the agreement")]
    Withdrawn(OrganisationId),
    /// It is not in force yet.
    #[error("the agreement begins at {0}")]
    NotYet(Timestamp),
    /// It is no longer in force.
    #[error("the agreement ended at {0}")]
    Ended(Timestamp),
    /// A kind that it does not name.
    #[error("the agreement does not cover {0} statements")]
    Kind(Kind),
    /// A subject that it does not name.
    #[error("the agreement does not cover subject {0}")]
    Subject(String),
    /// Nothing says what it is about, and the agreement names subjects.
    #[error("the agreement names subjects, and the statement has none")]
    NoSubject,
    /// The signer acts elsewhere.
    #[error("the agreement does not cover the signer's jurisdictions")]
    Jurisdiction,
}

impl Outside {
    /// Whether nothing that other organisations may still say changes it.
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::Unknown(_) | Self::NotAccepted(_))
    }
}

impl Agreement {
    /// Checks what the type alone cannot say.
    ///
    /// # Errors
    /// [`AgreementError`].
    pub fn check(&self) -> Result<(), AgreementError> {
        let in_order = self.parties.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
        if self.parties.len() < 2 || self.parties.len() > PARTIES_MAX || !in_order {
            return Err(AgreementError::Parties(self.parties.len()));
        }
        let many = self.kinds.is_empty() || self.kinds.len() > Kind::ALL.len();
        if many || self.kinds.iter().any(|kind| kind.is_standing()) {
            return Err(AgreementError::Kinds);
        }
        let mut patterns = self.subjects.iter().chain(&self.jurisdictions);
        let is_label = |label: &String| !label.is_empty() && label.len() <= LABEL_BYTES_MAX;
        if self.subjects.len() + self.jurisdictions.len() > TERMS_MAX || !patterns.all(is_label) {
            return Err(AgreementError::Patterns);
        }
        if self.purpose.len() > LABEL_BYTES_MAX {
            return Err(AgreementError::Patterns);
        }
        match (self.until, self.link_answer_s) {
            (Some(until), _) if until < self.from => Err(AgreementError::Window { from: self.from, until }),
            (_, Some(0)) => Err(AgreementError::NoTime),
            _ => Ok(()),
        }
    }

    /// Whether an organisation is a party.
    pub fn has_party(&self, organisation: &OrganisationId) -> bool {
        self.parties.binary_search(organisation).is_ok()
    }

    /// Whether statements like this may cross under it: by kind and subjects.
    ///
    /// # Errors
    /// [`Outside`].
    pub fn covers(&self, statement: &Statement) -> Result<(), Outside> {
        let header = statement.header();
        if !self.kinds.contains(&header.kind) {
            return Err(Outside::Kind(header.kind));
        }
        if self.subjects.is_empty() {
            return Ok(());
        }
        let subjects = subjects(statement);
        let covers =
            |subject: &&String| self.subjects.iter().any(|pattern| pattern_matches(pattern, subject));
        match subjects.iter().find(|subject| !covers(subject)) {
            Some(other) => Err(Outside::Subject(other.chars().take(160).collect())),
            None if subjects.is_empty() => Err(Outside::NoSubject),
            None => Ok(()),
        }
    }

    /// Whether a signer who acts in these jurisdictions may let something cross.
    ///
    /// # Errors
    /// [`Outside::Jurisdiction`].
    pub fn covers_jurisdictions(&self, of_signer: &[String]) -> Result<(), Outside> {
        let any =
            self.jurisdictions.is_empty() || self.jurisdictions.iter().any(|one| of_signer.contains(one));
        if any { Ok(()) } else { Err(Outside::Jurisdiction) }
    }
}

/// What a statement is about, as texts that patterns match: what its payload names, else its primary subject.
fn subjects(statement: &Statement) -> Vec<String> {
    let keys = |subjects: &[Subject]| subjects.iter().map(|subject| subject.key().to_string()).collect();
    match Payload::decode(statement.header().kind, statement.payload()) {
        Ok(Payload::Observation(observation)) => keys(&observation.subjects),
        Ok(Payload::Decision(decision)) => keys(&decision.request.subjects),
        _ => statement.header().subject.iter().cloned().collect(),
    }
}

/// An agreement and who proposed it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Proposal {
    by: OrganisationId,
    agreement: Agreement,
}

/// A party's latest word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Word {
    position: Position,
    withdrawn: bool,
}

/// Every agreement that is known, with each party's latest word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Agreements {
    proposals: BTreeMap<StatementId, Proposal>,
    words: BTreeMap<StatementId, BTreeMap<OrganisationId, Word>>,
}

impl Agreements {
    /// The agreements that follow from these statements, in whatever order.
    pub fn of<'a>(standing: impl IntoIterator<Item = &'a Verified>) -> Self {
        let mut agreements = Self::default();
        for verified in standing {
            agreements.take(verified);
        }
        agreements
    }

    /// Takes in a verified statement. Returns whether it is one that speaks of an agreement.
    pub fn take(&mut self, verified: &Verified) -> bool {
        let organisation = verified.organisation();
        match verified.payload() {
            Payload::Agreement(agreement) => {
                let proposal = Proposal { by: organisation, agreement: (**agreement).clone() };
                self.proposals.insert(verified.id(), proposal);
                true
            }
            Payload::Acceptance(acceptance) => {
                let word = Word { position: verified.position(), withdrawn: acceptance.withdrawn };
                let words = self.words.entry(acceptance.agreement).or_default();
                let latest = words.entry(organisation).or_insert(word);
                if latest.position < word.position {
                    *latest = word;
                }
                true
            }
            _ => false,
        }
    }

    /// An agreement, in force or not, and who proposed it.
    pub fn proposed(&self, id: &StatementId) -> Option<(&Agreement, OrganisationId)> {
        self.proposals.get(id).map(|proposal| (&proposal.agreement, proposal.by))
    }

    /// Whether an organisation has accepted an agreement, or withdrawn from it.
    pub fn has_spoken(&self, id: &StatementId, organisation: &OrganisationId) -> bool {
        self.words.get(id).is_some_and(|words| words.contains_key(organisation))
    }

    /// All that are known, in force or not.
    pub fn iter(&self) -> impl Iterator<Item = (StatementId, &Agreement)> {
        self.proposals.iter().map(|(id, proposal)| (*id, &proposal.agreement))
    }

    /// The agreement, if it is in force at `time`.
    ///
    /// # Errors
    /// [`Outside`], which names who or what is missing.
    pub fn in_force(&self, id: &StatementId, time: Timestamp) -> Result<&Agreement, Outside> {
        let Proposal { by, agreement } = self.proposals.get(id).ok_or(Outside::Unknown(*id))?;
        // Whoever is no party cannot bind others.
        if !agreement.has_party(by) {
            return Err(Outside::NoParty(*by));
        }
        if let Some(until) = agreement.until.filter(|until| time > *until) {
            return Err(Outside::Ended(until));
        }
        let words = self.words.get(id);
        for party in &agreement.parties {
            match words.and_then(|words| words.get(party)) {
                Some(Word { withdrawn: true, .. }) => return Err(Outside::Withdrawn(*party)),
                None if party != by => return Err(Outside::NotAccepted(*party)),
                _ => {}
            }
        }
        if time < agreement.from { Err(Outside::NotYet(agreement.from)) } else { Ok(agreement) }
    }

    /// The agreement, if it is in force at `time` between all of these organisations.
    ///
    /// # Errors
    /// [`Outside`].
    pub fn between(
        &self,
        id: &StatementId,
        organisations: &[OrganisationId],
        time: Timestamp,
    ) -> Result<&Agreement, Outside> {
        let agreement = self.in_force(id, time)?;
        match organisations.iter().find(|organisation| !agreement.has_party(organisation)) {
            Some(other) => Err(Outside::NoParty(*other)),
            None => Ok(agreement),
        }
    }

    /// What `reader` may read at `time`.
    pub fn audience(&self, reader: OrganisationId, time: Timestamp) -> Audience {
        let in_force = self
            .iter()
            .filter(|(id, agreement)| agreement.has_party(&reader) && self.in_force(id, time).is_ok());
        let agreements = in_force.map(|(id, agreement)| (id, agreement.clone())).collect();
        Audience { reader, agreements }
    }

    /// When, after `time`, an agreement begins or ends next.
    pub fn next_change(&self, time: Timestamp) -> Option<Timestamp> {
        let edges = |agreement: &Agreement| {
            // The second after the last is the first in which it is no longer in force.
            [Some(agreement.from), agreement.until.map(|until| until.plus(1))]
        };
        self.iter().flat_map(|(_, agreement)| edges(agreement)).flatten().filter(|at| *at > time).min()
    }
}

/// One organisation as a reader: which statements it may be given.
// INVARIANT(10): nobody outside an agreement can read what is limited to it. What is given to a peer passes `may_read`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    reader: OrganisationId,
    /// Those in force to which the reader is a party.
    agreements: BTreeMap<StatementId, Agreement>,
}

impl Audience {
    /// Whether the reader may be given a statement's bytes.
    pub fn may_read(&self, statement: &Statement) -> bool {
        let author = statement.organisation();
        match statement.header().visibility {
            Visibility::Mesh => true,
            // An organisation gets its own back, when it has lost them.
            Visibility::Private | Visibility::Parties(_) if author == self.reader => true,
            Visibility::Private => false,
            Visibility::Parties(id) => self
                .agreements
                .get(&id)
                .is_some_and(|agreement| agreement.has_party(&author) && agreement.covers(statement).is_ok()),
        }
    }

    /// Agreements in force to which both the reader and `other` are parties.
    pub fn shared_with(&self, other: &OrganisationId) -> Vec<StatementId> {
        self.agreements
            .iter()
            .filter(|(_, agreement)| agreement.has_party(other))
            .map(|(id, _)| *id)
            .collect()
    }
}
