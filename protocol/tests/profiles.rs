//! The worked profiles of this repository: each is valid without a remark, and the cases beside it hold.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails this way says where")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use counterfoil_protocol::actuation::Mode;
use counterfoil_protocol::admissibility::scenario::{self, Cases, Tried};
use counterfoil_protocol::admissibility::verdict::RequirementState;
use counterfoil_protocol::admissibility::{Composition, Profile, evaluate};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("profiles")
}

fn files(is_wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|file| is_wanted(file.to_str().unwrap())).collect();
    files.sort();
    files
}

fn library() -> Vec<PathBuf> {
    files(|name| name.ends_with(".toml") && !name.ends_with(".cases.toml"))
}

fn read<'t>(name: &str, text: &'t str) -> Cases<'t> {
    scenario::read(text).unwrap_or_else(|remarks| panic!("{name}: {remarks:#?}"))
}

/// Tries cases, where nothing is wrong with how they are written.
fn hold(name: &str, cases: &Cases<'_>, profiles: &[Profile]) -> Vec<Tried> {
    let remarks = cases.check(profiles);
    assert!(remarks.is_empty(), "{name}: {remarks:#?}");
    let tried = cases.try_with(profiles);
    let failed: Vec<_> = tried.iter().filter(|tried| !tried.failures.is_empty()).collect();
    assert!(failed.is_empty(), "{name}: {failed:#?}");
    tried
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
        hold(&name.to_string(), &read(&name.to_string(), &cases), &[profile]);
    }
}

/// Cases that are beside no profile name several, and their composed verdicts come out in every way too.
#[test]
fn composed_cases_hold() {
    let composed = files(|name| {
        name.strip_suffix(".cases.toml").is_some_and(|n| !Path::new(&format!("{n}.toml")).exists())
    });
    assert!(!composed.is_empty());
    for file in composed {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(&file).unwrap();
        let cases = read(&name, &text);
        let named = &cases.composed().unwrap_or_else(|| panic!("{name} composes nothing")).profiles;
        let profiles: Vec<Profile> = named
            .iter()
            .map(|file| Profile::from_toml(&std::fs::read_to_string(folder().join(file)).unwrap()).unwrap())
            .collect();
        assert!(profiles.len() > 1, "{name}");
        let modes: BTreeSet<Mode> =
            hold(&name, &cases, &profiles).iter().filter_map(|one| one.mode).collect();
        assert_eq!(
            modes,
            [Mode::Continue, Mode::Partial, Mode::Defer, Mode::Refuse].into_iter().collect(),
            "{name}"
        );
    }
}

/// A case file that never lets a requirement fail, or never admits, would show little.
#[test]
fn the_cases_of_each_profile_admit_defer_and_refuse() {
    for file in library() {
        let profile = Profile::from_toml(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let cases = std::fs::read_to_string(file.with_extension("cases.toml")).unwrap();
        let (mut modes, mut met) = (BTreeSet::new(), BTreeSet::new());
        for scenario in read("cases", &cases).scenarios() {
            let case = scenario.case(std::slice::from_ref(&profile), &Composition::Intersection);
            let verdict = evaluate(&case).unwrap();
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
        let text = text.replace(from, to);
        let Err(remarks) = scenario::read(&text) else { panic!("{to} is read") };
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
    let cases = read("cases", text);
    let remarks = cases.check(std::slice::from_ref(&profile));
    let [remark] = remarks.as_slice() else { panic!("{remarks:#?}") };
    assert_eq!(remark.to_string(), "line 6, column 8: there is no requirement \"person\"");
    let tried = cases.try_with(&[profile]).remove(0);
    assert_eq!(tried.mode, Some(Mode::Defer));
    for expected in
        ["expected continue, found defer", "no requirement \"person\"", "missing is", "no reason \"nothing\""]
    {
        assert!(tried.failures.iter().any(|failure| failure.contains(expected)), "{:#?}", tried.failures);
    }
    assert_eq!(tried.failures.len(), 4);
}

const ASKS: &str = "version = 1\ntitle = \"t\"\nfamily = \"f\"\nactions = [\"go\"]\nvetoes = [\"recall\"]\n";

/// A profile that asks for the claims that its requirements are named for.
fn asking(id: &str, requirements: &[&str]) -> Profile {
    let rule = requirements.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    let each = requirements.iter().map(|name| format!("[requirements.{name}]\nclaims = [\"{name}/a\"]\n"));
    let text = format!("id = {id:?}\n{ASKS}rule = {{ all = [{rule}] }}\n{}", each.collect::<String>());
    Profile::from_toml(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The same cases under each way to compose: a clinic's profile, a regulator's, and a customer's.
#[test]
fn each_composition_is_tried() {
    let profiles =
        [asking("clinic", &["test"]), asking("law", &["test", "log"]), asking("customer", &["price"])];
    let cases = r#"
        [request]
        action = "go"
        [evidence.test]
        claim = "test/a"
        [evidence.log]
        claim = "log/a"
        [evidence.price]
        claim = "price/a"
        [[case]]
        name = "all"
        evidence = ["test", "log", "price"]
        expect = "continue"
        outcomes = { clinic = "admitted", law = "admitted", customer = "admitted" }
        sufficient = ALL
        [[case]]
        name = "no log, no price"
        evidence = ["test"]
        met = ["clinic/test", "law/test"]
        unmet = ["log", "price"]
        expect = LITTLE
        [[case]]
        name = "a recall"
        evidence = ["test", "log", "price"]
        recalled = ["price"]
        expect = "refuse"
        outcomes = { customer = "vetoed", law = "vetoed" }
    "#;
    let every = r#"["test", "log", "price"]"#;
    let deferred = r#""defer"
        missing = ["log", "price"]"#;
    let weighted = r#"{ weighted = { weights = { clinic = 2, law = 1, customer = 1 }, threshold = 2 } }"#;
    let higher = weighted.replace("threshold = 2", "threshold = 3");
    let by_one = r#""defer"
        missing = [["log"], ["price"]]"#;
    let hierarchical = r#"{ hierarchical = { order = ["law", "clinic", "customer"] } }"#;
    for (composition, all, little) in [
        ("\"intersection\"", every, deferred),
        (hierarchical, every, deferred),
        (weighted, r#"["test"]"#, "\"continue\""),
        (&higher, r#"[["test", "log"], ["test", "price"]]"#, by_one),
    ] {
        let text = cases.replace("ALL", all).replace("LITTLE", little);
        let text =
            format!("[composed]\nprofiles = [\"a\", \"b\", \"c\"]\ncomposition = {composition}\n{text}");
        hold(composition, &read(composition, &text), &profiles);
    }
}

#[test]
fn mistakes_in_a_composition_are_named_with_their_line() {
    let profiles = [asking("clinic", &["test"]), asking("law", &["test", "log"])];
    let text = r#"[composed]
profiles = ["clinic.toml", "law.toml"]
composition = { weighted = { weights = { clinic = 2, law = 1 }, threshold = 2 } }
[request]
action = "go"
[evidence.test]
claim = "test/a"
[[case]]
name = "n"
evidence = ["test"]
expect = "continue"
outcomes = { law = "unmet" }
unmet = ["log"]
"#;
    hold("as it is", &read("as it is", text), &profiles);
    let order = "{ hierarchical = { order = [\"lwa\"] } }";
    for (from, to, line, expected) in [
        ("law = 1", "lwa = 1", 3, "no profile \"lwa\" is composed here; did you mean \"law\"?"),
        (", law = 1", "", 3, "profile \"law\" has no weight"),
        ("threshold = 2", "threshold = 4", 3, "all weights together are 3, which never reaches 4"),
        (
            "{ weighted = { weights = { clinic = 2, law = 1 }, threshold = 2 } }",
            order,
            3,
            "did you mean \"law\"?",
        ),
        (
            "{ weighted = { weights = { clinic = 2, law = 1 }, threshold = 2 } }",
            order,
            3,
            "\"clinic\" has no place",
        ),
        ("\"go\"", "\"stop\"", 2, "profile \"clinic\" applies to go, which no case here asks about"),
        ("{ law", "{ lav", 12, "there is no profile \"lav\"; did you mean \"law\"?"),
        ("[\"log\"]", "[\"lgo\"]", 13, "there is no requirement \"lgo\"; did you mean \"log\"?"),
        (
            "[\"log\"]",
            "[\"test\"]",
            13,
            "several profiles ask for \"test\"; write \"clinic/test\" or \"law/test\"",
        ),
    ] {
        let text = text.replace(from, to);
        let remarks = read(to, &text).check(&profiles);
        let found = remarks.iter().any(|r| r.text.contains(expected) && r.at.as_ref().unwrap().line == line);
        assert!(found, "{to}: {remarks:#?}");
    }
    for (from, to, expected) in [
        ("\"unmet\" }", "\"admitted\" }", "profile law is unmet, not admitted"),
        ("outcomes", "necessary = []\noutcomes", "necessary is test, not nothing"),
        ("outcomes", "sufficient = []\noutcomes", "sufficient is test, not nothing"),
        ("unmet =", "met =", "log is unmet, not met"),
    ] {
        let text = text.replace(from, to);
        let failures = read(to, &text).try_with(&profiles).remove(0).failures;
        assert_eq!(failures, [expected]);
    }
    let remarks = read("twice", text).check(&[asking("law", &["log"]), asking("law", &["log"])]);
    assert!(remarks.iter().any(|remark| remark.text.contains("another profile \"law\"")), "{remarks:#?}");
    let remark = read("without", text).without(1, "law.toml cannot be read".into());
    assert_eq!(remark.to_string(), "line 2, column 28: law.toml cannot be read");
    for (from, to, expected) in [
        ("[\"clinic.toml\", \"law.toml\"]", "[]", "0 profiles, where 1 to"),
        ("weighted =", "wieghted =", "did you mean \"weighted\"?"),
        ("profiles =", "profile =", "did you mean \"profiles\"?"),
        ("outcomes", "necessary = [\"tset\"]\noutcomes", "no evidence \"tset\"; did you mean \"test\"?"),
        ("outcomes", "sufficient = [[\"tset\"]]\noutcomes", "no evidence \"tset\"; did you mean \"test\"?"),
    ] {
        let text = text.replace(from, to);
        let Err(remarks) = scenario::read(&text) else { panic!("{to} is read") };
        assert!(remarks.iter().any(|remark| remark.text.contains(expected)), "{to}: {remarks:#?}");
    }
}
