//! The four modes of actuation.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What may happen, from all to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// All that was requested.
    Continue,
    /// The admitted part of what was requested.
    Partial,
    /// Nothing yet; the verdict says what is missing.
    Defer,
    /// Nothing.
    Refuse,
}

impl Mode {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Partial => "partial",
            Self::Defer => "defer",
            Self::Refuse => "refuse",
        }
    }

    /// The mode with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Continue, Self::Partial, Self::Defer, Self::Refuse]
            .into_iter()
            .find(|mode| mode.name() == name)
    }

    /// The exit code of a command that ends in this mode.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Continue => 0,
            Self::Partial => 10,
            Self::Defer => 11,
            Self::Refuse => 12,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
