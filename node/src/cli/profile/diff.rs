//! `profile diff`: which of two profiles is stronger, with a situation that shows it.

use std::path::{Path, PathBuf};

use clap::Args;
use counterfoil_protocol::admissibility::Profile;
use counterfoil_protocol::admissibility::diff::{Answer, ProfileRelation, diff};
use serde_json::{Value, json};

use super::check::read;
use crate::cli::Context;

/// Which of two profiles is stronger, without a node
#[derive(Debug, Args)]
pub(in crate::cli) struct Diff {
    /// TOML file of the one
    first: PathBuf,
    /// TOML file of the other
    second: PathBuf,
}

impl Diff {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let (_, first) = read(context.out, &self.first)?;
        let (_, second) = read(context.out, &self.second)?;
        let found = diff(&first, &second);
        let (one, two) = (self.first.display(), self.second.display());
        let what = match found.relation {
            ProfileRelation::Stronger => format!("{one} is stronger than {two}: it admits less"),
            ProfileRelation::Weaker => format!("{one} is weaker than {two}: it admits more"),
            ProfileRelation::Equivalent => format!("{one} and {two} are equivalent: they admit the same"),
            ProfileRelation::Incomparable => {
                format!("{one} and {two} are incomparable: each admits something that the other does not")
            }
            ProfileRelation::Undecided => format!("whether {one} or {two} is stronger is undecided"),
        };
        match found.relation {
            ProfileRelation::Undecided => context.out.unknown(what),
            _ => context.out.done(what),
        }
        let forth = tell(context, &self.first, &self.second, &found.first_implies_second);
        let back = tell(context, &self.second, &self.first, &found.second_implies_first);
        found.notes.iter().for_each(|note| context.out.detail(note));
        let side = |profile: &Profile, file: &PathBuf| json!({ "file": file, "profile": profile.id, "version": profile.version });
        context.out.value(&json!({
            "first": side(&first, &self.first),
            "second": side(&second, &self.second),
            "relation": found.relation,
            "first_implies_second": forth,
            "second_implies_first": back,
            "notes": found.notes,
        }))
    }
}

/// Says what the one admits and the other does not.
fn tell(context: &Context, admits: &Path, refuses: &Path, answer: &Answer) -> Value {
    match answer {
        Answer::Yes => json!({ "answer": "yes" }),
        Answer::No(example) => {
            let mode = example.refused_with.map_or("cannot be evaluated", |mode| mode.name());
            context.out.line(format!("{} admits, {} says {mode}:", admits.display(), refuses.display()));
            example.lines().iter().for_each(|line| context.out.detail(line));
            example.reasons.iter().for_each(|reason| context.out.detail(format!("because {reason}")));
            json!({
                "answer": "no",
                "request": example.request,
                "situation": example.lines(),
                "refused_with": example.refused_with,
                "reasons": example.reasons,
            })
        }
        Answer::Undecided(why) => {
            let text = format!("whether {} admits all that {} admits:", refuses.display(), admits.display());
            context.out.unknown(text);
            why.iter().for_each(|why| context.out.detail(why));
            json!({ "answer": "undecided", "why": why })
        }
    }
}
