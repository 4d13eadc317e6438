//! For whom a bundle is: what is limited goes to whom may read it and to nobody else, and a file says what it leaves out.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use counterfoil_protocol::bundle::{BundleError, Outcome, Readers, Report, Wanted, verify, write};
use counterfoil_protocol::ids::{OrganisationId, StatementId, Timestamp};
use counterfoil_protocol::mesh::Agreements;
use counterfoil_protocol::statement::{Draft, Kind, Visibility};
use counterfoil_protocol::test_support::mesh::{Chain, Mesh, NOW, limited_story};
use counterfoil_protocol::test_support::{TestOrganisation, draft, observation};

fn organisation(seed: u64) -> OrganisationId {
    TestOrganisation::new(seed).id()
}

/// For these organisations, at some time.
fn readers(mesh: &Mesh, seeds: &[u64], at: Timestamp) -> Readers {
    let known = Agreements::of(mesh.chains.values().flat_map(|chain| &chain.statements));
    Readers::These(seeds.iter().map(|seed| known.audience(organisation(*seed), at)).collect())
}

/// The statements of the mesh that are not for everybody.
fn limited(mesh: &Mesh) -> Vec<(StatementId, Vec<u8>)> {
    let all = mesh.chains.values().flat_map(|chain| &chain.statements);
    let limited = all.filter(|one| one.statement().header().visibility != Visibility::Mesh);
    limited.map(|one| (one.id(), one.bytes().to_vec())).collect()
}

fn holds(file: &[u8], statement: &[u8]) -> bool {
    file.windows(statement.len()).any(|part| part == statement)
}

/// How a check came out, and in which words.
fn checks(report: &Report, check: &str) -> Vec<(Outcome, String)> {
    let all = report.checks.iter().filter(|one| one.check == check);
    all.map(|one| (one.outcome, one.detail.clone())).collect()
}

#[test]
fn what_is_limited_is_in_a_file_for_those_who_may_read_it_and_in_no_other() {
    let (mesh, about) = limited_story();
    let evaluation = limited(&mesh).remove(0);
    let proven = |readers: Readers| {
        let bytes = write(&mesh, &Wanted { readers, ..Wanted::lineage(&about) }).unwrap();
        let report = verify(&bytes);
        assert!(report.is_verified(), "{:?}", report.failures().collect::<Vec<_>>());
        let decision = checks(&report, "decision").remove(0);
        let is_proven = decision.0 == Outcome::Passed;
        assert_eq!(holds(&bytes, &evaluation.1), is_proven);
        if !is_proven {
            // It fails nothing, and passes nothing in silence.
            let why =
                format!("{}, which it weighed, is limited to others than this file is for", evaluation.0);
            assert_eq!(decision, (Outcome::NotProven, why));
            assert_eq!(report.decisions[0].recomputed, None);
            let gaps = checks(&report, "gap");
            assert!(!gaps.is_empty() && gaps.iter().all(|(outcome, _)| *outcome == Outcome::NotProven));
            assert!(gaps[0].1.ends_with("it is limited to others than this file is for"), "{gaps:?}");
            assert_eq!(checks(&report, "link")[0].0, Outcome::NotProven);
        }
        is_proven
    };
    assert!(!proven(Readers::default()), "for anybody");
    assert!(!proven(Readers::These(Vec::new())), "for nobody named is for anybody");
    let (supplier, deployer, stranger) = (1, 2, 3);
    assert!(proven(readers(&mesh, &[supplier], NOW)));
    assert!(proven(readers(&mesh, &[deployer], NOW)));
    assert!(proven(readers(&mesh, &[supplier, deployer], NOW)));
    assert!(!proven(readers(&mesh, &[stranger], NOW)));
    assert!(!proven(readers(&mesh, &[deployer, stranger], NOW)), "each of them has to be allowed to");
    // The agreement has ended: its author may still have it, nobody else.
    assert!(proven(readers(&mesh, &[supplier], NOW.plus(2))));
    assert!(!proven(readers(&mesh, &[deployer], NOW.plus(2))));
    assert!(proven(Readers::Chosen));
}

#[test]
fn a_file_about_what_its_readers_may_not_read_is_not_written() {
    let (mesh, _) = limited_story();
    let evaluation = limited(&mesh).remove(0).0;
    let wanted = |readers: Readers| Wanted { readers, ..Wanted::lineage(&[evaluation]) };
    let refused = write(&mesh, &wanted(Readers::Anybody)).unwrap_err();
    assert!(matches!(refused, BundleError::Limited(id) if id == evaluation), "{refused}");
    assert!(verify(&write(&mesh, &wanted(readers(&mesh, &[2], NOW))).unwrap()).is_verified());
}

#[test]
fn a_period_has_a_place_for_what_it_withholds() {
    let (mesh, _) = limited_story();
    let period = Some((Timestamp(0), Timestamp(u64::MAX), vec![organisation(1)]));
    let bytes = |readers: Readers| {
        write(&mesh, &Wanted { period: period.clone(), readers, ..Wanted::default() }).unwrap()
    };
    let range = |readers: Readers| {
        let report = verify(&bytes(readers));
        assert!(report.is_verified(), "{:?}", report.failures().collect::<Vec<_>>());
        assert_eq!(checks(&report, "period")[0].0, Outcome::Passed);
        checks(&report, "range").remove(0)
    };
    let size = mesh.chains[&organisation(1)].statements.len();
    let whole = format!("positions 0 to {size}: all {size} statements are here");
    assert_eq!(range(Readers::Chosen), (Outcome::Passed, whole));
    let partly = format!("positions 0 to {size}: {} statements here, 1 withheld", size - 1);
    assert_eq!(range(Readers::Anybody), (Outcome::NotProven, partly));
    assert!(!holds(&bytes(Readers::Anybody), &limited(&mesh)[0].1));
}

#[test]
fn what_is_private_is_for_its_author_alone() {
    let mut chain = Chain::new(1);
    let open = chain.say(Kind::Observation, &observation("evaluation/test", 1));
    let plain = draft(Some(organisation(1)), Kind::Observation, &observation("evaluation/test", 2));
    let private = Draft { visibility: Visibility::Private, ..plain };
    chain.append(private.sign(&chain.organisation.authority_key).unwrap());
    chain.sign(0);
    let mesh = Mesh::of([chain]);
    let private = limited(&mesh).remove(0);
    let has = |readers: Readers, about| {
        let written = write(&mesh, &Wanted { readers, ..Wanted::lineage(&[about]) });
        written.map(|bytes| holds(&bytes, &private.1)).unwrap_or(false)
    };
    assert!(!has(Readers::Anybody, private.0) && !has(readers(&mesh, &[2], NOW), private.0));
    assert!(has(readers(&mesh, &[1], NOW), private.0) && has(Readers::Chosen, private.0));
    assert!(!has(Readers::Chosen, open), "nothing in the lineage of the other asks for it");
}
