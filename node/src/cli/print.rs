//! How the command line speaks: short ticked lines for people, one JSON value for programs.

use std::io::{IsTerminal as _, Write as _};

use counterfoil_protocol::ids::Timestamp;
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

    /// An answer in a form that was asked for by name.
    pub fn raw(self, text: impl AsRef<str>) {
        line(text.as_ref());
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
pub(super) fn time(at: Timestamp) -> String {
    let at = i64::try_from(at.0).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
    at.map_or_else(|| "the end of time".into(), |at| at.to_string())
}

/// A date (its first second in UTC) or RFC 3339 time as a second.
///
/// # Errors
/// What is wrong with the text.
pub(super) fn parse_time(text: &str) -> anyhow::Result<Timestamp> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let at: jiff::Timestamp = whole
        .parse()
        .map_err(|error| anyhow::anyhow!("{text:?} is no date or time such as 2026-11-23: {error}"))?;
    let seconds = u64::try_from(at.as_second());
    Ok(Timestamp(seconds.map_err(|_| anyhow::anyhow!("{text:?} lies before 1970"))?))
}

/// `A..B`; a date as the end means its last second.
pub(super) fn period(text: &str) -> Result<(Timestamp, Timestamp), String> {
    let (first, last) = text.split_once("..").ok_or("a period is A..B, such as 2026-11-01..2026-11-30")?;
    let first = parse_time(first).map_err(|error| error.to_string())?;
    let end = parse_time(last).map_err(|error| error.to_string())?;
    let end = if last.len() == 10 { end.plus(86_399) } else { end };
    if first > end { Err(format!("{text:?} ends before it begins")) } else { Ok((first, end)) }
}

/// The part of an id that people copy.
pub(super) fn short(id: &impl ToString) -> String {
    id.to_string().chars().take(15).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_read_and_written() {
        assert_eq!(parse_time("2026-11-23").unwrap(), parse_time("2026-11-23T00:00:00Z").unwrap());
        assert_eq!(time(parse_time("2026-11-23T12:30:00+01:00").unwrap()), "2026-11-23T11:30:00Z");
        for wrong in ["yesterday", "2026-13-01", "1969-12-31"] {
            assert!(parse_time(wrong).unwrap_err().to_string().contains(wrong));
        }
    }
}
