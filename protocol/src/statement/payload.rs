//! The payload of each statement kind, and the checks that the payload alone allows.

use crate::actuation::{
    ActionClass, ActionClassError, CorrectionError, CorrectiveAction, Effect, HarmOrdering,
    HarmOrderingError, Nonconformity, Override, OverrideRefusal, Permit,
};
use crate::admissibility::{Activation, Decision, Profile};
use crate::chain::anchor::{Anchor, AnchorError};
use crate::codec::{self, CodecError};
use crate::identity::{
    Credential, CredentialError, NodeBinding, Organisation, OrganisationError, Recovery, Revocation, Status,
    Suspension,
};
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::lineage::{Acknowledgement, Recall};
use crate::mesh::{
    Acceptance, Admission, Agreement, AgreementError, Amendment, Charter, CharterError, Counterfoil,
    Invitation, Join, Leave, Link, LinkError, Recognition, RecognitionError,
};
use crate::observation::{Observation, ObservationError};

use super::approval::Endorsed;
use super::kind::Kind;

/// What a statement says, by kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// Inception or next version of an organisation.
    Organisation(Box<Organisation>, Endorsed),
    /// A credential.
    Credential(Box<Credential>, Endorsed),
    /// A revocation.
    Revocation(Revocation, Endorsed),
    /// A suspension, or its end.
    Suspension(Suspension, Endorsed),
    /// A list of those who are revoked or suspended.
    Status(Status),
    /// A node binding.
    Node(Box<NodeBinding>),
    /// A charter.
    Charter(Charter),
    /// A wish to join.
    Join(Join),
    /// A vote.
    Admission(Admission),
    /// A vote for new terms.
    Amendment(Amendment),
    /// An invitation.
    Invitation(Invitation),
    /// A departure.
    Leave(Leave),
    /// A recognition.
    Recognition(Box<Recognition>),
    /// An agreement.
    Agreement(Box<Agreement>),
    /// An acceptance of an agreement.
    Acceptance(Acceptance),
    /// An observation.
    Observation(Box<Observation>),
    /// A link.
    Link(Box<Link>),
    /// A counterfoil.
    Counterfoil(Box<Counterfoil>),
    /// An anchor.
    Anchor(Anchor),
    /// A profile.
    Profile(Box<Profile>),
    /// An activation of profiles.
    Activation(Activation),
    /// A declaration about a class of actions.
    ActionClass(Box<ActionClass>),
    /// An ordering of kinds of harm.
    HarmOrdering(HarmOrdering),
    /// An override.
    Override(Override),
    /// A decision.
    Decision(Box<Decision>),
    /// A permit.
    Permit(Box<Permit>),
    /// An effect report.
    Effect(Effect),
    /// A nonconformity.
    Nonconformity(Nonconformity),
    /// A corrective action.
    CorrectiveAction(CorrectiveAction),
    /// A recall.
    Recall(Recall),
    /// An acknowledgement of a recall.
    Acknowledgement(Acknowledgement),
    /// An approval of just this activation.
    Approval(Activation),
}

/// Why a payload is not valid for its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Not strict CBOR of the right shape.
    #[error("{0}")]
    Codec(#[from] CodecError),
    /// See the inner error.
    #[error("organisation: {0}")]
    Organisation(#[from] OrganisationError),
    /// See the inner error.
    #[error("credential: {0}")]
    Credential(#[from] CredentialError),
    /// See the inner error.
    #[error("charter: {0}")]
    Charter(#[from] CharterError),
    /// See the inner error.
    #[error("observation: {0}")]
    Observation(#[from] ObservationError),
    /// See the inner error.
    #[error("agreement: {0}")]
    Agreement(#[from] AgreementError),
    /// See the inner error.
    #[error("recognition: {0}")]
    Recognition(#[from] RecognitionError),
    /// See the inner error.
    #[error("link: {0}")]
    Link(#[from] LinkError),
    /// See the inner error.
    #[error("anchor: {0}")]
    Anchor(#[from] AnchorError),
    /// See the text.
    #[error("profile: {0}")]
    Profile(String),
    /// See the inner error.
    #[error("action class: {0}")]
    ActionClass(#[from] ActionClassError),
    /// See the inner error.
    #[error("harm ordering: {0}")]
    HarmOrdering(#[from] HarmOrderingError),
    /// See the inner error.
    #[error("override: {0}")]
    Override(#[from] OverrideRefusal),
    /// See the inner error.
    #[error("corrective action: {0}")]
    CorrectiveAction(#[from] CorrectionError),
    /// See the text.
    #[error("permit: {0}")]
    Permit(String),
}

impl Payload {
    /// Decodes and checks the payload of a statement of this kind.
    ///
    /// # Errors
    /// [`PayloadError`].
    pub fn decode(kind: Kind, bytes: &[u8]) -> Result<Self, PayloadError> {
        fn read<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
            codec::decode(bytes, PAYLOAD_BYTES_MAX)
        }
        Ok(match kind {
            Kind::Organisation => {
                let endorsed: Endorsed = read(bytes)?;
                let organisation: Organisation = endorsed.content()?;
                organisation.check()?;
                Self::Organisation(Box::new(organisation), endorsed)
            }
            Kind::Credential => {
                let endorsed: Endorsed = read(bytes)?;
                let credential: Credential = endorsed.content()?;
                credential.check()?;
                Self::Credential(Box::new(credential), endorsed)
            }
            Kind::Revocation => {
                let endorsed: Endorsed = read(bytes)?;
                Self::Revocation(endorsed.content()?, endorsed)
            }
            Kind::Suspension => {
                let endorsed: Endorsed = read(bytes)?;
                Self::Suspension(endorsed.content()?, endorsed)
            }
            Kind::Status => Self::Status(read(bytes)?),
            Kind::Node => Self::Node(read(bytes)?),
            Kind::Charter => {
                let charter: Charter = read(bytes)?;
                charter.check()?;
                Self::Charter(charter)
            }
            Kind::Join => Self::Join(read(bytes)?),
            Kind::Admission => Self::Admission(read(bytes)?),
            Kind::Amendment => {
                let amendment: Amendment = read(bytes)?;
                amendment.terms.check()?;
                Self::Amendment(amendment)
            }
            Kind::Invitation => Self::Invitation(read(bytes)?),
            Kind::Leave => Self::Leave(read(bytes)?),
            Kind::Recognition => {
                let recognition: Recognition = read(bytes)?;
                recognition.check()?;
                Self::Recognition(Box::new(recognition))
            }
            Kind::Agreement => {
                let agreement: Agreement = read(bytes)?;
                agreement.check()?;
                Self::Agreement(Box::new(agreement))
            }
            Kind::Acceptance => Self::Acceptance(read(bytes)?),
            Kind::Observation => {
                let observation: Observation = read(bytes)?;
                observation.check()?;
                Self::Observation(Box::new(observation))
            }
            Kind::Link => {
                let link: Link = read(bytes)?;
                link.check()?;
                Self::Link(Box::new(link))
            }
            Kind::Counterfoil => {
                let counterfoil: Counterfoil = read(bytes)?;
                counterfoil.check()?;
                Self::Counterfoil(Box::new(counterfoil))
            }
            Kind::Anchor => {
                let anchor: Anchor = read(bytes)?;
                anchor.check()?;
                Self::Anchor(anchor)
            }
            Kind::Profile => {
                let profile: Profile = read(bytes)?;
                profile.check().map_err(|e| PayloadError::Profile(e.to_string()))?;
                Self::Profile(Box::new(profile))
            }
            Kind::Activation => Self::Activation(read(bytes)?),
            Kind::ActionClass => {
                let class: ActionClass = read(bytes)?;
                class.check()?;
                Self::ActionClass(Box::new(class))
            }
            Kind::HarmOrdering => {
                let ordering: HarmOrdering = read(bytes)?;
                ordering.check()?;
                Self::HarmOrdering(ordering)
            }
            Kind::Override => {
                let overriding: Override = read(bytes)?;
                overriding.check()?;
                Self::Override(overriding)
            }
            Kind::Decision => Self::Decision(read(bytes)?),
            Kind::Permit => {
                let permit = Permit::from_claims(bytes).map_err(|e| PayloadError::Permit(e.to_string()))?;
                Self::Permit(Box::new(permit))
            }
            Kind::Effect => Self::Effect(read(bytes)?),
            Kind::Nonconformity => Self::Nonconformity(read(bytes)?),
            Kind::CorrectiveAction => {
                let action: CorrectiveAction = read(bytes)?;
                action.check()?;
                Self::CorrectiveAction(action)
            }
            Kind::Recall => Self::Recall(read(bytes)?),
            Kind::Acknowledgement => Self::Acknowledgement(read(bytes)?),
            Kind::Approval => Self::Approval(read(bytes)?),
        })
    }

    /// The recovery that it records, where it does.
    pub fn recovery(&self) -> Option<&Recovery> {
        match self {
            Self::Organisation(organisation, _) => organisation.recovery.as_deref(),
            _ => None,
        }
    }

    /// The claim type, which scopes limit, where the kind has one.
    pub fn claim(&self) -> Option<&str> {
        match self {
            Self::Observation(observation) => Some(&observation.claim),
            _ => None,
        }
    }
}
