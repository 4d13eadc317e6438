//! The worked profiles of this repository: each is valid without a remark, and the cases beside it hold.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails this way says where")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use counterfoil_protocol::actuation::Mode;
use counterfoil_protocol::admissibility::verdict::RequirementState;
use counterfoil_protocol::admissibility::{Profile, evaluate, scenario};

fn library() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("profiles");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| {
        file.extension().is_some_and(|e| e == "toml") && !file.to_str().unwrap().ends_with(".cases.toml")
    });
    files.sort();
    files
}

#[test]
fn each_profile_is_valid_and_its_cases_hold() {
    let files = library();
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        let name = file.display();
        let reading = Profile::read(&std::fs::read_to_string(&file).unwrap());
        assert!(reading.remarks.is_empty(), "{name}: {:#?}", reading.remarks);
        let profile = reading.profile.unwrap();
        assert_eq!(Some(profile.id.as_str()), file.file_stem().and_then(|stem| stem.to_str()));
        let cases = std::fs::read_to_string(file.with_extension("cases.toml")).unwrap();
        let scenarios = scenario::read(&cases).unwrap_or_else(|remarks| panic!("{name}: {remarks:#?}"));
        for scenario in &scenarios {
            let tried = scenario.try_with(&profile);
            assert!(tried.failures.is_empty(), "{name}: {}: {:#?}", tried.name, tried.failures);
        }
    }
}

/// A case file that never lets a requirement fail, or never admits, would show little.
#[test]
fn the_cases_of_each_profile_admit_defer_and_refuse() {
    for file in library() {
        let profile = Profile::from_toml(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let cases = std::fs::read_to_string(file.with_extension("cases.toml")).unwrap();
        let (mut modes, mut met) = (BTreeSet::new(), BTreeSet::new());
        for scenario in scenario::read(&cases).unwrap() {
            let verdict = evaluate(&scenario.case(&profile)).unwrap();
            modes.insert(verdict.mode);
            let all = verdict.profiles.iter().flat_map(|outcome| &outcome.requirements);
            met.extend(all.filter(|(_, r)| r.state == RequirementState::Met).map(|(name, _)| name.clone()));
        }
        let all = [Mode::Continue, Mode::Partial, Mode::Defer, Mode::Refuse];
        assert_eq!(modes, all.into_iter().collect(), "{}", file.display());
        let never: Vec<_> = profile.requirements.keys().filter(|name| !met.contains(*name)).collect();
        assert!(never.is_empty(), "{}: never met: {never:?}", file.display());
    }
}

#[test]
fn mistakes_in_cases_are_named_with_their_line() {
    let text = "[request]\naction = \"a\"\n[evidence.one]\nclaim = \"a/b\"\n[[case]]\nname = \"n\"\nevidence = [\"oen\"]\nexpect = \"defer\"\n";
    for (from, to, line, expected) in [
        ("", "", 7, "did you mean \"one\"?"),
        ("\"oen\"", "{ like = \"one\", claims = [] }", 7, "unknown field `claims`"),
        ("\"oen\"", "{ like = \"one\", content = { a = 1.5 } }", 7, "whole numbers"),
        ("\"defer\"", "\"defers\"", 8, "did you mean \"defer\"?"),
        ("[\"oen\"]\n", "[]\nrecalled = [\"one\"]\n", 8, "this case has no evidence \"one\""),
        ("claim = \"a/b\"", "like = \"one\"", 7, "no evidence"),
    ] {
        let remarks = scenario::read(&text.replace(from, to)).unwrap_err();
        let found = remarks.iter().any(|r| r.text.contains(expected) && r.at.as_ref().unwrap().line == line);
        assert!(found || from.is_empty() && !remarks.is_empty(), "{to}: {remarks:#?}");
    }
}

#[test]
fn what_does_not_come_out_as_expected_says_so() {
    let text = "[request]\naction = \"emergency/a\"\n[[case]]\nname = \"n\"\nexpect = \"continue\"\nmet = [\"person\"]\n\
                unmet = [\"known-artifact\"]\nmissing = [\"safety-officer\"]\nreasons = [\"nothing\"]\n";
    let file = library().into_iter().find(|file| file.ends_with("emergency-use.toml")).unwrap();
    let profile = Profile::from_toml(&std::fs::read_to_string(file).unwrap()).unwrap();
    let [scenario] = &scenario::read(text).unwrap()[..] else { panic!() };
    let tried = scenario.try_with(&profile);
    assert_eq!(tried.mode, Some(Mode::Defer));
    for expected in
        ["expected continue, found defer", "no requirement \"person\"", "missing is", "no reason \"nothing\""]
    {
        assert!(tried.failures.iter().any(|failure| failure.contains(expected)), "{:#?}", tried.failures);
    }
    assert_eq!(tried.failures.len(), 4);
}
