//! The weight vector and its derivation.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, de};

/// Parts per million, 0 to 1,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Ppm(u32);

impl Ppm {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// All of it.
    pub const FULL: Self = Self(1_000_000);

    /// `parts` of a million; what exceeds a million counts as a million.
    pub const fn new(parts: u32) -> Self {
        if parts > Self::FULL.0 { Self::FULL } else { Self(parts) }
    }

    /// The parts.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Ppm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = u32::deserialize(deserializer)?;
        if parts <= Self::FULL.0 {
            Ok(Self(parts))
        } else {
            Err(de::Error::custom(format_args!("{parts} is more than 1000000 parts per million")))
        }
    }
}

/// One component of the vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dimension {
    /// How good what was measured is, by the profile's rubric.
    Quality,
    /// How well the origin is proven.
    Provenance,
    /// How recent it is.
    Recency,
    /// How much standing its author has.
    Authority,
    /// How many independent authorities say the same.
    Corroboration,
}

impl Dimension {
    /// Every dimension.
    pub const ALL: [Self; 5] =
        [Self::Quality, Self::Provenance, Self::Recency, Self::Authority, Self::Corroboration];

    /// The name used in profiles.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quality => "quality",
            Self::Provenance => "provenance",
            Self::Recency => "recency",
            Self::Authority => "authority",
            Self::Corroboration => "corroboration",
        }
    }
}

/// A weight vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weight {
    /// See [`Dimension::Quality`].
    pub quality: Ppm,
    /// See [`Dimension::Provenance`].
    pub provenance: Ppm,
    /// See [`Dimension::Recency`].
    pub recency: Ppm,
    /// See [`Dimension::Authority`].
    pub authority: Ppm,
    /// See [`Dimension::Corroboration`].
    pub corroboration: Ppm,
}

impl Weight {
    /// The component for a dimension.
    pub const fn component(&self, dimension: Dimension) -> Ppm {
        match dimension {
            Dimension::Quality => self.quality,
            Dimension::Provenance => self.provenance,
            Dimension::Recency => self.recency,
            Dimension::Authority => self.authority,
            Dimension::Corroboration => self.corroboration,
        }
    }

    /// The smaller of both in each component.
    #[must_use]
    pub fn min(&self, other: &Self) -> Self {
        Self {
            quality: self.quality.min(other.quality),
            provenance: self.provenance.min(other.provenance),
            recency: self.recency.min(other.recency),
            authority: self.authority.min(other.authority),
            corroboration: self.corroboration.min(other.corroboration),
        }
    }
}

/// One step of a derivation: what was looked at, what was found, what it came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The component that it is about.
    pub dimension: Dimension,
    /// What was found.
    pub found: Cow<'static, str>,
    /// The component after this step.
    pub value: Ppm,
}
