//! Lineages and recalls over two real organisations, asked for at the command line.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::path::Path;

use counterfoil_tests::fleet::until;
use counterfoil_tests::process::{PATIENCE, Process};
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_node-under-test");

/// A supplier and a deployer in one mesh.
struct Mesh {
    folder: tempfile::TempDir,
    supplier: Process,
    deployer: Process,
}

fn mesh() -> Mesh {
    let folder = tempfile::tempdir().unwrap();
    let found = |name: &str| Process::started(PROGRAM, &folder.path().join(name), name).unwrap();
    let (mut supplier, deployer) = (found("supplier"), found("deployer"));
    let id = deployer.run(&["status"]).unwrap()["organisation"].as_str().unwrap().to_owned();
    supplier
        .run(&["mesh", "create", "--name", "m", "--quorum", "1", "--threshold", "2", "--member", &id])
        .unwrap();
    supplier.keep_addresses().unwrap();
    let invitation = supplier.run(&["mesh", "invite"]).unwrap();
    deployer.run(&["mesh", "join", invitation.as_str().unwrap()]).unwrap();
    Mesh { folder, supplier, deployer }
}

fn observe(folder: &Path, node: &Process, claim: Value, sources: &[&str]) -> String {
    let path = folder.join("claim.json");
    std::fs::write(&path, claim.to_string()).unwrap();
    let path = path.to_string_lossy().into_owned();
    let mut arguments = vec!["observe", &path];
    sources.iter().for_each(|id| arguments.extend(["--derived-from", id]));
    node.run(&arguments).unwrap()[0]["statement"].as_str().unwrap().to_owned()
}

fn size(node: &Process) -> u64 {
    node.run(&["status"]).unwrap()["size"].as_u64().unwrap()
}

fn names(lineage: &Value) -> Vec<&str> {
    lineage["nodes"].as_array().unwrap().iter().map(|node| node["node"].as_str().unwrap()).collect()
}

/// The states of the edges of a kind.
fn states<'a>(lineage: &'a Value, kind: &str) -> Vec<&'a str> {
    let edges = lineage["edges"].as_array().unwrap().iter().filter(|edge| edge["kind"] == kind);
    edges.map(|edge| edge["state"].as_str().unwrap()).collect()
}

#[test]
fn a_recall_reaches_what_rests_on_it_in_another_organisation_and_its_way_can_be_followed() {
    let Mesh { folder, supplier, deployer } = mesh();
    let folder = folder.path();
    let digest = format!("sha256:{}", "ab".repeat(32));
    let dataset = observe(folder, &supplier, json!({ "claim": "datasheet/data", "subjects": [digest] }), &[]);
    deployer.until(&["show", &dataset], |_| true).unwrap();
    let before = size(&deployer);
    let model = observe(
        folder,
        &deployer,
        json!({ "claim": "evaluation/test", "subjects": ["name:model"] }),
        &[&dataset],
    );

    // Backward over both organisations. A name proves nothing, an artifact known by its bytes does.
    let trace = deployer.run(&["trace", &model]).unwrap();
    assert!(names(&trace).contains(&digest.as_str()) && names(&trace).contains(&dataset.as_str()), "{trace}");
    assert_eq!(states(&trace, "derived-from"), ["verified"]);
    let mut about = states(&trace, "about");
    about.sort_unstable();
    assert_eq!(about, ["unverified", "verified"]);
    // What names a name is not what names an artifact of that name.
    let by_name = deployer.run(&["impact", &format!("name:{digest}")]).unwrap();
    assert_eq!(names(&by_name), [format!("name:{digest}")]);

    // The way between the two, whichever is named first.
    for ends in [[&model, &digest], [&digest, &model]] {
        let path = deployer.run(&["path", ends[0], ends[1]]).unwrap();
        let kinds: Vec<&Value> = path["edges"].as_array().unwrap().iter().map(|edge| &edge["kind"]).collect();
        assert_eq!(kinds, ["derived-from", "about"], "{path}");
    }
    let nowhere = deployer.output(&["path", &model, "name:nothing"]).unwrap();
    assert_eq!(nowhere.status.code(), Some(1));

    // As it was before the deployer said anything.
    let then = deployer.run(&["trace", &model, "--as-of", &before.to_string()]).unwrap();
    assert_eq!(names(&then), [model.as_str()]);
    let now = deployer.run(&["trace", &model, "--as-of", "2100-01-01"]).unwrap();
    assert_eq!(now["nodes"], trace["nodes"]);
    let then = deployer.run(&["impact", &dataset, "--as-of", "2020-01-01"]).unwrap();
    assert!(!names(&then).contains(&model.as_str()));
    let early = deployer.output(&["trace", &model, "--as-of", "1000000"]).unwrap();
    assert!(String::from_utf8_lossy(&early.stderr).contains("as of 1000000"));

    // The recall: acknowledged by itself, and what it touches is listed at both.
    let said = supplier.run(&["recall", &dataset, "--reason", "consent withdrawn"]).unwrap();
    let recall = said["statement"].as_str().unwrap();
    let status = supplier
        .until(&["recall", "status", recall], |status| status["organisations"][0]["state"] == "acknowledged")
        .unwrap();
    assert_eq!(status["organisations"][0]["name"], "deployer");
    assert_eq!(status["reason"], "consent withdrawn");
    let impact = supplier.run(&["impact", recall]).unwrap();
    assert!(names(&impact).contains(&model.as_str()), "{impact}");
    assert_eq!(
        states(&impact, "recalled-by").iter().filter(|state| **state != "verified").count(),
        0,
        "{impact}"
    );
    // The same as lines, without bound.
    let lines = supplier.output(&["impact", recall, "--stream"]).unwrap();
    let mut streamed: Vec<String> = String::from_utf8(lines.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["node"].as_str().unwrap().to_owned())
        .collect();
    streamed.sort();
    let mut listed = names(&impact);
    listed.sort_unstable();
    assert_eq!(streamed, listed);
    // A recall is no observation, and its status is that of recalls alone.
    let wrong = supplier.output(&["recall", "status", &dataset]).unwrap();
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("observation"));
}

#[test]
fn a_recall_is_silent_where_nobody_hears_it_then_acknowledged_then_acted_on() {
    let Mesh { folder, supplier, deployer } = mesh();
    let folder = folder.path();
    let dataset =
        observe(folder, &supplier, json!({ "claim": "datasheet/data", "subjects": ["name:data"] }), &[]);
    deployer.until(&["show", &dataset], |_| true).unwrap();
    let model = json!({ "claim": "evaluation/test", "subjects": ["name:model"] });
    let model = observe(folder, &deployer, model, &[&dataset]);
    supplier.until(&["show", &model], |_| true).unwrap();
    deployer.kill().unwrap();
    let said = supplier.run(&["recall", &dataset, "--reason", "consent withdrawn"]).unwrap();
    let recall = said["statement"].as_str().unwrap();
    let one = |status: &Value| status["organisations"][0].clone();
    let silent = one(&supplier.run(&["recall", "status", recall]).unwrap());
    assert_eq!((&silent["state"], &silent["name"]), (&json!("silent"), &json!("deployer")));
    deployer.start().unwrap();
    let status = ["recall", "status", recall];
    let heard = supplier.until(&status, |status| one(status)["state"] == "acknowledged").unwrap();
    assert_eq!((one(&heard).get("acts"), one(&heard)["acknowledgement"].is_string()), (None, true));
    // What it made of the data is not fit for use any more, and it says so.
    let own = deployer.run(&["recall", &model, "--reason", "its data was withdrawn"]).unwrap();
    let acted = supplier.until(&status, |status| one(status)["state"] == "acted").unwrap();
    assert_eq!(one(&acted)["acts"], json!([own["statement"]]));
}

#[test]
fn a_recall_has_reached_who_has_witnessed_it_and_cannot_say_so_yet() {
    let Mesh { folder, supplier, deployer } = mesh();
    let data = json!({ "claim": "datasheet/data", "subjects": ["name:data"] });
    let dataset = observe(folder.path(), &supplier, data, &[]);
    deployer.until(&["show", &dataset], |_| true).unwrap();
    // Without its head lock a node adds nothing to its chain; but it follows others, and signs what it saw of them.
    deployer.kill().unwrap();
    let (lock, away) = (deployer.data().join("head.lock"), folder.path().join("head.lock"));
    std::fs::rename(&lock, &away).unwrap();
    let said = supplier.run(&["recall", &dataset, "--reason", "consent withdrawn"]).unwrap();
    let recall = said["statement"].as_str().unwrap();
    let command = ["recall", "status", recall];
    let one = |status: &Value| status["organisations"][0].clone();
    assert_eq!(one(&supplier.run(&command).unwrap())["state"], "silent");
    deployer.start().unwrap();
    let reached = one(&supplier.until(&command, |status| one(status)["state"] != "silent").unwrap());
    assert_eq!((&reached["state"], reached.get("acknowledgement")), (&json!("reached"), None), "{reached}");
    // Whoever has it says the same of itself, from the signature that it gave.
    assert_eq!(one(&deployer.run(&command).unwrap())["state"], "reached");
    // What it cannot do meanwhile it tries again and again, and says once.
    let said = || {
        let log = std::fs::read_to_string(deployer.data().join("node.log")).unwrap();
        log.matches("duty=\"binding\"").count()
    };
    until(PATIENCE, || (said() > 0).then_some(()).ok_or("it says nothing of it".into())).unwrap();
    deployer.kill().unwrap();
    assert_eq!(said(), 1);
    std::fs::rename(&away, &lock).unwrap();
    deployer.start().unwrap();
    let heard = one(&supplier.until(&command, |status| one(status)["state"] == "acknowledged").unwrap());
    assert!(heard["acknowledgement"].is_string(), "{heard}");
}

#[test]
fn what_is_not_here_and_what_is_not_answered_is_never_green() {
    let Mesh { folder, supplier, deployer } = mesh();
    let folder = folder.path();
    let offered =
        observe(folder, &supplier, json!({ "claim": "datasheet/data", "subjects": ["name:data"] }), &[]);
    deployer.until(&["show", &offered], |_| true).unwrap();
    let own =
        observe(folder, &deployer, json!({ "claim": "evaluation/test", "subjects": ["name:model"] }), &[]);
    let link = deployer.run(&["link", &offered, "--relation", "uses", "--from", &own]).unwrap();
    let link = link["statement"].as_str().unwrap();
    // Before the other half is there, an edge says that nobody has agreed to it.
    let trace = deployer.run(&["trace", link]).unwrap();
    let edge = &trace["edges"].as_array().unwrap().iter().find(|edge| edge["kind"] == "links-to").unwrap();
    if edge["state"] != "verified" {
        assert!(edge["why"].as_str().unwrap().contains("not answered"), "{edge}");
    }
    supplier.until(&["show", link], |_| true).unwrap();
    let links = supplier.run(&["links"]).unwrap();
    if links[0]["state"] == "open" {
        // It may be answered by itself at this very moment.
        supplier.output(&["accept", link]).unwrap();
    }
    let agreed = deployer.until(&["trace", link], |trace| states(trace, "links-to") == ["verified"]).unwrap();
    assert_eq!(states(&agreed, "links-to"), ["verified"]);
    // Both ends of `used` are here, and so is the agreement.
    let used = deployer.run(&["trace", &own]).unwrap();
    assert_eq!(states(&used, "used"), ["verified"]);
    // The formats: one drawing, one document.
    let dot = deployer.output(&["trace", link, "--format", "dot"]).unwrap();
    let dot = String::from_utf8(dot.stdout).unwrap();
    assert!(dot.starts_with("digraph lineage {") && dot.contains("links-to (verified)"), "{dot}");
    let prov = deployer.output(&["trace", link, "--format", "prov-json"]).unwrap();
    let prov: Value = serde_json::from_slice(&prov.stdout).unwrap();
    assert!(prov["prefix"]["cf"].is_string() && prov["entity"].is_object(), "{prov}");
}
