//! From evidence to its weight vector, step by step.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::corroboration;
use super::recency::half_life;
use super::vector::{Dimension, Ppm, Step, Weight};
use crate::admissibility::{Evidence, ReceiptStanding, RecognitionStanding};
use crate::identity::{AuthorityKind, Standing};
use crate::ids::Timestamp;
use crate::observation::{Metric, SourceSignature};

/// How a profile reads one quality metric: at `floor` or below it is worth nothing, at `target` or above everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rubric {
    /// Parts per million at which quality is 0.
    pub floor: i64,
    /// Parts per million at which quality is full. Below the floor when less is better.
    pub target: i64,
}

impl Rubric {
    /// The quality of a metric's value, linear between floor and target.
    pub fn quality(&self, ppm: i64) -> Ppm {
        let span = i128::from(self.target) - i128::from(self.floor);
        let reached = i128::from(ppm) - i128::from(self.floor);
        if span == 0 {
            return if ppm >= self.target { Ppm::FULL } else { Ppm::ZERO };
        }
        let parts = reached.saturating_mul(1_000_000) / span;
        Ppm::new(u32::try_from(parts.clamp(0, 1_000_000)).unwrap_or_default())
    }
}

/// A weight with its derivation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weighed {
    /// The vector.
    pub weight: Weight,
    /// The steps, dimension by dimension.
    pub derivation: Derivation,
}

/// The steps that led to a weight. What was found is kept as numbers, and put into words when somebody reads it: most
/// derivations are never read.
#[derive(Clone)]
pub struct Derivation(Steps);

#[derive(Clone)]
enum Steps {
    /// As they were read.
    Read(Vec<Step>),
    /// As they follow from what was weighed.
    Weighed {
        steady: Arc<Steady>,
        age_s: u64,
        recency: Ppm,
        /// How many pieces of evidence from how many independent sources say the same, with what that comes to.
        together: Option<(usize, usize, Ppm)>,
    },
}

impl Derivation {
    /// The steps, in words.
    pub fn steps(&self) -> Cow<'_, [Step]> {
        let (steady, age_s, recency, together) = match &self.0 {
            Steps::Read(steps) => return Cow::Borrowed(steps),
            Steps::Weighed { steady, age_s, recency, together } => (steady, *age_s, *recency, *together),
        };
        let step = |dimension, (found, value): &(Cow<'static, str>, Ppm)| Step {
            dimension,
            found: found.clone(),
            value: *value,
        };
        let age = Found::new().number(age_s).text(" s old, half-life ").number(steady.half_life_s).text(" s");
        let mut steps = Vec::with_capacity(6);
        steps.push(step(Dimension::Quality, &steady.quality));
        steps.push(step(Dimension::Provenance, &steady.provenance));
        steps.push(step(Dimension::Recency, &(age.done(), recency)));
        steps.push(step(Dimension::Authority, &steady.authority));
        steps.push(step(Dimension::Corroboration, &("by itself".into(), corroboration::weight(1))));
        if let Some((pieces, sources, value)) = together {
            let found = format!("{pieces} pieces of evidence from {sources} independent sources");
            steps.push(step(Dimension::Corroboration, &(found.into(), value)));
        }
        Cow::Owned(steps)
    }
}

impl From<Vec<Step>> for Derivation {
    fn from(steps: Vec<Step>) -> Self {
        Self(Steps::Read(steps))
    }
}

impl fmt::Debug for Derivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.steps().iter()).finish()
    }
}

impl PartialEq for Derivation {
    fn eq(&self, other: &Self) -> bool {
        self.steps() == other.steps()
    }
}

impl Eq for Derivation {}

impl Serialize for Derivation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.steps().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Derivation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
}

/// What a piece of evidence is worth as far as that does not depend on when somebody asks.
pub(crate) struct Steady {
    quality: (Cow<'static, str>, Ppm),
    provenance: (Cow<'static, str>, Ppm),
    authority: (Cow<'static, str>, Ppm),
    effective: Timestamp,
    half_life_s: u64,
}

impl Steady {
    pub(crate) fn of(evidence: &Evidence, half_life_s: u64, rubric: &BTreeMap<String, Rubric>) -> Arc<Self> {
        Arc::new(Self {
            quality: quality(&evidence.observation.metrics, rubric),
            provenance: provenance(evidence),
            authority: authority(evidence),
            effective: evidence.observation.effective,
            half_life_s,
        })
    }

    /// The weight at `time`. Corroboration depends on what else there is: it starts with this piece alone.
    pub(crate) fn weigh(self: &Arc<Self>, time: Timestamp) -> Weighed {
        let age_s = time.since(self.effective);
        let recency = half_life(age_s, self.half_life_s);
        let weight = Weight {
            quality: self.quality.1,
            provenance: self.provenance.1,
            recency,
            authority: self.authority.1,
            corroboration: corroboration::weight(1),
        };
        let steps = Steps::Weighed { steady: Arc::clone(self), age_s, recency, together: None };
        Weighed { weight, derivation: Derivation(steps) }
    }
}

impl Weighed {
    /// It is one of so many pieces of evidence from so many independent sources.
    pub(crate) fn corroborate(&mut self, pieces: usize, sources: usize) {
        let value = corroboration::weight(sources);
        self.weight.corroboration = value;
        if let Steps::Weighed { together, .. } = &mut self.derivation.0 {
            *together = Some((pieces, sources, value));
        }
    }
}

/// Weighs one piece of evidence, by itself.
pub fn weigh(
    evidence: &Evidence,
    time: Timestamp,
    half_life_s: u64,
    rubric: &BTreeMap<String, Rubric>,
) -> Weighed {
    Steady::of(evidence, half_life_s, rubric).weigh(time)
}

/// The worst of the metrics that the rubric knows; full when it asks for none.
fn quality(metrics: &[Metric], rubric: &BTreeMap<String, Rubric>) -> (Cow<'static, str>, Ppm) {
    if rubric.is_empty() {
        return ("the profile declares no rubric".into(), Ppm::FULL);
    }
    let rated = metrics.iter().filter_map(|metric| {
        let rubric = rubric.get(&metric.name)?;
        Some((rubric.quality(metric.ppm), metric))
    });
    match rated.min_by(|(a, x), (b, y)| (a, &x.name, x.ppm).cmp(&(b, &y.name, y.ppm))) {
        Some((quality, metric)) => (format!("{} is {} ppm", metric.name, metric.ppm).into(), quality),
        None => ("none of the rubric's metrics is declared".into(), Ppm::FULL),
    }
}

/// The ladder of proven origin. An imported document stands no higher than its own signature allows.
fn provenance(evidence: &Evidence) -> (Cow<'static, str>, Ppm) {
    let (how, statement) = match (&evidence.recognition, &evidence.receipt) {
        (RecognitionStanding::Unrecognised, _) => ("signed by an unrecognised authority", 200_000),
        (_, ReceiptStanding::None) => ("signed by a recognised authority", 500_000),
        (_, ReceiptStanding::Receipted) => ("recognised and in a chain", 800_000),
        (_, ReceiptStanding::Witnessed { .. }) => {
            ("recognised, in a chain, witnessed by a quorum", 1_000_000)
        }
    };
    let (document, limit) = match evidence.observation.source.as_ref().map(|source| source.signature) {
        None => ("first-hand", 1_000_000),
        Some(SourceSignature::Unsigned) => ("its document is not signed", 600_000),
        Some(SourceSignature::Unverified) => ("its document's signature is not verified", 650_000),
        Some(SourceSignature::Verified) => ("its document's signature is verified", 950_000),
        Some(SourceSignature::VerifiedAndLogged) => ("its document is verified and logged", 1_000_000),
    };
    (Found::new().text(how).text("; ").text(document).done(), Ppm::new(statement.min(limit)))
}

/// By kind, less a tenth for each level of delegation, and no more than a recognition lets it count for; nothing when the
/// credential is not in force.
fn authority(evidence: &Evidence) -> (Cow<'static, str>, Ppm) {
    if evidence.standing != Standing::InForce {
        return (format!("its credential is {}", evidence.standing).into(), Ppm::ZERO);
    }
    let (kind, base) = match evidence.kind {
        AuthorityKind::HumanRole => ("human role", 1_000_000u32),
        AuthorityKind::ExternalBody => ("external body", 1_000_000),
        AuthorityKind::Service => ("service", 800_000),
        AuthorityKind::Sensor => ("sensor", 800_000),
        AuthorityKind::Model => ("model", 600_000),
    };
    let value = Ppm::new(base.saturating_sub(base / 10 * u32::from(evidence.depth)));
    let found = Found::new().text(kind).text(" ").text(&evidence.role).text(", ");
    let found = found.number(evidence.depth.into()).text(" levels below the root");
    match evidence.crossing.authority_cap {
        Some(cap) if cap < value => (found.text(", capped by its recognition").done(), cap),
        _ => (found.done(), value),
    }
}

/// Puts a step's words together: decisions write so many of them that the formatter's ways would cost as much as all the
/// rest.
struct Found(String);

impl Found {
    fn new() -> Self {
        Self(String::with_capacity(64))
    }

    fn text(mut self, text: &str) -> Self {
        self.0.push_str(text);
        self
    }

    fn number(mut self, mut number: u64) -> Self {
        let mut digits = [0u8; 20];
        let mut length = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
            length += 1;
            if number == 0 {
                break;
            }
        }
        let (_, written) = digits.split_at(digits.len() - length);
        self.0.push_str(str::from_utf8(written).unwrap_or_default());
        self
    }

    fn done(self) -> Cow<'static, str> {
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_formatter_writes_them() {
        for number in [0, 7, 10, 99, 100, 86_400, u64::MAX] {
            assert_eq!(Found::new().number(number).done(), number.to_string());
        }
    }

    #[test]
    fn a_rubric_is_linear_in_both_directions() {
        let up = Rubric { floor: 800_000, target: 900_000 };
        let values = [700_000, 800_000, 850_000, 900_000, 990_000].map(|ppm| up.quality(ppm).get());
        assert_eq!(values, [0, 0, 500_000, 1_000_000, 1_000_000]);
        let down = Rubric { floor: 100_000, target: 0 };
        assert_eq!([200_000, 50_000, 0].map(|ppm| down.quality(ppm).get()), [0, 500_000, 1_000_000]);
        assert_eq!(Rubric { floor: i64::MIN, target: i64::MAX }.quality(i64::MAX), Ppm::FULL);
    }
}
