//! Governed actuation with a real node: declared classes, stages, permits, deadlines, overrides, corrective actions.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::collections::BTreeSet;

use counterfoil_node::cli::client::{Address, Client, Refused};
use counterfoil_protocol::statement::{Kind, Payload, Statement};
use counterfoil_tests::process::Process;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_node-under-test");

const PROFILE: &str = r#"
    id = "safety"
    version = 1
    title = "Safety"
    family = "safety"
    actions = ["*"]
    vetoes = ["recall"]
    rule = "evaluation"
    [requirements.evaluation]
    claims = ["evaluation/*"]
    owner = "the evaluation team"
"#;

const ROLL_OUT: &str = r#"
    action = "update/*"
    reversibility = "compensable"
    stages = { dimension = "traffic", steps = [["1 %"], ["100 %"]] }
"#;

struct Bench {
    folder: tempfile::TempDir,
    node: Process,
}

fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let node = Process::started(PROGRAM, &folder.path().join("node"), "North Hospital").unwrap();
    let bench = Bench { folder, node };
    let declared = bench.node.run(&["profile", "declare", &bench.file("profile.toml", PROFILE)]).unwrap();
    let profile = declared[0]["statement"].as_str().unwrap();
    bench.node.run(&["profile", "activate", profile]).unwrap();
    bench
}

impl Bench {
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    }

    fn evaluated(&self, subject: &str) -> String {
        let claim = json!({ "claim": "evaluation/test", "subjects": [subject] }).to_string();
        let said = self.node.run(&["observe", &self.file("claim.json", &claim)]).unwrap();
        said[0]["statement"].as_str().unwrap().to_owned()
    }

    /// Exit code and answer of a command; what it says on standard error where it answers nothing.
    fn ask(&self, arguments: &[&str]) -> (i32, Value) {
        let output = self.node.output(arguments).unwrap();
        let said = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
        (output.status.code().unwrap(), serde_json::from_slice(said).unwrap())
    }

    fn request(&self, action: &str, subject: &str) -> String {
        let text = format!(
            "action = \"{action}\"\nsubjects = [\"{subject}\"]\nactuator = \"gateway\"\n\
             reversibility = \"reversible\"\n[scopes]\ntraffic = [\"1 %\", \"100 %\"]\n[predicted]\nerrors = \"<=20\"\n"
        );
        self.file("request.toml", &text)
    }

    fn decide(&self, action: &str, subject: &str) -> (i32, Value) {
        self.ask(&["decide", &self.request(action, subject)])
    }

    fn effect(&self, permit: &Value, errors: &str) -> (i32, Value) {
        let observed = self.file("observed.toml", &format!("errors = \"{errors}\"\n"));
        self.ask(&["effect", permit.as_str().unwrap(), "--observed", &observed])
    }

    /// A permit's one-time id.
    fn token(&self, permit: &Value) -> Vec<u8> {
        let file = self.folder.path().join("permit.cose");
        self.node.run(&["show", permit.as_str().unwrap(), "--raw", "-o", file.to_str().unwrap()]).unwrap();
        let statement = Statement::parse(std::fs::read(file).unwrap()).unwrap();
        let token = match Payload::decode(Kind::Permit, statement.payload()).unwrap() {
            Payload::Permit(permit) => Some(permit.token.0.clone()),
            _ => None,
        };
        token.unwrap()
    }

    fn client(&self) -> Client {
        let api = self.node.run(&["status"]).unwrap()["api"].as_str().unwrap().to_owned();
        let token = std::fs::read_to_string(self.node.data().join("api.token")).unwrap().trim().to_owned();
        Client::new(Address::Tcp(api, token))
    }
}

fn refused(client: &Client, path: &str, body: &Value) -> (u16, String) {
    let error = client.post::<Value>(path, body).unwrap_err();
    let problem = &error.downcast_ref::<Refused>().unwrap().0;
    (problem.status, problem.check.clone())
}

#[test]
fn a_permit_is_used_once_and_stages_follow_from_effects() {
    let bench = bench();
    bench.node.run(&["action", "class", &bench.file("class.toml", ROLL_OUT)]).unwrap();
    let listed = bench.node.run(&["action", "list"]).unwrap();
    assert_eq!(
        (listed[0]["kind"].as_str(), listed[0]["about"].as_str()),
        (Some("action-class"), Some("update/*"))
    );
    bench.evaluated("name:model");

    let permit_file = bench.folder.path().join("permit.cfb").to_string_lossy().into_owned();
    let request = bench.request("update/model", "name:model");
    let (code, first) = bench.ask(&["decide", &request, "-o", &permit_file]);
    assert_eq!((code, &first["verdict"]["scopes"]["traffic"]), (10, &json!(["1 %"])));
    assert_eq!(first["verdict"]["governed"]["reversibility"], "compensable");

    // The permit's file by itself: for its actuator, for its time, and only for a permit.
    assert_eq!(bench.ask(&["permit", "verify", &permit_file, "--actuator", "gateway"]).0, 0);
    assert_eq!(bench.ask(&["permit", "verify", &permit_file, "--actuator", "other"]).0, 3);
    assert_eq!(bench.ask(&["permit", "verify", &permit_file, "--at", "2019-01-01"]).0, 3);
    let organisation = bench.node.run(&["status"]).unwrap()["organisation"].as_str().unwrap().to_owned();
    let trusted = bench.file("trust", &format!("organisation {organisation}\n"));
    assert_eq!(bench.ask(&["permit", "verify", &permit_file, "--trust", &trusted]).0, 0);
    let distrusted = bench.file("distrust", "quorum none\n");
    assert_eq!(bench.ask(&["permit", "verify", &permit_file, "--trust", &distrusted]).0, 3);
    assert_eq!(bench.ask(&["permit", "verify", &request]).0, 3);

    // An effect as predicted uses it up, and opens the next stage.
    assert_eq!(bench.decide("update/model", "name:model").1["verdict"]["scopes"]["traffic"], json!(["1 %"]));
    let (code, reported) = bench.effect(&first["permit"], "7");
    assert_eq!((code, &reported["mismatches"]), (0, &json!([])));
    let body = json!({ "permit": first["permit"], "observed": {} });
    assert_eq!(refused(&bench.client(), "/v1/effects", &body), (409, "permit-used".into()));
    let (code, second) = bench.decide("update/model", "name:model");
    assert_eq!((code, &second["verdict"]["scopes"]["traffic"]), (10, &json!(["100 %"])));
    // Another than predicted does its stage again, and raises a nonconformity.
    let (_, failed) = bench.effect(&second["permit"], "21");
    let nonconformity = failed["nonconformity"].as_str().unwrap().to_owned();
    assert_eq!(failed["mismatches"][0]["predicted"], "<=20");
    let (_, third) = bench.decide("update/model", "name:model");
    assert_eq!(third["verdict"]["governed"]["stage"]["cleared"], 1);
    bench.effect(&third["permit"], "20");
    assert_eq!(bench.decide("update/model", "name:model").0, 0);

    // What is done about it.
    let one = bench.node.run(&["nonconformity", "show", &nonconformity]).unwrap();
    assert_eq!((&one["state"], &one["cause_kind"]), (&json!("open"), &json!("effect")));
    let effect = one["cause"].as_str().unwrap();
    let correct = ["correct", &nonconformity, "--action", "retrain", "--cause", effect];
    let due = [&correct[..], &["--responsible", "officer", "--due", "2019-01-01"]].concat();
    assert_eq!(bench.node.run(&due).unwrap()["state"], "overdue");
    let close = [&correct[..], &["--close", "--evidence", reported["effect"].as_str().unwrap()]].concat();
    let closed = bench.node.run(&close).unwrap();
    assert_eq!((&closed["state"], closed["actions"].as_array().unwrap().len()), (&json!("closed"), 2));
    let again = json!({ "nonconformity": nonconformity, "action": "again" });
    assert_eq!(refused(&bench.client(), "/v1/corrections", &again), (409, "nonconformity-closed".into()));
    let raise = ["nonconformity", "raise", effect, "--finding", "the log has a gap"];
    let raised = bench.node.run(&raise).unwrap()["statement"].as_str().unwrap().to_owned();
    let open = bench.node.run(&["nonconformity", "list", "--open"]).unwrap();
    assert_eq!((open.as_array().unwrap().len(), &open[0]["statement"]), (1, &json!(raised)));

    // All of it in one file, offline.
    let bundle = bench.folder.path().join("all.cfb").to_string_lossy().into_owned();
    bench.node.run(&["bundle", &nonconformity, "-o", &bundle]).unwrap();
    assert_eq!(bench.ask(&["verify", &bundle]).0, 0);
}

#[test]
fn no_two_permits_share_an_id_and_a_used_one_stays_used_after_a_restart() {
    let bench = bench();
    bench.evaluated("name:model");
    let again = || {
        bench.node.kill().unwrap();
        bench.node.start().unwrap();
    };
    // The same request again and again, before a restart and after it.
    let mut permits: Vec<Value> = (0..4).map(|_| bench.decide("deploy", "name:model").1).collect();
    again();
    permits.extend((0..4).map(|_| bench.decide("deploy", "name:model").1));
    let permits: Vec<Value> = permits.into_iter().map(|decided| decided["permit"].clone()).collect();
    let tokens: BTreeSet<Vec<u8>> = permits.iter().map(|permit| bench.token(permit)).collect();
    assert_eq!(tokens.len(), permits.len());
    assert!(tokens.iter().all(|token| token.len() >= 16));

    // Each is used once, whenever the node ran.
    assert_eq!(bench.effect(&permits[0], "7").0, 0);
    again();
    let used = |permit: &Value| {
        refused(&bench.client(), "/v1/effects", &json!({ "permit": permit, "observed": {} }))
    };
    assert_eq!(used(&permits[0]), (409, "permit-used".into()));
    assert_eq!(bench.effect(&permits[1], "7").0, 0);
    assert_eq!(used(&permits[1]), (409, "permit-used".into()));
    again();
    assert_eq!(used(&permits[0]), (409, "permit-used".into()));
    assert_eq!(bench.effect(&permits[4], "7").0, 0);
}

#[test]
fn an_effect_that_is_not_reported_in_time_is_noticed_once_also_after_a_restart() {
    let bench = bench();
    let class = "action = \"*\"\nreversibility = \"reversible\"\neffect-s = 1\n";
    bench.node.run(&["action", "class", &bench.file("class.toml", class)]).unwrap();
    bench.evaluated("name:model");
    let (_, first) = bench.decide("deploy", "name:model");
    // The deadline passes while the node does not run, or just after it runs again: either way it is noticed.
    bench.node.kill().unwrap();
    bench.node.start().unwrap();
    let count = |value: &Value, n: usize| value.as_array().is_some_and(|list| list.len() == n);
    let found = bench.node.until(&["nonconformity", "list"], |found| count(found, 1)).unwrap();
    assert_eq!((&found[0]["cause"], &found[0]["cause_kind"]), (&first["permit"], &json!("permit")));
    bench.node.kill().unwrap();
    bench.node.start().unwrap();
    // The second is noticed after the first was looked at again.
    let (_, second) = bench.decide("deploy", "name:model");
    let found = bench.node.until(&["nonconformity", "list"], |found| !count(found, 1)).unwrap();
    assert!(count(&found, 2) && found[1]["cause"] == second["permit"], "{found}");
    // What is reported late has its nonconformity already.
    let (code, late) = bench.effect(&first["permit"], "1");
    assert_eq!((code, late.get("nonconformity")), (0, None));
    assert!(count(&bench.node.run(&["nonconformity", "list"]).unwrap(), 2));
}

#[test]
fn an_override_is_paid_for_reviewed_and_refused_when_the_budget_is_spent() {
    let bench = bench();
    let issue = ["authority", "issue", "--role", "duty-officer", "--overrides", "1/30"];
    bench.node.run(&issue).unwrap();
    let request = bench.request("deploy", "name:model");
    let override_ =
        |reason: &str, role: &str| bench.ask(&["decide", &request, "--override", reason, "--as", role]);
    let (code, deferred) = bench.decide("deploy", "name:model");
    assert_eq!(code, 11);
    let missing = &deferred["verdict"]["missing"][0][0];
    assert!(missing["way_out"].as_str().unwrap().contains("ask the evaluation team"), "{missing}");

    // Nobody without a budget; and then once, and no more.
    assert_eq!(override_("mass casualty", "steward").1["check"], "override-credential");
    let (code, allowed) = override_("mass casualty", "duty-officer");
    assert_eq!((code, &allowed["verdict"]["mode"]), (0, &json!("continue")));
    let ruling = &allowed["verdict"]["governed"]["overridden"];
    assert_eq!((&ruling["instead_of"], &ruling["left"]), (&json!("defer"), &json!(0)));
    assert!(allowed["permit"].is_string());
    assert_eq!(override_("once more", "duty-officer").1["check"], "override-budget");
    let body = json!({
        "request": { "action": "deploy", "subjects": ["name:model"], "actuator": "a", "reversibility": "reversible" },
        "override": { "reason": "again", "as": "duty-officer" },
    });
    assert_eq!(refused(&bench.client(), "/v1/decisions", &body), (429, "override-budget".into()));
    // It stands for one decision alone, and is to be reviewed.
    assert_eq!(bench.decide("deploy", "name:model").0, 11);
    let reviews = bench.node.run(&["nonconformity", "list"]).unwrap();
    assert_eq!((reviews.as_array().unwrap().len(), &reviews[0]["cause"]), (1, &allowed["decision"]));
    let overrides = bench.node.run(&["log", "--kind", "override"]).unwrap();
    assert_eq!(overrides.as_array().unwrap().len(), 1);

    let bundle = bench.folder.path().join("override.cfb").to_string_lossy().into_owned();
    bench.node.run(&["bundle", allowed["decision"].as_str().unwrap(), "-o", &bundle]).unwrap();
    let (code, verified) = bench.ask(&["verify", &bundle]);
    assert_eq!(code, 0, "{verified}");

    // An irreversible action is beyond it, and so is a veto; and nothing is spent where nothing stands in the way.
    let class =
        "action = \"treat\"\nreversibility = \"irreversible\"\npoint-of-no-return = { what = \"done\" }\n";
    bench.node.run(&["action", "class", &bench.file("class.toml", class)]).unwrap();
    let request = bench.request("treat", "name:model");
    let (_, beyond) = bench.ask(&["decide", &request, "--override", "x", "--as", "duty-officer"]);
    assert_eq!(beyond["check"], "override-irreversible");
    let evaluation = bench.evaluated("name:other");
    let request = bench.request("deploy", "name:other");
    let (_, needless) = bench.ask(&["decide", &request, "--override", "x", "--as", "duty-officer"]);
    assert_eq!(needless["check"], "override-needless");
    bench.node.run(&["recall", &evaluation, "--reason", "flawed"]).unwrap();
    let (_, vetoed) = bench.ask(&["decide", &request, "--override", "x", "--as", "duty-officer"]);
    assert_eq!(vetoed["check"], "override-veto");
}

#[test]
fn an_unreachable_supplier_defers_what_cannot_be_undone_and_leaves_a_declared_part_of_what_can() {
    let bench = bench();
    let supplier = Process::started(PROGRAM, &bench.folder.path().join("supplier"), "Aurora").unwrap();
    let id = supplier.run(&["status"]).unwrap()["organisation"].as_str().unwrap().to_owned();
    bench.node.run(&["mesh", "create", "--name", "m", "--member", &id, "--freshness", "1"]).unwrap();
    let invitation = bench.node.run(&["mesh", "invite"]).unwrap();
    supplier.run(&["mesh", "join", invitation.as_str().unwrap()]).unwrap();
    bench.node.run(&["mesh", "recognise", &id, "--claim", "evaluation/*"]).unwrap();
    let degraded = format!("{PROFILE}\n[degraded]\ntraffic = [\"1 %\"]\n");
    let declared = bench.node.run(&["profile", "declare", &bench.file("degraded.toml", &degraded)]).unwrap();
    bench.node.run(&["profile", "activate", declared[0]["statement"].as_str().unwrap()]).unwrap();
    let claim = json!({ "claim": "evaluation/test", "subjects": ["name:model"] }).to_string();
    let said = supplier.run(&["observe", &bench.file("claim.json", &claim)]).unwrap();
    bench.node.until(&["show", said[0]["statement"].as_str().unwrap()], |_| true).unwrap();

    // Nobody hears of the supplier any more; after a second, what it said says nothing about the present.
    supplier.kill().unwrap();
    let mut answer = bench.decide("deploy", "name:model");
    for _ in 0..200 {
        if answer.0 != 0 {
            break;
        }
        answer = bench.decide("deploy", "name:model");
    }
    let (code, partial) = answer;
    assert_eq!((code, &partial["verdict"]["scopes"]["traffic"]), (10, &json!(["1 %"])));
    assert_eq!(partial["verdict"]["governed"]["degraded"], true);
    assert!(partial["permit"].is_string());
    let requirement = &partial["verdict"]["profiles"][0]["requirements"]["evaluation"];
    assert_eq!(requirement["considered"][0]["refused"][0]["code"], "unknown-freshness");
    let text = std::fs::read_to_string(bench.request("deploy", "name:model")).unwrap();
    let text = text.replace("\"reversible\"", "\"irreversible\"");
    let (code, deferred) = bench.ask(&["decide", &bench.file("irreversible.toml", &text)]);
    assert_eq!((code, deferred.get("permit")), (11, None));

    // What nobody has said anything of the supplier may have evaluated, who is recognised for it: that is not known.
    let (code, waiting) = bench.decide("deploy", "name:other");
    let requirement = &waiting["verdict"]["profiles"][0]["requirements"]["evaluation"];
    let silent = &requirement["unheard"][0]["organisation"];
    assert_eq!((code, &requirement["state"], silent), (11, &json!("unknown"), &json!(id)));

    // All are recorded, and follow from what was known.
    let bundle = bench.folder.path().join("both.cfb").to_string_lossy().into_owned();
    let decisions = [&partial, &deferred, &waiting].map(|one| one["decision"].as_str().unwrap());
    bench.node.run(&[&["bundle"], &decisions[..], &["-o", &bundle]].concat()).unwrap();
    let (code, verified) = bench.ask(&["verify", &bundle]);
    assert_eq!(code, 0, "{verified}");
}

/// The edges of a lineage, by what their ends are: the kind of a statement, or a subject's text.
fn edges(lineage: &Value) -> BTreeSet<(String, String, String)> {
    let of = |node: &Value| {
        let mut nodes = lineage["nodes"].as_array().unwrap().iter();
        let found = nodes.find(|one| one["node"] == *node).unwrap();
        found["kind"].as_str().or(found["node"].as_str()).unwrap().to_owned()
    };
    let edges = lineage["edges"].as_array().unwrap().iter();
    edges
        .map(|edge| (of(&edge["from"]), edge["kind"].as_str().unwrap().to_owned(), of(&edge["to"])))
        .collect()
}

fn all<'a>(edges: impl IntoIterator<Item = &'a [&'a str; 3]>) -> BTreeSet<(String, String, String)> {
    edges
        .into_iter()
        .map(|[from, kind, to]| ((*from).to_owned(), (*kind).to_owned(), (*to).to_owned()))
        .collect()
}

/// The kinds of edges on a way, in order.
fn way(lineage: &Value) -> Vec<&str> {
    lineage["edges"].as_array().unwrap().iter().map(|edge| edge["kind"].as_str().unwrap()).collect()
}

#[test]
fn a_corrective_action_leads_back_over_the_effect_to_the_evidence_and_the_evidence_forward_to_it() {
    let bench = bench();
    let evaluation = bench.evaluated("name:model");
    let (_, decided) = bench.decide("deploy", "name:model");
    let (_, failed) = bench.effect(&decided["permit"], "21");
    let nonconformity = failed["nonconformity"].as_str().unwrap().to_owned();
    let proof = bench.evaluated("name:retrained");
    let correct = ["correct", &nonconformity, "--action", "retrain", "--close", "--evidence", &proof];
    let corrected = bench.node.run(&correct).unwrap();
    let action = corrected["actions"][0]["statement"].as_str().unwrap();

    let upstream = [
        ["corrective-action", "effect-of", "nonconformity"],
        ["corrective-action", "evidence-for", "observation"],
        ["nonconformity", "effect-of", "effect"],
        ["effect", "actuated-by", "permit"],
        ["permit", "decided-by", "decision"],
        ["decision", "evidence-for", "observation"],
    ];
    let trace = bench.node.run(&["trace", action]).unwrap();
    let found = edges(&trace);
    assert!(found.is_superset(&all(&upstream)), "{found:#?}");
    // What a name stands for is the only thing that nobody proves.
    for edge in trace["edges"].as_array().unwrap() {
        assert!(edge["state"] == "verified" || edge["to"].as_str().unwrap().starts_with("name:"), "{edge}");
    }
    // All the way, whichever end is named first.
    let kinds = ["effect-of", "effect-of", "actuated-by", "decided-by", "evidence-for"];
    for ends in [[action, &evaluation], [evaluation.as_str(), action]] {
        assert_eq!(way(&bench.node.run(&["path", ends[0], ends[1]]).unwrap()), kinds);
    }
    // Forward, what was deployed on the evidence and what was done about it are what a recall of it would reach.
    let impact = bench.node.run(&["impact", &evaluation]).unwrap();
    let on_the_way: Vec<_> = upstream.iter().filter(|[_, kind, _]| *kind != "evidence-for").collect();
    assert!(edges(&impact).is_superset(&all(on_the_way)), "{impact}");
    // Evidence that a correction has worked leads to the correction alone.
    let impact = bench.node.run(&["impact", &proof]).unwrap();
    let kinds: BTreeSet<&str> =
        impact["nodes"].as_array().unwrap().iter().filter_map(|node| node["kind"].as_str()).collect();
    assert_eq!(kinds, BTreeSet::from(["corrective-action", "observation"]));
}

#[test]
fn what_an_override_let_go_ahead_is_found_from_it_and_leads_back_to_it() {
    let bench = bench();
    bench.node.run(&["authority", "issue", "--role", "duty-officer", "--overrides", "1/30"]).unwrap();
    let request = bench.request("deploy", "name:model");
    let (_, allowed) =
        bench.ask(&["decide", &request, "--override", "mass casualty", "--as", "duty-officer"]);
    let permit = allowed["permit"].as_str().unwrap();
    let (_, reported) = bench.effect(&allowed["permit"], "7");
    let effect = reported["effect"].as_str().unwrap();
    let overrides = bench.node.run(&["log", "--kind", "override"]).unwrap();
    let override_ = overrides[0]["statement"].as_str().unwrap();

    let trace = bench.node.run(&["trace", effect]).unwrap();
    let upstream = [
        ["effect", "actuated-by", "permit"],
        ["permit", "decided-by", "decision"],
        ["decision", "evidence-for", "override"],
        ["override", "about", "name:model"],
    ];
    assert!(edges(&trace).is_superset(&all(&upstream)), "{trace}");
    assert_eq!(way(&bench.node.run(&["path", override_, permit]).unwrap()), ["decided-by", "evidence-for"]);
    // Forward: the decision, what was done, and the review that it owes.
    let impact = bench.node.run(&["impact", override_]).unwrap();
    let downstream = [upstream[0], upstream[1], upstream[2], ["nonconformity", "effect-of", "decision"]];
    assert_eq!(edges(&impact), all(&downstream));
    assert!(impact["edges"].as_array().unwrap().iter().all(|edge| edge["state"] == "verified"), "{impact}");
    // A decision that it was not for does not rest on it.
    let (_, deferred) = bench.decide("deploy", "name:model");
    let trace = bench.node.run(&["trace", deferred["decision"].as_str().unwrap()]).unwrap();
    let nodes = trace["nodes"].as_array().unwrap();
    assert!(!nodes.iter().any(|node| node["kind"] == "override"), "{trace}");
}
