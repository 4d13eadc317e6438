//! `profile test`: the cases beside a profile, and cases that several profiles come together in.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use counterfoil_protocol::admissibility::Profile;
use counterfoil_protocol::admissibility::scenario::{self, Cases, Tried};
use counterfoil_protocol::admissibility::source::{Remark, Severity};
use serde_json::{Value, json};

use super::check::{read, tell, told};
use crate::cli::print::Out;
use crate::cli::{Context, VERIFICATION_FAILED};

/// How the name of a file of cases ends.
const CASES: &str = ".cases.toml";

/// Tries profiles on cases. Ends with the exit code.
///
/// # Errors
/// When a file cannot be read or is not valid.
pub(super) fn test(context: &Context, files: &[PathBuf]) -> anyhow::Result<u8> {
    let (mut all, mut failed, mut count) = (Vec::new(), 0, 0);
    for file in files {
        let (about, tried) = one(context.out, file)?;
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
        let mut answer = json!({ "file": file, "cases": tried });
        if let (Some(answer), Value::Object(about)) = (answer.as_object_mut(), about) {
            answer.extend(about);
        }
        all.push(answer);
    }
    context.out.value(&all)?;
    if failed == 0 {
        context.out.line(format!("{count} cases hold"));
        return Ok(0);
    }
    context.out.bad(format!("{failed} of {count} cases do not hold"));
    Ok(VERIFICATION_FAILED)
}

/// Tries the cases that stand beside a profile, or in a file of their own; with what they are about.
fn one(out: Out, file: &Path) -> anyhow::Result<(Value, Vec<Tried>)> {
    // `NAME.cases.toml` beside `NAME.toml`, whichever of them is named.
    let beside = file.to_str().and_then(|name| name.strip_suffix(CASES)).map(|name| format!("{name}.toml"));
    let (profile, cases) = match beside {
        Some(profile) => (PathBuf::from(profile), file.to_owned()),
        None => (file.to_owned(), file.with_extension("cases.toml")),
    };
    let text = std::fs::read_to_string(&cases)
        .with_context(|| format!("{}: the cases of {}", cases.display(), profile.display()))?;
    let found = scenario::read(&text).or_else(|remarks| mistaken(out, &cases, &remarks))?;
    let Some(composed) = found.composed() else {
        let (_, profile) = read(out, &profile)?;
        out.line(format!("{} version {}", profile.id, profile.version));
        let about = json!({ "profile": profile.id });
        return Ok((about, tried(out, &cases, &found, &[profile])?));
    };
    let folder = cases.parent().unwrap_or(Path::new("."));
    let mut profiles = Vec::new();
    for (n, name) in composed.profiles.iter().enumerate() {
        match read(out, &folder.join(name)) {
            Ok((_, profile)) => profiles.push(profile),
            Err(error) => mistaken(out, &cases, &[found.without(n, format!("{error:#}"))])?,
        }
    }
    let names: Vec<String> =
        profiles.iter().map(|profile| format!("{} version {}", profile.id, profile.version)).collect();
    out.line(format!("{}, {}", names.join(" and "), composed.composition.name()));
    let ids: Vec<&str> = profiles.iter().map(|profile| profile.id.as_str()).collect();
    let about = json!({ "profiles": ids, "composition": composed.composition });
    let tried = tried(out, &cases, &found, &profiles)?;
    Ok((about, tried))
}

fn tried(out: Out, file: &Path, cases: &Cases<'_>, profiles: &[Profile]) -> anyhow::Result<Vec<Tried>> {
    let remarks = cases.check(profiles);
    if remarks.iter().any(|remark| remark.severity == Severity::Error) {
        mistaken(out, file, &remarks)?;
    }
    tell(out, file, &remarks);
    Ok(cases.try_with(profiles))
}

/// Says what is wrong with a file of cases.
fn mistaken<T>(out: Out, file: &Path, remarks: &[Remark]) -> anyhow::Result<T> {
    tell(out, file, remarks);
    let errors = || remarks.iter().filter(|remark| remark.severity == Severity::Error);
    if out.json {
        // Programs get them in the error: lines are for people.
        let lines: Vec<String> = errors().map(|remark| told(file, remark)).collect();
        bail!("{}", lines.join("; "));
    }
    let count = errors().count();
    bail!("{} has {count} {}", file.display(), if count == 1 { "mistake" } else { "mistakes" })
}
