//! How the command line speaks: short ticked lines for people, one JSON value for programs.

use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;

/// Where answers go, and in which form.
#[derive(Debug, Clone, Copy)]
pub struct Out {
    /// One JSON value in place of lines.
    pub json: bool,
    /// No lines at all.
    pub quiet: bool,
}

impl Out {
    /// Something was done.
    pub fn done(self, text: impl AsRef<str>) {
        self.mark("✓", "32", text.as_ref());
    }

    /// Something is not as it should be.
    pub fn bad(self, text: impl AsRef<str>) {
        self.mark("✗", "31", text.as_ref());
    }

    /// Something could not be found out.
    pub fn unknown(self, text: impl AsRef<str>) {
        self.mark("?", "33", text.as_ref());
    }

    /// A line below another.
    pub fn detail(self, text: impl AsRef<str>) {
        if self.speaks() {
            line(&format!("  {}", text.as_ref()));
        }
    }

    /// A line by itself.
    pub fn line(self, text: impl AsRef<str>) {
        if self.speaks() {
            line(text.as_ref());
        }
    }

    /// What to try next.
    pub fn next(self, command: impl AsRef<str>) {
        if self.speaks() {
            line(&format!("  next: {}", command.as_ref()));
        }
    }

    /// The answer for programs.
    ///
    /// # Errors
    /// When it has no JSON form.
    pub fn value(self, value: &impl Serialize) -> anyhow::Result<()> {
        if self.json {
            line(&serde_json::to_string_pretty(value)?);
        }
        Ok(())
    }

    const fn speaks(self) -> bool {
        !self.json && !self.quiet
    }

    fn mark(self, mark: &str, colour: &str, text: &str) {
        if !self.speaks() {
            return;
        }
        // No colour when piped.
        if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
            line(&format!("\u{1b}[{colour}m{mark}\u{1b}[0m {text}"));
        } else {
            line(&format!("{mark} {text}"));
        }
    }
}

/// A reader that has gone, such as `head`, is no error.
fn line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// A second as RFC 3339.
pub(super) fn time(at: counterfoil_protocol::ids::Timestamp) -> String {
    let at = std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_secs(at.0));
    at.map_or_else(|| "the end of time".into(), |at| humantime::format_rfc3339_seconds(at).to_string())
}

/// A date or RFC 3339 time as a second.
///
/// # Errors
/// What is wrong with the text.
pub(super) fn parse_time(text: &str) -> anyhow::Result<counterfoil_protocol::ids::Timestamp> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let at = humantime::parse_rfc3339_weak(&whole)
        .map_err(|error| anyhow::anyhow!("{text:?} is no date or time such as 2026-11-23: {error}"))?;
    let seconds = at.duration_since(std::time::UNIX_EPOCH)?.as_secs();
    Ok(counterfoil_protocol::ids::Timestamp(seconds))
}

/// The part of an id that people copy.
pub(super) fn short(id: &impl ToString) -> String {
    id.to_string().chars().take(15).collect()
}
