//! Single changed bytes: none of them leaves a bundle or a receipt verified. `MUTATIONS` says how many are tried.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::sync::atomic::{AtomicUsize, Ordering};

use counterfoil_node::service::proof::Proof;
use counterfoil_protocol::bundle::verify;
use counterfoil_protocol::chain::checkpoint::Checkpoint;
use counterfoil_protocol::chain::receipt::Receipt;
use counterfoil_protocol::digest::blake3;
use counterfoil_protocol::identity::Organisation;
use counterfoil_protocol::ids::OrganisationId;
use counterfoil_protocol::statement::{Payload, Statement};
use counterfoil_tests::process::Process;

const PROGRAM: &str = env!("CARGO_BIN_EXE_node-under-test");

fn mutations() -> usize {
    std::env::var("MUTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(4_000)
}

/// The `n`th change of a file: where, and which bits. Spread evenly, the same each time.
fn change(n: usize, length: usize) -> (usize, u8) {
    let digest = blake3(&(n as u64).to_be_bytes());
    let at = u64::from_be_bytes(digest[..8].try_into().unwrap()) as usize % length;
    (at, digest[8].max(1))
}

/// Runs `check` for each number on all cores.
fn each(count: usize, check: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return;
                    }
                    check(n);
                }
            });
        }
    });
}

#[test]
fn no_single_changed_byte_leaves_anything_verified() {
    let folder = tempfile::tempdir().unwrap();
    let node = Process::started(PROGRAM, &folder.path().join("node"), "North Hospital").unwrap();
    let claim = folder.path().join("claim.json");
    std::fs::write(&claim, r#"{"claim": "evaluation/test", "subjects": ["name:model"]}"#).unwrap();
    let said = node.run(&["observe", &claim.to_string_lossy()]).unwrap();
    let id = said[0]["statement"].as_str().unwrap().to_owned();
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    node.run(&["bundle", &id, "-o", &file("bundle.cfb")]).unwrap();
    let proof = node.run(&["receipt", &id, "-o", &file("receipt.cose")]).unwrap();
    node.run(&["show", &id, "--raw", "-o", &file("statement.cose")]).unwrap();

    // The digest at the end is made to fit, or it alone would catch every change.
    let bundle = std::fs::read(file("bundle.cfb")).unwrap();
    assert!(verify(&bundle).is_verified());
    let covered = bundle.len() - 34;
    each(mutations() / 4, |n| {
        let (at, bits) = change(n, covered);
        let mut changed = bundle.clone();
        changed[at] ^= bits;
        let digest = blake3(&changed[..covered]);
        changed[covered + 2..].copy_from_slice(&digest);
        assert!(!verify(&changed).is_verified(), "byte {at} of the bundle");
    });

    let inception = std::fs::read(node.data().join("inception.cose")).unwrap();
    let inception = Statement::parse(inception).unwrap();
    let organisation = OrganisationId::from(inception.id());
    let Ok(Payload::Organisation(description, _)) =
        Payload::decode(inception.header().kind, inception.payload())
    else {
        unreachable!("an inception")
    };
    let Organisation { chain_key, .. } = *description;
    let leaf = Statement::parse(std::fs::read(file("statement.cose")).unwrap()).unwrap().leaf_digest();
    let receipt = std::fs::read(file("receipt.cose")).unwrap();
    let proof: Proof = serde_json::from_value(proof).unwrap();
    let (checkpoint, _) = Checkpoint::open(&proof.checkpoint.0, &organisation, chain_key).unwrap();
    let holds = |bytes: &[u8]| {
        Receipt::parse(bytes).is_ok_and(|receipt| {
            receipt.verify_with_checkpoint(&organisation, &chain_key, &leaf, &checkpoint).is_ok()
        })
    };
    assert!(holds(&receipt));
    each(mutations() - mutations() / 4, |n| {
        let (at, bits) = change(n, receipt.len());
        let mut changed = receipt.clone();
        changed[at] ^= bits;
        assert!(!holds(&changed), "byte {at} of the receipt");
    });
}
