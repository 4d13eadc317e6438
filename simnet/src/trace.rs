//! What happened, as one digest over everything and, where wanted, as lines for people. Two runs of one plan give the same.

use counterfoil_federation::Millis;

/// The record of a run.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    hasher: blake3::Hasher,
    events: u64,
    lines: Vec<String>,
    keeps: bool,
}

impl Trace {
    /// Keeps lines from now on, besides digesting them.
    pub const fn keep_lines(&mut self) {
        self.keeps = true;
    }

    /// Takes in numbers: what kind of thing happened, when, and to whom.
    pub fn mix(&mut self, numbers: [u64; 5]) {
        self.events += 1;
        for number in numbers {
            self.hasher.update(&number.to_le_bytes());
        }
    }

    /// Takes in bytes that somebody sent.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// Takes in a line.
    pub fn note(&mut self, now: Millis, line: &str) {
        self.events += 1;
        self.hasher.update(line.as_bytes());
        if self.keeps {
            self.lines.push(format!("{:>9.3} {line}", now.since(crate::clock::START) as f64 / 1000.0));
        }
    }

    /// The lines so far.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Things that happened.
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// The digest of everything so far, in hexadecimal.
    pub fn digest(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }
}
