//! Three organisations in three real processes: two agree on what crosses between them, and the third never gets it; and
//! what a lineage says of what is not here.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails this way says where"
)]

use std::path::Path;

use counterfoil_tests::process::Process;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_node-under-test");

const PROFILE: &str = r#"
    id = "purchase"
    version = 1
    title = "Purchase"
    family = "contractual"
    actions = ["deploy/*"]
    rule = "evaluated"
    [requirements.evaluated]
    claims = ["evaluation/*"]
"#;

const REQUEST: &str = r#"
    action = "deploy/triage"
    subjects = ["name:triage"]
    actuator = "gateway"
    reversibility = "reversible"
"#;

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

fn observe(node: &Process, folder: &Path, subject: &str, more: &[&str]) -> String {
    let claim = json!({ "claim": "evaluation/clinical", "subjects": [format!("name:{subject}")] });
    let path = file(folder, &format!("{subject}.json"), &claim.to_string());
    let said = node.run(&[&["observe", &path][..], more].concat()).unwrap();
    id(&said[0]["said"])
}

fn id(said: &Value) -> String {
    said["statement"].as_str().unwrap().to_owned()
}

/// Three members of one mesh, and their ids.
fn mesh(folder: &Path) -> (Vec<Process>, Vec<String>) {
    let names = ["supplier", "customer", "stranger"];
    let nodes: Vec<Process> =
        names.iter().map(|name| Process::found(PROGRAM, &folder.join(name), name).unwrap()).collect();
    nodes.iter().for_each(|node| node.start().unwrap());
    let organisation =
        |node: &Process| node.run(&["status"]).unwrap()["organisation"].as_str().unwrap().to_owned();
    let ids: Vec<String> = nodes.iter().map(organisation).collect();
    let create = ["mesh", "create", "--name", "m", "--threshold", "1"];
    nodes[0].run(&[&create[..], &["--member", &ids[1], "--member", &ids[2]]].concat()).unwrap();
    nodes[0]
        .until(&["status"], |status| status["addresses"].as_array().is_some_and(|all| !all.is_empty()))
        .unwrap();
    let invitation = nodes[0].run(&["mesh", "invite"]).unwrap();
    for node in &nodes[1..] {
        node.run(&["mesh", "join", invitation.as_str().unwrap()]).unwrap();
    }
    for node in &nodes {
        node.until(&["mesh", "members"], |members| {
            members.as_array().unwrap().iter().all(|member| member["name"].is_string())
        })
        .unwrap();
        node.until(&["status"], |status| status["peers"] == 2).unwrap();
    }
    (nodes, ids)
}

/// Waits until `node` has the other's whole chain.
fn catch_up(node: &Process, with: &Process) {
    let status = with.run(&["status"]).unwrap();
    let (organisation, size) = (status["organisation"].clone(), status["size"].as_u64().unwrap());
    node.until(&["status"], |status| {
        let mut chains = status["chains"].as_array().unwrap().iter();
        chains.any(|one| one["organisation"] == organisation && one["size"].as_u64().unwrap() >= size)
    })
    .unwrap();
}

#[test]
fn what_two_agree_on_crosses_between_them_and_reaches_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let (nodes, ids) = mesh(folder.path());
    let [supplier, customer, stranger] = &nodes[..] else { panic!("three nodes") };

    let agree =
        ["mesh", "agree", "customer", "--kind", "observation", "--kind", "link", "--subject", "name:triage*"];
    let agreement = id(&supplier.run(&agree).unwrap());
    // Said before the other side has accepted: nobody has it yet.
    let limited = ["--visibility", "parties", "--agreement", &agreement];
    let early = observe(supplier, folder.path(), "triage", &limited);
    catch_up(customer, supplier);
    assert!(customer.run(&["show", &early]).is_err());
    let outside = observe(supplier, folder.path(), "triage-open", &[]);

    // What the agreement does not cover is not even appended.
    let claim = json!({ "claim": "evaluation/clinical", "subjects": ["name:other"] });
    let other = file(folder.path(), "other.json", &claim.to_string());
    let refused = supplier.output(&[&["observe", &other][..], &limited].concat()).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("the agreement does not cover subject name:other")
    );

    // A decision that needs it defers, and says so when it has it and the agreement is in force.
    customer.run(&["mesh", "recognise", "supplier", "--claim", "evaluation/*"]).unwrap();
    let profile = file(folder.path(), "profile.toml", PROFILE);
    let declared = customer.run(&["profile", "declare", &profile]).unwrap();
    let declared = id(&declared[0]);
    customer.run(&["profile", "activate", &declared]).unwrap();
    let request = file(folder.path(), "request.toml", REQUEST);
    assert_eq!(customer.output(&["decide", &request]).unwrap().status.code(), Some(11));

    let mine = customer.run(&["mesh", "agreements"]).unwrap();
    assert_eq!((&mine[0]["in_force"], &mine[0]["to_accept"]), (&json!(false), &json!(true)));
    customer.run(&["mesh", "agree", "--accept", &agreement]).unwrap();
    customer.until(&["show", &early], |view| view["statement"] == json!(early)).unwrap();
    let late = observe(supplier, folder.path(), "triage-2", &limited);
    customer.until(&["show", &late], |view| view["statement"] == json!(late)).unwrap();
    let decided = customer.output(&["decide", &request]).unwrap();
    assert_eq!(decided.status.code(), Some(0));
    // Both others were asked, and the decision records what came of it: what the supplier has for the customer's eyes too.
    let decided: Value = serde_json::from_slice(&decided.stdout).unwrap();
    let why = customer.run(&["why", decided["decision"].as_str().unwrap()]).unwrap();
    assert_eq!(why["inquiries"], decided["inquiries"]);
    let answer = |organisation: &str| {
        let mut inquiries = why["inquiries"].as_array().unwrap().iter();
        inquiries.find(|one| one["organisation"] == organisation).unwrap()["answer"].clone()
    };
    assert_eq!(answer(&ids[0]), json!({ "answered": { "named": 1, "came": 0, "missing": 0 } }));
    assert_eq!(answer(&ids[2]), json!({ "answered": { "named": 0, "came": 0, "missing": 0 } }));

    exports(customer, folder.path(), decided["decision"].as_str().unwrap(), &late);

    // The third has both chains whole, and neither statement.
    catch_up(stranger, supplier);
    catch_up(stranger, customer);
    for withheld in [&early, &late] {
        assert!(stranger.run(&["show", withheld]).is_err());
    }
    assert_eq!(stranger.run(&["show", &outside]).unwrap()["organisation"], json!(ids[0]));

    // A link under the agreement is matched; one to what the agreement does not cover is refused with the reason; one of
    // somebody who is no party is not even made.
    let under = ["--relation", "uses", "--agreement", &agreement];
    customer.run(&[&["link", &late][..], &under].concat()).unwrap();
    customer
        .until(&["links"], |links| {
            links
                .as_array()
                .unwrap()
                .iter()
                .any(|one| one["target"] == json!(late) && one["state"] == "matched")
        })
        .unwrap();
    let no_party = stranger.output(&[&["link", &outside][..], &under].concat()).unwrap();
    assert!(String::from_utf8_lossy(&no_party.stderr).contains("is no party to the agreement"));

    // Withdrawn: nothing more crosses, and what has crossed counts for nothing.
    supplier.run(&["mesh", "agree", "--withdraw", &agreement]).unwrap();
    let refused = supplier.output(&[&["observe", &other][..], &limited].concat()).unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("has withdrawn from the agreement"));
    catch_up(customer, supplier);
    assert_eq!(customer.output(&["decide", &request]).unwrap().status.code(), Some(11));
}

/// A file for anybody leaves out what the two agreed on, and says what it does not prove for that; one for a party has it.
fn exports(customer: &Process, folder: &Path, decision: &str, limited: &str) {
    let file = folder.join("decision.cfb").to_string_lossy().into_owned();
    let proven = |more: &[&str]| {
        customer.run(&[&["bundle", decision, "-o", &file][..], more].concat()).unwrap();
        let verified = customer.run(&["verify", &file]).unwrap();
        assert_eq!(verified[0]["verified"], true, "{verified}");
        let mut checks = verified[0]["report"]["checks"].as_array().unwrap().iter();
        let decision = checks.find(|one| one["check"] == "decision").unwrap().clone();
        let is_limited =
            decision["detail"].as_str().unwrap().ends_with("limited to others than this file is for");
        assert_eq!(decision["outcome"] == "not-proven", is_limited, "{decision}");
        decision["outcome"] == "passed"
    };
    assert!(!proven(&[]));
    assert!(proven(&["--for", "supplier"]) && proven(&["--for", "supplier", "--for", "customer"]));
    assert!(!proven(&["--for", "stranger"]) && !proven(&["--for", "supplier", "--for", "stranger"]));
    assert!(proven(&["--include-limited"]));
    let refused = customer.output(&["bundle", limited, "-o", &file]).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("limited to others than the bundle is for"));
    customer.run(&["bundle", limited, "--for", "supplier", "-o", &file]).unwrap();
}

#[test]
fn a_pause_ends_with_a_report_of_what_came_and_what_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let (nodes, ids) = mesh(folder.path());
    let [supplier, customer, stranger] = &nodes[..] else { panic!("three nodes") };
    let first = observe(supplier, folder.path(), "one", &[]);
    customer.until(&["show", &first], |view| view["statement"] == json!(first)).unwrap();
    assert_eq!(customer.run(&["sync", "report"]).unwrap(), json!([]));

    customer.run(&["sync", "pause", "supplier"]).unwrap();
    assert!(customer.run(&["sync", "pause", "supplier"]).is_err(), "it is paused already");
    let second = observe(supplier, folder.path(), "two", &[]);
    supplier.run(&["recall", &first, "--reason", "flawed"]).unwrap();
    let link = id(&customer.run(&["link", &first, "--relation", "uses"]).unwrap());
    catch_up(stranger, supplier);
    catch_up(stranger, customer);
    // The third has all of it; the customer has nothing, also after a restart.
    customer.kill().unwrap();
    customer.start().unwrap();
    catch_up(customer, stranger);
    assert!(customer.run(&["show", &second]).is_err());
    let report = customer.run(&["sync", "report"]).unwrap();
    assert_eq!((&report[0]["organisation"], &report[0]["complete"]), (&json!(ids[0]), &json!(false)));
    assert_eq!((&report[0]["came"], &report[0]["open"]), (&json!({}), &json!([link])));

    customer.run(&["sync", "resume", "supplier"]).unwrap();
    assert!(customer.run(&["sync", "resume", "supplier"]).is_err(), "it is not paused");
    let report = customer
        .until(&["sync", "report"], |report| {
            report[0]["complete"] == json!(true)
                && report[0]["recalls"] != json!([])
                && report[0]["open"] == json!([])
        })
        .unwrap();
    assert_eq!(report[0]["came"]["observation"], json!(1));
    assert_eq!(report[0]["came"]["recall"], json!(1));
    assert_eq!(report[0]["withheld"], json!(0));
    assert_eq!(customer.run(&["show", &second]).unwrap()["statement"], json!(second));
}

/// The first node of a lineage with this id, and the states of the edges that lead to it.
fn found(lineage: &Value, id: &str) -> (Value, Vec<String>) {
    let node = lineage["nodes"].as_array().unwrap().iter().find(|node| node["node"] == id).unwrap().clone();
    let edges = lineage["edges"].as_array().unwrap().iter().filter(|edge| edge["to"] == id);
    (node, edges.map(|edge| edge["state"].as_str().unwrap().to_owned()).collect())
}

/// What each member said of a statement that was not here, by its name.
fn said(node: &Value, name: &str) -> Value {
    let mut asked = node["asked"].as_array().unwrap().iter();
    asked.find(|one| one["name"] == name).unwrap()["answer"].clone()
}

/// A statement of the supplier's that rests on one of the stranger's, which the customer lacks: exchange between those two
/// is paused.
fn parted(folder: &Path) -> (Vec<Process>, String, String) {
    let (nodes, _) = mesh(folder);
    let [supplier, customer, stranger] = &nodes[..] else { panic!("three nodes") };
    customer.run(&["sync", "pause", "stranger"]).unwrap();
    let source = observe(stranger, folder, "data", &[]);
    supplier.until(&["show", &source], |view| view["statement"] == json!(source)).unwrap();
    let model = observe(supplier, folder, "model", &["--derived-from", &source]);
    customer.until(&["show", &model], |view| view["statement"] == json!(model)).unwrap();
    (nodes, source, model)
}

#[test]
fn what_a_lineage_names_and_is_not_here_is_fetched_from_whoever_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let (nodes, source, model) = parted(folder.path());
    let [_, customer, _] = &nodes[..] else { panic!("three nodes") };
    // Nobody asked, and then everybody: whoever has it says so, and a pause is a pause.
    let (node, edges) = found(&customer.run(&["trace", &model, "--wait", "0"]).unwrap(), &source);
    assert_eq!((&node["state"], edges), (&json!("missing"), vec!["missing".to_owned()]));
    assert_eq!((&node["why"], node.get("asked")), (&json!(format!("{source} is not here")), None));
    let (node, edges) = found(&customer.run(&["trace", &model]).unwrap(), &source);
    assert_eq!((&node["state"], edges), (&json!("missing"), vec!["missing".to_owned()]));
    assert_eq!((said(&node, "supplier"), said(&node, "stranger")), (json!("has"), json!("paused")));
    assert!(node["why"].as_str().unwrap().contains("of stranger, as supplier says"), "{node}");
    assert!(node["why"].as_str().unwrap().contains("sync resume"), "{node}");

    // Asked once, without waiting for it to come by itself: the answer is whole.
    customer.run(&["sync", "resume", "stranger"]).unwrap();
    let (node, edges) = found(&customer.run(&["trace", &model]).unwrap(), &source);
    assert_eq!((&node["state"], edges), (&json!("verified"), vec!["verified".to_owned()]), "{node}");
    assert_eq!((&node["organisation"], &node["kind"]), (&json!("stranger"), &json!("observation")));
    // It is here now, with a place and a proof like any other.
    assert_eq!(customer.run(&["show", &source]).unwrap()["name"], "stranger");
    let path = customer.run(&["path", &model, &source]).unwrap();
    assert_eq!(found(&path, &source).1, ["verified"]);
}

#[test]
fn what_nobody_who_is_there_has_is_missing_and_says_who_could_not_be_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (nodes, source, model) = parted(folder.path());
    let [supplier, customer, stranger] = &nodes[..] else { panic!("three nodes") };
    stranger.kill().unwrap();
    supplier.kill().unwrap();
    customer.run(&["sync", "resume", "stranger"]).unwrap();
    for command in [["trace", model.as_str()], ["impact", source.as_str()]] {
        let (node, _) = found(&customer.run(&command).unwrap(), &source);
        assert_eq!(node["state"], "missing");
        for name in ["supplier", "stranger"] {
            assert_eq!(said(&node, name), "unreachable", "{node}");
        }
        let why = node["why"].as_str().unwrap();
        assert!(why.contains("cannot be reached: ") && why.contains("last heard at"), "{why}");
    }
    // Its author stays away; somebody else has it.
    supplier.start().unwrap();
    let whole =
        customer.until(&["trace", &model], |lineage| found(lineage, &source).0["state"] == "verified");
    assert_eq!(found(&whole.unwrap(), &source).1, ["verified"]);
    assert_eq!(found(&customer.run(&["impact", &source]).unwrap(), &model).0["state"], "verified");
}

#[test]
fn what_no_agreement_lets_cross_is_withheld_in_a_lineage_and_says_who_withholds_it() {
    let folder = tempfile::tempdir().unwrap();
    let (nodes, _) = mesh(folder.path());
    let [supplier, customer, stranger] = &nodes[..] else { panic!("three nodes") };
    let agreement = id(&supplier.run(&["mesh", "agree", "customer", "--kind", "observation"]).unwrap());
    customer.until(&["mesh", "agreements"], |all| all[0]["to_accept"] == json!(true)).unwrap();
    customer.run(&["mesh", "agree", "--accept", &agreement]).unwrap();
    let limited = ["--visibility", "parties", "--agreement", &agreement];
    let secret = observe(supplier, folder.path(), "data", &limited);
    customer.until(&["show", &secret], |view| view["statement"] == json!(secret)).unwrap();
    let open = observe(customer, folder.path(), "model", &["--derived-from", &secret]);
    stranger.until(&["show", &open], |view| view["statement"] == json!(open)).unwrap();

    // Both who have it say where it stands, and neither gives it.
    let lineage = stranger.run(&["trace", &open]).unwrap();
    let (node, edges) = found(&lineage, &secret);
    assert_eq!((&node["state"], edges), (&json!("withheld"), vec!["withheld".to_owned()]));
    assert_eq!((said(&node, "supplier"), said(&node, "customer")), (json!("withholds"), json!("withholds")));
    let why = node["why"].as_str().unwrap();
    assert!(why.contains("of supplier, as ") && why.contains("no agreement in force lets this node read it"));
    let edges = lineage["edges"].as_array().unwrap();
    assert!(edges.iter().any(|edge| edge["why"].as_str() == Some(why)), "{lineage}");
    assert!(stranger.run(&["show", &secret]).is_err());
    // For a party it is whole.
    let (node, edges) = found(&customer.run(&["trace", &open]).unwrap(), &secret);
    assert_eq!((&node["state"], edges), (&json!("verified"), vec!["verified".to_owned()]));
    assert_eq!(node.get("asked"), None, "it was here");
}

#[test]
fn what_is_revealed_later_takes_its_place_in_lineages_that_were_walked_before() {
    let folder = tempfile::tempdir().unwrap();
    let (nodes, _) = mesh(folder.path());
    let [supplier, customer, _] = &nodes[..] else { panic!("three nodes") };
    let source = observe(supplier, folder.path(), "data", &[]);
    let agreement = id(&supplier.run(&["mesh", "agree", "customer", "--kind", "observation"]).unwrap());
    let limited = ["--visibility", "parties", "--agreement", &agreement, "--derived-from", &source];
    let model = observe(supplier, folder.path(), "model", &limited);
    let later = observe(supplier, folder.path(), "later", &[]);
    customer.until(&["show", &later], |view| view["statement"] == json!(later)).unwrap();
    let reached = |lineage: &Value| {
        lineage["nodes"].as_array().unwrap().iter().any(|node| node["node"] == model.as_str())
    };
    assert!(!reached(&customer.run(&["impact", &source]).unwrap()), "its digest alone is here");

    customer.run(&["mesh", "agree", "--accept", &agreement]).unwrap();
    customer.until(&["show", &model], |view| view["statement"] == json!(model)).unwrap();
    assert!(reached(&customer.run(&["impact", &source]).unwrap()));
    assert_eq!(found(&customer.run(&["trace", &model]).unwrap(), &source).1, ["verified"]);
}
