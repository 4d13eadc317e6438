//! `profile test`: the cases beside a profile.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use counterfoil_protocol::admissibility::scenario::{self, Tried};
use counterfoil_protocol::admissibility::source::Severity;

use super::check::{read, tell};
use crate::cli::{Context, VERIFICATION_FAILED};

/// Where the cases of a profile stand: `NAME.cases.toml` beside `NAME.toml`.
fn cases_of(profile: &Path) -> PathBuf {
    profile.with_extension("cases.toml")
}

/// Tries each profile on its cases. Ends with the exit code.
///
/// # Errors
/// When a file cannot be read or is not valid.
pub(super) fn test(context: &Context, files: &[PathBuf]) -> anyhow::Result<u8> {
    let (mut all, mut failed, mut count) = (Vec::new(), 0, 0);
    for file in files {
        let (_, profile) = read(context.out, file)?;
        let beside = cases_of(file);
        let text = std::fs::read_to_string(&beside)
            .with_context(|| format!("{}: the cases of {}", beside.display(), file.display()))?;
        let scenarios = match scenario::read(&text) {
            Ok(scenarios) => scenarios,
            Err(remarks) => {
                tell(context.out, &beside, &remarks);
                let errors = remarks.iter().filter(|remark| remark.severity == Severity::Error).count();
                bail!("{} has {errors} mistakes", beside.display());
            }
        };
        let tried: Vec<Tried> = scenarios.iter().map(|scenario| scenario.try_with(&profile)).collect();
        context.out.line(format!("{} version {}", profile.id, profile.version));
        for one in &tried {
            count += 1;
            match one.failures.as_slice() {
                [] => {
                    let mode = one.mode.map(|mode| format!(": {mode}")).unwrap_or_default();
                    context.out.done(format!("{}{mode}", one.name));
                }
                failures => {
                    failed += 1;
                    context.out.bad(&one.name);
                    failures.iter().for_each(|failure| context.out.detail(failure));
                }
            }
        }
        all.push(serde_json::json!({ "file": file, "profile": profile.id, "cases": tried }));
    }
    context.out.value(&all)?;
    if failed == 0 {
        context.out.line(format!("{count} cases hold"));
        return Ok(0);
    }
    context.out.bad(format!("{failed} of {count} cases do not hold"));
    Ok(VERIFICATION_FAILED)
}
