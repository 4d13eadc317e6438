//! Keys come and go on a real node; the organisation and its authorities stay.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use counterfoil_tests::process::Process;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_node-under-test");

struct Bench {
    folder: tempfile::TempDir,
    node: Process,
    said: usize,
}

impl Bench {
    fn observe(&mut self, authority: &str) -> Result<Value, String> {
        self.said += 1;
        let path = self.folder.path().join(format!("claim-{}.json", self.said));
        let claim = format!(r#"{{"claim": "evaluation/test", "subjects": ["name:{}"]}}"#, self.said);
        std::fs::write(&path, claim).unwrap();
        let output = self.node.output(&["observe", &path.to_string_lossy(), "--as", authority]).unwrap();
        if output.status.success() {
            return Ok(serde_json::from_slice(&output.stdout).unwrap());
        }
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        Err(error["check"].as_str().unwrap_or_default().to_owned())
    }

    fn authority(&self, role: &str) -> Value {
        let all = self.node.run(&["authority", "list"]).unwrap();
        all.as_array().unwrap().iter().find(|one| one["role"] == role).unwrap().clone()
    }

    fn status_statements(&self) -> usize {
        self.node.run(&["log", "--kind", "status"]).unwrap().as_array().unwrap().len()
    }
}

#[test]
fn keys_come_and_go_and_what_they_signed_stays() {
    let folder = tempfile::tempdir().unwrap();
    let node = Process::started(PROGRAM, &folder.path().join("node"), "North Hospital").unwrap();
    let mut bench = Bench { folder, node, said: 0 };
    let organisation = bench.node.run(&["status"]).unwrap()["organisation"].clone();
    let issue = ["authority", "issue", "--role", "tester", "--claim", "evaluation/*", "--competence"];
    let wrong = bench.node.output(&[&issue[..], &["auditor"]].concat()).unwrap();
    assert_eq!(wrong.status.code(), Some(2), "a competence has three parts");
    bench.node.run(&[&issue[..], &["ISO/IEC 42001 lead auditor; Certifier; 2028-01-31"]].concat()).unwrap();
    let competence = &bench.authority("tester")["competence"];
    assert_eq!(
        (&competence[0]["what"], &competence[0]["by"]),
        (&"ISO/IEC 42001 lead auditor".into(), &"Certifier".into())
    );
    let first = bench.observe("tester").unwrap();
    let authority = bench.authority("tester")["authority"].clone();

    // A new key for the authority, twice: it keeps its id, and both keys' statements show the same authority.
    for _ in 0..2 {
        bench.node.run(&["authority", "rotate", "tester"]).unwrap();
        bench.observe("tester").unwrap();
        assert_eq!(bench.authority("tester")["authority"], authority);
    }
    let shown = bench.node.run(&["show", first[0]["statement"].as_str().unwrap()]).unwrap();
    assert_eq!(shown["signed_by"], "tester");

    // Interrupted, and again in force; the node says so in a status statement by itself.
    bench.node.run(&["authority", "suspend", "tester", "--reason", "leave"]).unwrap();
    assert_eq!(bench.observe("tester"), Err("credential-suspended".into()));
    assert_eq!(bench.authority("tester")["standing"], "suspended");
    bench
        .node
        .until(&["log", "--kind", "status"], |log| log.as_array().is_some_and(|log| log.len() == 1))
        .unwrap();
    bench.node.run(&["authority", "suspend", "tester", "--lift", "--reason", "back"]).unwrap();
    bench.observe("tester").unwrap();
    bench
        .node
        .until(&["log", "--kind", "status"], |log| log.as_array().is_some_and(|log| log.len() == 2))
        .unwrap();

    // Root keys, twice; each time the new ones can act and the organisation is the same.
    for version in 1..=2 {
        bench.node.run(&["root", "rotate"]).unwrap();
        bench.node.run(&["authority", "issue", "--role", &format!("after-{version}")]).unwrap();
        bench.observe(&format!("after-{version}")).unwrap();
    }
    assert_eq!(bench.node.run(&["status"]).unwrap()["organisation"], organisation);

    // All of it holds after the process was killed, and on disk.
    bench.node.kill().unwrap();
    bench.node.start().unwrap();
    bench.observe("tester").unwrap();
    bench.observe("after-2").unwrap();
    bench.node.run(&["authority", "revoke", "tester", "--reason", "gone"]).unwrap();
    assert_eq!(bench.observe("tester"), Err("credential-revoked".into()));
    bench
        .node
        .until(&["log", "--kind", "status"], |log| log.as_array().is_some_and(|log| log.len() == 3))
        .unwrap();
    assert_eq!(bench.status_statements(), 3);
    bench.node.kill().unwrap();
    assert_eq!(bench.node.run(&["fsck"]).unwrap()["damage"], serde_json::json!([]));
}

#[test]
fn an_authority_with_the_right_to_issues_narrower_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let node = Process::started(PROGRAM, &folder.path().join("node"), "North Hospital").unwrap();
    let mut bench = Bench { folder, node, said: 0 };
    let issue = |bench: &Bench, role: &str, more: &[&str]| {
        let output = bench.node.output(&[&["authority", "issue", "--role", role], more].concat()).unwrap();
        if output.status.success() {
            return Ok(());
        }
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        Err((error["check"].clone(), error["error"].as_str().unwrap_or_default().to_owned()))
    };
    let rights = ["--sign", "credential", "--sign", "observation", "--claim", "evaluation/*"];
    issue(&bench, "lead", &[&rights[..], &["--delegation", "1", "--expires", "2060-01-31"]].concat())
        .unwrap();
    // The root keys take no part in it: they may be elsewhere.
    let root_keys = bench.node.data().join("keys/root.keys");
    let away = bench.folder.path().join("root.keys");
    std::fs::rename(&root_keys, &away).unwrap();
    let by_lead = ["--issuer", "lead", "--claim", "evaluation/test"];
    issue(&bench, "tester", &by_lead).unwrap();
    assert_eq!(
        (&bench.authority("tester")["depth"], &bench.authority("lead")["depth"]),
        (&1.into(), &0.into())
    );
    let first = bench.observe("tester").unwrap();
    let shown = bench.node.run(&["show", first[0]["statement"].as_str().unwrap()]).unwrap();
    assert_eq!(shown["signed_by"], "tester");

    // What it does not have it does not give; and who has no right gives nothing.
    for (role, more, what) in [
        ("wider", &["--issuer", "lead", "--claim", "*"][..], "scope"),
        (
            "later",
            &["--issuer", "lead", "--claim", "evaluation/x", "--expires", "2061-01-31"][..],
            "validity",
        ),
        (
            "deeper",
            &["--issuer", "lead", "--claim", "evaluation/x", "--delegation", "1"][..],
            "delegation depth",
        ),
    ] {
        let (check, text) = issue(&bench, role, more).unwrap_err();
        assert!(check == "delegation" && text.contains(what), "{role}: {check} {text}");
    }
    let (check, _) =
        issue(&bench, "other", &["--issuer", "tester", "--claim", "evaluation/test"]).unwrap_err();
    assert_eq!(check, "scope");
    let (_, text) = issue(&bench, "other", &["--issuer", "nobody"]).unwrap_err();
    assert!(text.contains("there is no authority"), "{text}");

    // Who stands on another's word falls with it.
    std::fs::rename(&away, &root_keys).unwrap();
    bench.node.run(&["authority", "suspend", "lead", "--reason", "leave"]).unwrap();
    assert_eq!(bench.observe("tester"), Err("credential-suspended".into()));
    bench.node.run(&["authority", "suspend", "lead", "--lift", "--reason", "back"]).unwrap();
    bench.observe("tester").unwrap();
    bench.node.kill().unwrap();
    assert_eq!(bench.node.run(&["fsck"]).unwrap()["damage"], serde_json::json!([]));
}
