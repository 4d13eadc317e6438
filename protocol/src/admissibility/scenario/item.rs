//! Evidence as a file of cases writes it down.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, de};

use super::{DAY_S, File, Setting, fault, named};
use crate::admissibility::evidence::{
    Crossing, Evidence, Freshness, ReceiptStanding, RecognitionStanding, Relation,
};
use crate::admissibility::source::{Fault, Place, did_you_mean};
use crate::codec::Value;
use crate::identity::{AuthorityKind, Standing};
use crate::ids::{AuthorityId, BlobId, Position, StatementId, Timestamp};
use crate::lineage::EdgeKind;
use crate::observation::{Metric, Observation, Source, SourceSignature};

/// One piece of evidence; what is not said is taken from what it is like, or is plain.
#[derive(Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Item {
    pub(super) like: Option<String>,
    claim: Option<String>,
    organisation: Option<String>,
    parent: Option<String>,
    role: Option<String>,
    authority: Option<String>,
    kind: Option<AuthorityKind>,
    delegation: Option<u8>,
    standing: Option<Standing>,
    recognised: Option<bool>,
    age_days: Option<u32>,
    expires_in_days: Option<i32>,
    stale_days: Option<u32>,
    adverse: Option<bool>,
    content: Option<BTreeMap<String, Value>>,
    metrics: Option<BTreeMap<String, i64>>,
    reached: Option<Vec<EdgeKind>>,
    proof: Option<Proof>,
    document: Option<String>,
    signature: Option<SourceSignature>,
}

/// How well a statement's place in its chain is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Proof {
    None,
    Receipted,
    Witnessed,
}

#[derive(Clone)]
pub(super) enum Used {
    Name(String),
    Changed(Box<Item>),
}

impl<'de> Deserialize<'de> for Used {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Used;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of evidence, or evidence, which may be like another")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Used, E> {
                Ok(Used::Name(name.to_owned()))
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Used, A::Error> {
                let item = Item::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Used::Changed(Box::new(item)))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// An item with all that it takes from what it is like.
pub(super) fn resolve(file: &File, item: &Item, place: &Place, faults: &mut Vec<Fault>) -> Item {
    let mut whole = item.clone();
    let mut like = item.like.clone();
    // A chain of likenesses is no longer than the file has evidence, or it turns in a circle.
    for _ in 0..=file.evidence.len() {
        let Some(name) = like else { return whole };
        let Some(base) = file.evidence.get(&name) else {
            let known = did_you_mean(&name, file.evidence.keys().map(String::as_str));
            faults.push(fault(place.clone(), format!("there is no evidence {name:?}{known}")));
            return whole;
        };
        whole = whole.over(base);
        like = base.like.clone();
    }
    faults.push(fault(place.clone(), "it is like itself".into()));
    whole
}

impl Item {
    /// What a file calls `name`.
    pub(super) fn like(name: &str) -> Self {
        Self { like: Some(name.to_owned()), ..Self::default() }
    }

    /// This item, and `base` in what it does not say.
    fn over(self, base: &Self) -> Self {
        let base = base.clone();
        Self {
            like: self.like,
            claim: self.claim.or(base.claim),
            organisation: self.organisation.or(base.organisation),
            parent: self.parent.or(base.parent),
            role: self.role.or(base.role),
            authority: self.authority.or(base.authority),
            kind: self.kind.or(base.kind),
            delegation: self.delegation.or(base.delegation),
            standing: self.standing.or(base.standing),
            recognised: self.recognised.or(base.recognised),
            age_days: self.age_days.or(base.age_days),
            expires_in_days: self.expires_in_days.or(base.expires_in_days),
            stale_days: self.stale_days.or(base.stale_days),
            adverse: self.adverse.or(base.adverse),
            // Fields are changed one by one.
            content: merged(self.content, base.content),
            metrics: merged(self.metrics, base.metrics),
            reached: self.reached.or(base.reached),
            proof: self.proof.or(base.proof),
            document: self.document.or(base.document),
            signature: self.signature.or(base.signature),
        }
    }

    pub(super) fn evidence(
        &self,
        name: &str,
        place: &Place,
        setting: &Setting<'_>,
        faults: &mut Vec<Fault>,
    ) -> Evidence {
        let claim = self.claim.clone().unwrap_or_default();
        let organisation_name = self.organisation.clone().unwrap_or_else(|| "an organisation".into());
        let role = self.role.clone().unwrap_or_else(|| "authority".into());
        let authority = self.authority.clone().unwrap_or_else(|| format!("{role} of {organisation_name}"));
        let statement = StatementId::from_bytes(named("evidence", name));
        let effective =
            Timestamp(setting.time.0.saturating_sub(u64::from(self.age_days.unwrap_or(0)) * DAY_S));
        let expires = self.expires_in_days.map(|days| {
            Timestamp(setting.time.0.saturating_add_signed(i64::from(days) * 86_400).max(effective.0))
        });
        let source = (self.document.is_some() || self.signature.is_some()).then(|| Source {
            format: "scenario".into(),
            document: BlobId::from_bytes(named("document", self.document.as_deref().unwrap_or(name))),
            signature: self.signature.unwrap_or(SourceSignature::Unsigned),
            signer: None,
            witnessed: None,
            checks: Vec::new(),
        });
        let metrics = self.metrics.clone().unwrap_or_default();
        let observation = Observation {
            claim,
            subjects: setting.subjects.to_vec(),
            effective,
            expires,
            adverse: self.adverse.unwrap_or(false),
            content: self.content.clone().unwrap_or_default(),
            sealed: Vec::new(),
            metrics: metrics.into_iter().map(|(name, ppm)| Metric { name, ppm }).collect(),
            derived_from: Vec::new(),
            materials: Vec::new(),
            source,
        };
        if observation.content.values().any(has_float) {
            let text =
                format!("evidence {name:?}: content has whole numbers, in parts per million where needed");
            faults.push(fault(place.key("content"), text));
        }
        if let Err(error) = observation.check() {
            faults.push(fault(place.clone(), format!("evidence {name:?}: {error}")));
        }
        let is_recognised = self.recognised.unwrap_or(true);
        let stale = self.stale_days.map(|days| Freshness::Stale { age_s: u64::from(days) * DAY_S });
        Evidence {
            statement,
            organisation: (setting.organisation)(&organisation_name),
            position: Position(1),
            authority: authority
                .parse()
                .unwrap_or_else(|_| AuthorityId::from_bytes(named("authority", &authority))),
            kind: self.kind.unwrap_or(AuthorityKind::HumanRole),
            role,
            depth: self.delegation.unwrap_or(0),
            standing: self.standing.unwrap_or(Standing::InForce),
            observation,
            relation: match &self.reached {
                Some(edges) if !edges.is_empty() => Relation::Reached(edges.clone()),
                _ => Relation::Itself,
            },
            receipt: match self.proof {
                Some(Proof::None) => ReceiptStanding::None,
                Some(Proof::Receipted) => ReceiptStanding::Receipted,
                Some(Proof::Witnessed) | None => ReceiptStanding::Witnessed { at: setting.time },
            },
            recognition: if is_recognised {
                RecognitionStanding::Recognised(StatementId::from_bytes(named(
                    "recognition",
                    &organisation_name,
                )))
            } else {
                RecognitionStanding::Unrecognised
            },
            crossing: Crossing::default(),
            parent: self.parent.clone(),
            freshness: stale.unwrap_or(Freshness::Fresh),
        }
    }
}

fn has_float(value: &Value) -> bool {
    match value {
        Value::Float(_) => true,
        Value::Array(items) => items.iter().any(has_float),
        Value::Map(entries) => entries.iter().any(|(_, value)| has_float(value)),
        _ => false,
    }
}

fn merged<V>(
    over: Option<BTreeMap<String, V>>,
    base: Option<BTreeMap<String, V>>,
) -> Option<BTreeMap<String, V>> {
    match (over, base) {
        (Some(over), Some(mut base)) => {
            base.extend(over);
            Some(base)
        }
        (over, base) => over.or(base),
    }
}
