//! Two verifiers that share no code, one in Rust and one in TypeScript, judge the same bundles: valid ones, bundles whose
//! bytes or items were changed by somebody who makes the digest fit again, and chains whose owner signs what it may not.
//!
//! They have to agree on whether a bundle verifies, on which check fails first, and on when statements must have been
//! made. What is allowed to differ:
//!
//! | difference | why |
//! | --- | --- |
//! | a profile whose expression does not compile | the second reads a part of the language, and says of the rest that it is not proven |
//! | a decision on evidence that such an expression looks into | the same |

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails this way says where"
)]

mod always;
mod decided;
mod expressions;
mod flips;
mod page;
mod parts;
mod recovered;
mod rules;
mod said;
mod second;
mod structure;
mod valid;
mod world;

use std::collections::BTreeMap;

use counterfoil_protocol::bundle::{Outcome, Report, TrustFile, verify, verify_with};
use counterfoil_protocol::chain::checkpoint::verifier;
use counterfoil_protocol::chain::cosignature::witness_name;
use counterfoil_protocol::chain::note::VerifierKey;
use counterfoil_protocol::keys::Signer as _;
use counterfoil_protocol::test_support::TestOrganisation;

use parts::Case;
use second::{Found, Times};

fn failed(report: &Report) -> Vec<&'static str> {
    report.failures().map(|check| check.check).collect()
}

/// What the second does not decide, and says so: whether an expression compiles that is beyond the part of the language
/// that it reads.
fn is_left_open(first: &Report, second: &Found) -> bool {
    let says = second.checks.iter().any(|one| one.check == "expression" && one.outcome == "not-proven");
    let Some(failure) = first.failures().next() else { return false };
    second.verified && says && failure.check == "payload" && failure.detail.contains("does not compile")
}

fn times_of(report: &Report) -> Vec<Times> {
    let times = report.times.iter().map(|times| Times {
        statement: times.statement.to_string(),
        not_before: times.not_before.map(|at| at.to_string()),
        not_after: times.not_after.map(|at| at.to_string()),
    });
    times.collect()
}

/// Says how the two differ on a file, if they do.
fn difference(name: &str, first: &Report, second: &Found) -> Option<String> {
    let (one, other) = (failed(first), second.failed());
    if first.is_verified() && second.verified && times_of(first) != second.times {
        return Some(format!("{name}: Rust has times {:?}, TypeScript {:?}", first.times, second.times));
    }
    let agree = first.is_verified() == second.verified && one.first() == other.first();
    (!agree && !is_left_open(first, second)).then(|| {
        let detail = first.failures().next().map(|check| check.detail.as_str()).unwrap_or_default();
        let opposite = second.checks.iter().find(|check| check.outcome == "failed");
        let opposite = opposite.map(|check| check.detail.as_str()).unwrap_or_default();
        format!("{name}: Rust {one:?} ({detail}), TypeScript {other:?} ({opposite})")
    })
}

/// What a comparison was made on.
#[derive(Default)]
struct Tally {
    verified: usize,
    /// By the check that failed first.
    refused: BTreeMap<&'static str, usize>,
    left_open: Vec<String>,
}

/// Has both judge every file, and fails with every difference.
fn compare(cases: &[Case]) -> Tally {
    let found = second::verify(cases);
    let mut tally = Tally::default();
    let mut differences = Vec::new();
    for (case, second) in cases.iter().zip(&found) {
        let first = verify(&case.bytes);
        differences.extend(difference(&case.name, &first, second));
        if is_left_open(&first, second) {
            tally.left_open.push(case.name.clone());
        } else if let Some(check) = failed(&first).first() {
            *tally.refused.entry(check).or_default() += 1;
        } else {
            tally.verified += 1;
        }
    }
    let count = differences.len();
    assert!(differences.is_empty(), "{count} of {} differ:\n{}", cases.len(), differences.join("\n"));
    tally
}

#[test]
fn bundles_that_are_in_order() {
    if !second::build() {
        return;
    }
    let cases = valid::all();
    let tally = compare(&cases);
    assert!(tally.refused.is_empty() && tally.left_open.is_empty(), "{:?}", tally.refused);
    assert_eq!(tally.verified, cases.len());
    assert!(tally.verified >= 40, "{}", tally.verified);
    let times = cases.iter().flat_map(|case| verify(&case.bytes).times);
    assert!(times.filter(|times| times.not_before.is_some() && times.not_after.is_some()).count() > 4);
}

#[test]
fn differences_are_noticed() {
    let (whole, broken) = (verify(&valid::lineage()), verify(b"CFBUNDLE"));
    let found = |report: &Report| Found {
        verified: report.is_verified(),
        checks: report
            .checks
            .iter()
            .map(|one| second::Check {
                check: one.check.into(),
                input: one.input.clone(),
                outcome: if one.outcome == Outcome::Failed { "failed".into() } else { "passed".into() },
                detail: one.detail.clone(),
            })
            .collect(),
        times: times_of(report),
    };
    for report in [&whole, &broken] {
        assert_eq!(difference("same", report, &found(report)), None);
    }
    assert!(difference("one verifies", &whole, &found(&broken)).is_some());
    assert!(difference("the other verifies", &broken, &found(&whole)).is_some());
    let mut other = found(&broken);
    other.checks.remove(0);
    assert!(difference("another check", &broken, &other).is_some());
    let mut other = found(&whole);
    other.times[0].not_after = Some("1".into());
    assert!(difference("another time", &whole, &other).is_some());
}

#[test]
fn bundles_whose_bytes_were_changed() {
    if !second::build() {
        return;
    }
    let cases = flips::all();
    let tally = compare(&cases);
    // Now and then the manifest names another period, for which the bundle is proof as well.
    assert!(tally.verified * 1000 <= cases.len(), "{} verified", tally.verified);
    for check in ["file-form", "statement-form", "signature", "inclusion", "head", "disclosure"] {
        assert!(tally.refused.contains_key(check), "nothing fails {check}: {:?}", tally.refused);
    }
}

#[test]
fn bundles_whose_items_were_changed() {
    if !second::build() {
        return;
    }
    let tally = compare(&structure::all());
    let expected = [
        "file-digest",
        "file-form",
        "statement-form",
        "signature",
        "inception",
        "inclusion",
        "completeness",
        "head",
        "cosignatures",
        "disclosure",
        "about",
        "gap",
        "range",
        "period",
        "misbehaviour",
        "link",
        "counterfoil",
    ];
    for check in expected {
        assert!(tally.refused.contains_key(check), "nothing fails {check}: {:?}", tally.refused);
    }
    // Some changes are no harm: an order of sections, a cosignature less.
    assert!(tally.verified > 0);
}

#[test]
fn chains_that_break_the_rules() {
    if !second::build() {
        return;
    }
    let tally = compare(&rules::all());
    let expected = [
        "statement-form",
        "signature",
        "threshold",
        "root-act",
        "identity",
        "payload",
        "scope",
        "credential-not-yet-valid",
        "credential-expired",
        "credential-suspended",
        "credential-revoked",
        "delegation",
        "former-key",
        "misbehaviour",
    ];
    for check in expected {
        assert!(tally.refused.contains_key(check), "nothing fails {check}: {:?}", tally.refused);
    }
    assert!(tally.verified > 10, "{}", tally.verified);
}

#[test]
fn chains_that_went_on_in_a_new_epoch() {
    if !second::build() {
        return;
    }
    let valid = recovered::valid();
    let tally = compare(&valid);
    assert_eq!((tally.verified, tally.refused.len()), (valid.len(), 0), "{:?}", tally.refused);
    let passes = |case: &&Case| verify(&case.bytes).checks.iter().any(|one| one.check == "recovery");
    assert_eq!(valid.iter().filter(passes).count(), valid.len(), "the reader is told of each");
    let violated = recovered::violated();
    let tally = compare(&violated);
    assert_eq!(tally.verified, 0);
    for check in ["head", "inclusion", "recovery", "link"] {
        assert!(tally.refused.contains_key(check), "nothing fails {check}: {:?}", tally.refused);
    }
    let tally = compare(&recovered::misbehaviour());
    assert_eq!((tally.verified, tally.refused.get("misbehaviour")), (2, Some(&5)), "{:?}", tally.refused);
}

#[test]
fn payloads_of_every_kind_in_every_wrong_shape() {
    if !second::build() {
        return;
    }
    let tally = compare(&said::all());
    let payload = tally.refused.get("payload").copied().unwrap_or_default();
    assert!(payload > 1000 && tally.verified > 300, "{payload} refused, {} verified", tally.verified);
    eprintln!("left open by the second: {}", tally.left_open.join(", "));
    let expressions = tally.left_open.iter().filter(|name| name.contains("/expression"));
    assert!(expressions.count() >= 2, "{:?}", tally.left_open);
    assert!(tally.left_open.len() < 40, "{:?}", tally.left_open);
}

#[test]
fn trust_files_are_read_the_same() {
    if !second::build() {
        return;
    }
    let bundle = valid::lineage();
    let (supplier, deployer) = (TestOrganisation::new(1), TestOrganisation::new(2));
    let [log, other] = [&supplier, &deployer]
        .map(|one| verifier(&one.id(), one.chain_key.public_key()).unwrap().to_string());
    let witness = |one: &TestOrganisation| {
        VerifierKey::cosigner(&witness_name(&one.id()), one.witness_key.public_key()).unwrap().to_string()
    };
    let (one, two) = (witness(&supplier), witness(&deployer));
    let names = format!("log {log}\nlog {other} https://example.org\n");
    let witnesses = format!("{names}witness one {one}\nwitness two {two} https://example.org\n");
    let texts = [
        names.clone(),
        format!("# comment\n\n log {log}"),
        format!("organisation {} hospital of the town\nlog {log}\r\n", deployer.id()),
        format!("log {log} a b"),
        format!("log {}", log.replace('+', "-")),
        format!("{names}quorum none"),
        format!("{witnesses}quorum two"),
        format!("{witnesses}quorum one\nquorum none"),
        format!("{witnesses}group g any one two\nquorum g"),
        format!("{witnesses}group g all one two\nquorum g"),
        format!("{witnesses}group g 3 one two\nquorum g"),
        format!("{witnesses}group g 0 one two\nquorum g"),
        format!("{witnesses}group g some one two\nquorum g"),
        format!("{witnesses}group g any three\nquorum g"),
        format!("{witnesses}group one any two\nquorum one"),
        format!("{witnesses}group none any two"),
        format!("{witnesses}quorum three"),
        "organisation org:x".into(),
        "organisation".into(),
        "frobnicate x".into(),
        String::new(),
    ];
    let case = [Case { name: String::new(), bytes: bundle.clone() }];
    let mut refused = 0;
    for text in texts {
        let second = second::trusting(&case[0], &text);
        match TrustFile::parse(&text) {
            Ok(trust) => {
                let second = second.unwrap_or_else(|| panic!("refused: {text}"));
                let difference = difference(&text, &verify_with(&bundle, &trust), &second);
                assert_eq!(difference, None);
            }
            Err(error) => {
                assert!(second.is_none(), "{text}: {error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 5, "{refused}");
}
