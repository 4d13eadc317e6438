//! Recognition: which foreign authorities an organisation accepts, for which claims, and what their terms are in its own.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::identity::credential::pattern_matches;
use crate::ids::{OrganisationId, StatementId};
use crate::limits::{LABEL_BYTES_MAX, TERMS_MAX};
use crate::observation::claim::is_claim_type;
use crate::weighting::Ppm;

/// Accepts authorities of another organisation for some claims. Roles and claims are in the other's terms, as its
/// statements have them; a term that is mapped is accepted, and read as the own one.
///
/// Of several that cover a role and claim the latest in the chain decides, so a later one may narrow, re-map or take
/// back what an earlier one accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recognition {
    /// The other organisation.
    pub organisation: OrganisationId,
    /// Claim types, as patterns.
    pub claims: Vec<String>,
    /// Roles, as patterns; none, and none mapped, means any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Own roles by the other's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub role_map: BTreeMap<String, String>,
    /// Own claim types by the other's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claim_map: BTreeMap<String, String>,
    /// The most that an authority recognised here counts for in the dimension of authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority_cap: Option<Ppm>,
    /// Whether it takes back, for the roles and claims that it covers, what earlier ones accepted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
}

/// A foreign term, and the own one that it is read as.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// As the other organisation says it.
    pub foreign: String,
    /// As the deciding one does.
    pub own: String,
}

/// What a recognition made of a statement's terms.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Translation {
    /// The recognition.
    pub by: StatementId,
    /// The signer's role, where that is mapped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Term>,
    /// The claim, where that is mapped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Term>,
}

/// Why a recognition is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecognitionError {
    /// It covers nothing.
    #[error("a recognition names or maps at least one claim")]
    NoClaim,
    /// Too many patterns or mapped terms.
    #[error("{0} roles and claims, more than the {TERMS_MAX} of one recognition")]
    TooMany(usize),
    /// A role is empty or too long.
    #[error("a role has 1 to {LABEL_BYTES_MAX} bytes")]
    Role,
    /// A mapped claim is no claim type.
    #[error(
        "{0:?} is no claim type: lower-case words of letters, digits, '-', '_' and '.', separated by '/'"
    )]
    Claim(String),
    /// What is taken back is neither mapped nor capped.
    #[error("a recognition that is withdrawn maps and caps nothing")]
    Withdrawn,
}

impl Recognition {
    /// Accepts any role of `organisation` for these claims, in its own terms.
    pub fn of(organisation: OrganisationId, claims: Vec<String>) -> Self {
        Self {
            organisation,
            claims,
            roles: Vec::new(),
            role_map: BTreeMap::new(),
            claim_map: BTreeMap::new(),
            authority_cap: None,
            withdrawn: false,
        }
    }

    /// Checks what the type alone cannot say.
    ///
    /// # Errors
    /// [`RecognitionError`].
    pub fn check(&self) -> Result<(), RecognitionError> {
        let count = self.claims.len() + self.roles.len() + self.role_map.len() + self.claim_map.len();
        if self.claims.is_empty() && self.claim_map.is_empty() {
            return Err(RecognitionError::NoClaim);
        }
        if count > TERMS_MAX {
            return Err(RecognitionError::TooMany(count));
        }
        let is_label = |label: &String| !label.is_empty() && label.len() <= LABEL_BYTES_MAX;
        let mapped = self.role_map.iter().flat_map(|(foreign, own)| [foreign, own]);
        if !self.roles.iter().chain(mapped).chain(&self.claims).all(is_label) {
            return Err(RecognitionError::Role);
        }
        let mut mapped = self.claim_map.iter().flat_map(|(foreign, own)| [foreign, own]);
        if let Some(wrong) = mapped.find(|claim| !is_claim_type(claim)) {
            return Err(RecognitionError::Claim(wrong.chars().take(80).collect()));
        }
        let maps = !self.role_map.is_empty() || !self.claim_map.is_empty() || self.authority_cap.is_some();
        if self.withdrawn && maps {
            return Err(RecognitionError::Withdrawn);
        }
        Ok(())
    }

    /// Whether it speaks about `role` of its organisation and `claim`, both in that organisation's terms.
    pub fn covers(&self, role: &str, claim: &str) -> bool {
        let any_role = self.roles.is_empty() && self.role_map.is_empty();
        let is_named = |patterns: &[String], text| patterns.iter().any(|p| pattern_matches(p, text));
        (is_named(&self.claims, claim) || self.claim_map.contains_key(claim))
            && (any_role || is_named(&self.roles, role) || self.role_map.contains_key(role))
    }

    /// Whether the organisation of these recognitions, in chain order, may say something that is read as one of `claims`
    /// by one of `roles`: patterns in the own terms, where no roles mean any.
    ///
    /// One term is tried of each kind that patterns and names tell apart.
    pub fn may_count(recognitions: &[Self], claims: &[String], roles: &[String]) -> bool {
        let any = ["*".to_owned()];
        let asked = if roles.is_empty() { &any[..] } else { roles };
        recognitions.iter().enumerate().filter(|(_, one)| !one.withdrawn).any(|(at, one)| {
            let later = recognitions.get(at + 1..).unwrap_or_default();
            let said = read_as(claims, &one.claims, &one.claim_map);
            let mut speakers = read_as(asked, &one.roles, &one.role_map).into_iter();
            speakers.any(|role| {
                let is_latest = |claim: &String| {
                    one.covers(&role, claim) && !later.iter().any(|other| other.covers(&role, claim))
                };
                said.iter().any(is_latest)
            })
        })
    }

    /// What it makes of a role and a claim; nothing where it maps neither.
    pub fn translate(&self, by: StatementId, role: &str, claim: &str) -> Option<Translation> {
        let term = |map: &BTreeMap<String, String>, foreign: &str| {
            map.get(foreign).map(|own| Term { foreign: foreign.to_owned(), own: own.clone() })
        };
        let (role, claim) = (term(&self.role_map, role), term(&self.claim_map, claim));
        (role.is_some() || claim.is_some()).then_some(Translation { by, role, claim })
    }
}

/// How a term goes on that begins like a pattern, and that no longer pattern matches: like no label does.
const ONWARD: char = char::MAX;

/// Terms of each kind that these patterns and names tell apart, of those that are read as what is asked.
fn read_as(asked: &[String], patterns: &[String], names: &BTreeMap<String, String>) -> BTreeSet<String> {
    let term = |pattern: &String| match pattern.strip_suffix('*') {
        Some(beginning) => format!("{beginning}{ONWARD}"),
        None => pattern.clone(),
    };
    let all = asked.iter().chain(patterns).map(term).chain(names.keys().cloned());
    all.filter(|term| {
        let own = names.get(term).unwrap_or(term);
        asked.iter().any(|pattern| pattern_matches(pattern, own))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognition() -> Recognition {
        Recognition {
            role_map: BTreeMap::from([("prüfstelle".into(), "conformity-assessor".into())]),
            claim_map: BTreeMap::from([("bewertung/konformitaet".into(), "assessment/conformity".into())]),
            ..Recognition::of(OrganisationId::from_bytes([1; 32]), vec!["test/*".into()])
        }
    }

    #[test]
    fn mapped_terms_are_covered_and_read_as_the_own_ones() {
        let found = recognition();
        assert_eq!(found.check(), Ok(()));
        assert!(found.covers("prüfstelle", "test/a"));
        assert!(found.covers("prüfstelle", "bewertung/konformitaet"));
        assert!(!found.covers("labor", "test/a"), "a role that is mapped is named; others are not");
        assert!(!found.covers("prüfstelle", "audit/a"));
        let by = StatementId::from_bytes([2; 32]);
        let both = found.translate(by, "prüfstelle", "bewertung/konformitaet").unwrap();
        assert_eq!(both.role.unwrap().own, "conformity-assessor");
        assert_eq!(both.claim.unwrap().own, "assessment/conformity");
        assert_eq!(found.translate(by, "prüfstelle", "test/a").unwrap().claim, None);
        assert_eq!(found.translate(by, "labor", "test/a"), None);
    }

    #[test]
    fn what_says_nothing_or_too_much_is_refused() {
        let plain = Recognition::of(OrganisationId::from_bytes([1; 32]), vec!["a/*".into()]);
        assert_eq!(plain.check(), Ok(()));
        let with = |change: fn(&mut Recognition)| {
            let mut changed = recognition();
            change(&mut changed);
            changed.check()
        };
        let nothing = |r: &mut Recognition| (r.claims.clear(), r.claim_map.clear()).1;
        assert_eq!(with(nothing), Err(RecognitionError::NoClaim));
        assert_eq!(
            with(|r| r.roles = vec!["r".into(); TERMS_MAX]),
            Err(RecognitionError::TooMany(TERMS_MAX + 3))
        );
        assert_eq!(with(|r| r.roles.push(String::new())), Err(RecognitionError::Role));
        let capital = |r: &mut Recognition| drop(r.claim_map.insert("a".into(), "A".into()));
        assert_eq!(with(capital), Err(RecognitionError::Claim("A".into())));
        assert_eq!(with(|r| r.withdrawn = true), Err(RecognitionError::Withdrawn));
        assert_eq!(Recognition { withdrawn: true, ..plain }.check(), Ok(()));
    }
}
