//! The closed list of statement kinds, and who may see a statement.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::StatementId;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, standing: $standing:literal;)*) => {
        /// What a statement says. Its name stands in the content type:
        /// `application/vnd.counterfoil.<kind>+cbor`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Kind {
            $($(#[$doc])* $variant,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The kind's name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Whether statements of this kind change what others may rely on: who may sign, who is a member,
            /// which profile is active, what is withdrawn.
            ///
            /// Standing statements are visible to the whole mesh, and each head commits to all of them
            /// (see [`crate::identity::StandingDigest`]), so that none can be left out of a copy or a bundle unseen.
            pub const fn is_standing(self) -> bool {
                match self { $(Self::$variant => $standing,)* }
            }

            /// The content type of a statement of this kind.
            pub const fn content_type(self) -> &'static str {
                match self { $(Self::$variant => concat!("application/vnd.counterfoil.", $name, "+cbor"),)* }
            }
        }
    };
}

kinds! {
    /// Inception of an organisation, or its next version.
    Organisation = "organisation", standing: true;
    /// Makes a key an authority.
    Credential = "credential", standing: true;
    /// Ends a credential.
    Revocation = "revocation", standing: true;
    /// Suspends an authority, or lifts its suspension.
    Suspension = "suspension", standing: true;
    /// Lists the authorities that are revoked or suspended at a position.
    Status = "status", standing: true;
    /// Binds a libp2p peer id to the organisation.
    Node = "node", standing: true;
    /// Founds a mesh.
    Charter = "charter", standing: true;
    /// Asks for admission to a mesh.
    Join = "join", standing: true;
    /// A member's vote to admit or expel an organisation.
    Admission = "admission", standing: true;
    /// A member's vote for new terms of the charter.
    Amendment = "amendment", standing: true;
    /// A member's word that an organisation may ask for admission.
    Invitation = "invitation", standing: true;
    /// Leaves a mesh.
    Leave = "leave", standing: true;
    /// Accepts foreign authorities for named claims.
    Recognition = "recognition", standing: true;
    /// Proposes what its parties let cross between them.
    Agreement = "agreement", standing: true;
    /// Accepts an agreement, or withdraws from it.
    Acceptance = "acceptance", standing: true;
    /// Asserts a claim about subjects.
    Observation = "observation", standing: false;
    /// Refers to a statement of another organisation.
    Link = "link", standing: false;
    /// Answers a link.
    Counterfoil = "counterfoil", standing: false;
    /// Embeds other organisations' latest heads.
    Anchor = "anchor", standing: false;
    /// Declares an admissibility profile.
    Profile = "profile", standing: true;
    /// Puts a declared profile into force.
    Activation = "activation", standing: true;
    /// Declares how actions of a class are governed.
    ActionClass = "action-class", standing: true;
    /// Orders a jurisdiction's kinds of harm.
    HarmOrdering = "harm-ordering", standing: true;
    /// Lets one request go ahead in an emergency.
    Override = "override", standing: true;
    /// Records the result of evaluating profiles for a request.
    Decision = "decision", standing: false;
    /// Lets an actuator act in a decided mode.
    Permit = "permit", standing: false;
    /// Reports what happened under a permit.
    Effect = "effect", standing: false;
    /// Something that did not go as predicted or permitted.
    Nonconformity = "nonconformity", standing: false;
    /// What is done about a nonconformity.
    CorrectiveAction = "corrective-action", standing: false;
    /// Withdraws an artifact or evidence.
    Recall = "recall", standing: true;
    /// Records that a recall was received, what it touches and what was done.
    Acknowledgement = "acknowledgement", standing: false;
    /// Stands behind an activation that is to come.
    Approval = "approval", standing: true;
}

impl Kind {
    /// Whether statements of this kind say who signs for an organisation, and through which peer it is to be reached.
    pub const fn tells_who_signs(self) -> bool {
        matches!(self, Self::Organisation | Self::Credential | Self::Revocation | Self::Suspension)
            || matches!(self, Self::Node | Self::Join)
    }

    /// The kind that a content type names.
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        content_type.strip_prefix("application/vnd.counterfoil.")?.strip_suffix("+cbor")?.parse().ok()
    }
}

/// A name that is no statement kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a statement kind")]
pub struct UnknownKind(pub String);

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| UnknownKind(name.chars().take(80).collect()))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who may read a statement's bytes. Its digest is in the tree whatever this says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Visibility {
    /// Every member of the mesh.
    #[default]
    Mesh,
    /// The parties of this agreement, while it is in force.
    Parties(StatementId),
    /// Its author alone.
    Private,
}

impl Visibility {
    /// The visibility with this name; `parties` needs the agreement, and no other has one.
    pub fn named(name: &str, agreement: Option<StatementId>) -> Option<Self> {
        match (name, agreement) {
            ("mesh", None) => Some(Self::Mesh),
            ("parties", Some(agreement)) => Some(Self::Parties(agreement)),
            ("private", None) => Some(Self::Private),
            _ => None,
        }
    }

    /// The name used in headers and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mesh => "mesh",
            Self::Parties(_) => "parties",
            Self::Private => "private",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_content_types_are_read_back() {
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse(), Ok(*kind));
            assert_eq!(Kind::from_content_type(kind.content_type()), Some(*kind));
            assert_eq!(serde_json::to_string(kind).unwrap(), format!("{:?}", kind.name()));
        }
        assert_eq!(Kind::from_content_type("application/cbor"), None);
    }
}
