//! Profiles with a real node: checked, tested, compared, declared, approved, activated; decisions under other
//! circumstances and other profiles.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::path::Path;

use counterfoil_tests::process::Process;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_node-under-test");

const PROFILE: &str = r#"
id = "deployment"
version = 1
title = "Deployment"
family = "test"
actions = ["deploy/*"]
rule = { all = ["test", "review"] }
[requirements.test]
claims = ["test/*"]
max-age-days = 30
[requirements.review]
claims = ["review/*"]
roles = ["reviewer"]
"#;

const REQUEST: &str = r#"
action = "deploy/model"
subjects = ["name:model"]
actuator = "gateway"
reversibility = "reversible"
"#;

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// How a command ended, and its answer.
fn ends(node: &Process, arguments: &[&str]) -> (i32, Value, String) {
    let output = node.output(arguments).unwrap();
    let answer = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code().unwrap(), answer, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn profiles_are_checked_tested_and_compared_without_a_node() {
    let folder = tempfile::tempdir().unwrap();
    let node = Process::at(PROGRAM, folder.path());
    let profile = write(folder.path(), "deployment.toml", PROFILE);
    let wrong = PROFILE.replace("\"test\", \"review\"", "\"tset\", \"review\"").replace("max-age", "max-aeg");
    let wrong = write(folder.path(), "wrong.toml", &wrong);
    let (code, answer, _) = ends(&node, &["profile", "check", &profile, &wrong]);
    assert_eq!((code, &answer[0]["valid"], &answer[1]["valid"]), (1, &true.into(), &false.into()));
    let remarks = answer[1]["remarks"].as_array().unwrap();
    let at =
        |n: usize| (remarks[n]["at"]["line"].as_u64().unwrap(), remarks[n]["at"]["column"].as_u64().unwrap());
    assert_eq!((at(0), at(1)), ((7, 17), (10, 1)), "{remarks:#?}");
    assert!(remarks[0]["text"].as_str().unwrap().contains("did you mean \"test\"?"));
    assert!(remarks[1]["text"].as_str().unwrap().contains("did you mean \"max-age-days\"?"));

    let cases = "[request]\naction = \"deploy/a\"\n[[case]]\nname = \"nothing\"\nexpect = \"defer\"\n";
    write(folder.path(), "deployment.cases.toml", cases);
    let (code, answer, _) = ends(&node, &["profile", "test", &profile]);
    assert_eq!((code, &answer[0]["cases"][0]["mode"]), (0, &"defer".into()));
    write(folder.path(), "deployment.cases.toml", &cases.replace("\"defer\"", "\"continue\""));
    assert_eq!(ends(&node, &["profile", "test", &profile]).0, 3);

    let law = PROFILE.replace("\"deployment\"", "\"law\"").replace("[\"test\", \"review\"]", "[\"test\"]");
    write(folder.path(), "law.toml", &law.replace("[requirements.review]", "[requirements.audit]"));
    let composed = "[composed]\nprofiles = [\"deployment.toml\", \"law.toml\"]\ncomposition = \"intersection\"\n\
                    [request]\naction = \"deploy/a\"\n[[case]]\nname = \"tested only\"\n\
                    evidence = [{ claim = \"test/unit\" }]\nexpect = \"defer\"\nmissing = [\"review\"]\n\
                    outcomes = { law = \"admitted\" }\n";
    let together = write(folder.path(), "together.cases.toml", composed);
    let (code, answer, said) = ends(&node, &["profile", "test", &together]);
    assert_eq!((code, &answer[0]["cases"][0]["mode"]), (0, &"defer".into()), "{said}");
    assert_eq!(answer[0]["profiles"], serde_json::json!(["deployment", "law"]));
    assert_eq!(answer[0]["composition"], "intersection");
    write(folder.path(), "together.cases.toml", &composed.replace("\"admitted\"", "\"unmet\""));
    assert_eq!(ends(&node, &["profile", "test", &together]).0, 3);
    for (from, to, line) in [
        ("\"law.toml\"", "\"lwa.toml\"", "together.cases.toml:2:32: "),
        ("\"review\"", "\"test\"", "together.cases.toml:10:12: several profiles ask for"),
    ] {
        write(folder.path(), "together.cases.toml", &composed.replace(from, to));
        let (code, _, said) = ends(&node, &["profile", "test", &together]);
        assert!(code == 1 && said.contains(line), "{code} {said}");
    }

    let other = write(folder.path(), "other.toml", &PROFILE.replace("{ all", "{ any"));
    let (code, answer, _) = ends(&node, &["profile", "diff", &profile, &other]);
    assert_eq!((code, &answer["relation"]), (0, &"stronger".into()));
    assert_eq!(answer["first_implies_second"]["answer"], "yes");
    assert_eq!(answer["second_implies_first"]["refused_with"], "defer");
}

#[test]
fn a_recorded_decision_is_asked_about_again() {
    let folder = tempfile::tempdir().unwrap();
    let node = Process::started(PROGRAM, &folder.path().join("node"), "North").unwrap();
    let profile = write(folder.path(), "deployment.toml", PROFILE);
    let request = write(folder.path(), "request.toml", REQUEST);
    let note = write(folder.path(), "note.txt", "it works");
    let declared = node.run(&["profile", "declare", &profile]).unwrap();
    node.run(&["profile", "activate", declared[0]["statement"].as_str().unwrap()]).unwrap();
    node.run(&["authority", "issue", "--role", "reviewer", "--claim", "review/*"]).unwrap();
    let observe = |claim: &str, by: &str| {
        let said =
            node.run(&["observe", &note, "--claim", claim, "--subject", "name:model", "--as", by]).unwrap();
        said[0]["statement"].as_str().unwrap().to_owned()
    };
    observe("test/unit", "steward");
    let review = observe("review/code", "reviewer");
    let (code, decided, why) = ends(&node, &["decide", &request]);
    assert_eq!(code, 0, "{why}");
    let decision = decided["decision"].as_str().unwrap().to_owned();

    let weights = node.run(&["show", &decision, "--weights"]).unwrap();
    let first = &weights["verdict"]["profiles"][0]["requirements"]["review"]["considered"][0];
    assert_eq!(first["weighed"]["derivation"].as_array().unwrap().len(), 6, "{first:#}");

    let size = node.run(&["status"]).unwrap()["size"].clone();
    let what_if = |more: &[&str]| {
        let mut arguments = vec!["what-if", decision.as_str()];
        arguments.extend(more);
        node.run(&arguments).unwrap()["difference"].clone()
    };
    let without = what_if(&["--without", &review]);
    assert_eq!(without["mode"], serde_json::json!(["continue", "defer"]));
    assert_eq!(without["requirements"][0]["requirement"], "review");
    assert_eq!(what_if(&["--revoke", "reviewer"])["mode"][1], "defer");
    assert_eq!(what_if(&[])["is_same"], true);
    assert_eq!(what_if(&["--at", "2099-01-01"])["mode"][1], "defer");
    let supposed = write(
        folder.path(),
        "again.toml",
        "[evidence.again]\nclaim = \"test/again\"\norganisation = \"North\"\n",
    );
    assert_eq!(what_if(&["--at", "2099-01-01", "--with", &supposed])["mode"][1], "continue");

    let weaker = write(folder.path(), "weaker.toml", &PROFILE.replace("{ all", "{ any"));
    let stronger = write(folder.path(), "stronger.toml", &PROFILE.replace("[\"reviewer\"]", "[\"chief\"]"));
    let shadow =
        |file: &str| node.run(&["profile", "shadow", file, "--period", "2020-01-01..2099-01-01"]).unwrap();
    assert_eq!(shadow(&weaker)["summary"], serde_json::json!({ "continue -> continue": 1 }));
    assert_eq!(shadow(&stronger)["summary"], serde_json::json!({ "continue -> defer": 1 }));
    let none = node.run(&["profile", "shadow", &weaker, "--period", "2020-01-01..2020-01-02"]).unwrap();
    assert_eq!(none["decisions"], serde_json::json!([]));
    assert_eq!(node.run(&["status"]).unwrap()["size"], size, "nothing was recorded");
}

#[test]
fn an_activation_needs_the_quorum_and_says_who_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let node = Process::at(PROGRAM, &folder.path().join("node"));
    node.run(&["init", "--name", "North", "--activation-quorum", "2", "--activation-role", "board-*"])
        .unwrap();
    node.start().unwrap();
    for role in ["board-safety", "board-law"] {
        node.run(&["authority", "issue", "--role", role, "--sign", "approval", "--sign", "activation"])
            .unwrap();
    }
    let profile = write(folder.path(), "deployment.toml", PROFILE);
    let declared = node.run(&["profile", "declare", &profile]).unwrap();
    let declared = declared[0]["statement"].as_str().unwrap();
    let activate = |by: &str| ends(&node, &["profile", "activate", declared, "--as", by]);
    let (code, _, why) = activate("board-safety");
    assert_eq!(code, 1);
    assert!(why.contains("1 of the 2 approvals needed") && why.contains("board-law"), "{why}");
    node.run(&["profile", "approve", declared, "--as", "board-law"]).unwrap();
    let (code, _, why) = activate("board-safety");
    assert_eq!(code, 0, "{why}");
    // What was approved is in force, and the next activation needs its own approvals. By another authority: the same one would say
    // the very same again within a second, which is in the chain already.
    assert_eq!(activate("board-law").0, 1);
}
