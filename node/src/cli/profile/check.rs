//! `profile check`: everything that is wrong with a profile's file, each with its line.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use counterfoil_protocol::admissibility::Profile;
use counterfoil_protocol::admissibility::source::{Remark, Severity};

use crate::cli::Context;
use crate::cli::print::Out;

/// Reads a profile, and says what is wrong with it.
///
/// # Errors
/// When the file cannot be read, or is no valid profile.
pub(super) fn read(out: Out, file: &Path) -> anyhow::Result<(String, Profile)> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let reading = Profile::read(&text);
    if reading.profile.is_none() {
        tell(out, file, &reading.remarks);
    }
    let profile = reading.profile.with_context(|| format!("{} is no valid profile", file.display()))?;
    Ok((text, profile))
}

/// Says what is wrong with a file, line by line.
pub(super) fn tell(out: Out, file: &Path, remarks: &[Remark]) {
    for remark in remarks {
        let what = told(file, remark);
        match remark.severity {
            Severity::Error => out.bad(what),
            Severity::Warning => out.unknown(what),
        }
        if let Some(excerpt) = remark.excerpt() {
            excerpt.lines().for_each(|line| out.detail(line));
        }
    }
}

/// What is wrong, with its place, in one line.
pub(super) fn told(file: &Path, remark: &Remark) -> String {
    let place = remark.at.as_ref().map(|at| format!(":{}:{}", at.line, at.column)).unwrap_or_default();
    format!("{}{place}: {} [{}]", file.display(), remark.text, remark.check)
}

/// Checks profiles without a node.
///
/// # Errors
/// When one is not valid.
pub(super) fn check(context: &Context, files: &[PathBuf]) -> anyhow::Result<()> {
    let (mut found, mut broken) = (Vec::new(), 0);
    for file in files {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let reading = Profile::read(&text);
        if let Some(profile) = &reading.profile {
            let count = profile.requirements.len();
            context.out.done(format!(
                "{}: {} version {}, {count} requirements",
                file.display(),
                profile.id,
                profile.version
            ));
        } else {
            broken += 1;
        }
        tell(context.out, file, &reading.remarks);
        found.push(serde_json::json!({
            "file": file,
            "profile": reading.profile.as_ref().map(|profile| &profile.id),
            "valid": reading.profile.is_some(),
            "remarks": reading.remarks,
        }));
    }
    context.out.value(&found)?;
    if broken > 0 {
        bail!("{broken} of {} profiles are not valid", files.len());
    }
    Ok(())
}
