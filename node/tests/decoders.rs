//! No document makes an importer panic, and what it takes in is a valid claim.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

#[allow(dead_code, reason = "the grafts are for CBOR")]
#[path = "../../protocol/tests/mutation/mod.rs"]
mod mutation;

use counterfoil_node::import::{Trust, import};
use mutation::{cases, mutated, noise};
use proptest::prelude::*;
use serde_json::Value as Json;

/// The demonstration's evidence: one document of each kind that a name or a field tells apart.
const SAMPLES: [(&str, &[u8]); 7] = [
    ("model.sig", include_bytes!("../src/demo/evidence/model.sig")),
    ("slsa-provenance.dsse.json", include_bytes!("../src/demo/evidence/slsa-provenance.dsse.json")),
    ("vsa.dsse.json", include_bytes!("../src/demo/evidence/vsa.dsse.json")),
    ("ml-bom.cdx.json", include_bytes!("../src/demo/evidence/ml-bom.cdx.json")),
    ("model-card.md", include_bytes!("../src/demo/evidence/model-card.md")),
    ("evaluation.json", include_bytes!("../src/demo/evidence/evaluation.json")),
    ("assessment.json", include_bytes!("../src/demo/evidence/assessment.json")),
];
const KEYS: [(&str, &[u8]); 3] = [
    ("builder.pub", include_bytes!("../src/demo/evidence/keys/builder.pub")),
    ("supplier.pub", include_bytes!("../src/demo/evidence/keys/supplier.pub")),
    ("assessor.pub", include_bytes!("../src/demo/evidence/keys/assessor.pub")),
];

fn trust() -> Trust {
    let mut trust = Trust::default();
    KEYS.iter().for_each(|(name, key)| trust.add(name, key).unwrap());
    trust
}

/// Reads a document under every name that a document may have here.
fn read(document: &[u8]) {
    let (with, without) = (trust(), Trust::default());
    for (name, _) in SAMPLES {
        for trust in [&with, &without] {
            if let Ok(imported) = import(document, name, trust) {
                assert!(counterfoil_protocol::observation::claim::is_claim_type(&imported.claim));
            }
        }
    }
}

#[test]
fn every_sample_is_taken_in() {
    for (name, document) in SAMPLES {
        assert!(import(document, name, &trust()).is_ok(), "{name}");
    }
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        ".{0,12}".prop_map(Json::from),
        Just(Json::from("9999-99-99T99:99:99Z")),
        Just(Json::from("../../etc")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            proptest::collection::btree_map(".{0,6}", inner, 0..4)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

/// Puts `graft` in the place of the `at`-th value of a tree, counted from the top.
fn put(tree: &mut Json, at: &mut usize, graft: &Json) {
    if *at == 0 {
        *tree = graft.clone();
    }
    *at = at.wrapping_sub(1);
    match tree {
        Json::Array(items) => items.iter_mut().for_each(|item| put(item, at, graft)),
        Json::Object(fields) => fields.values_mut().for_each(|field| put(field, at, graft)),
        _ => {}
    }
}

/// A sample with one of its values replaced.
fn grafted() -> impl Strategy<Value = Vec<u8>> {
    let trees: Vec<Json> =
        SAMPLES.iter().filter_map(|(_, document)| serde_json::from_slice(document).ok()).collect();
    (proptest::sample::select(trees), 0usize..200, json()).prop_map(|(mut tree, at, graft)| {
        put(&mut tree, &mut { at }, &graft);
        serde_json::to_vec(&tree).unwrap()
    })
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn any_document(document in noise()) {
        read(&document);
    }

    #[test]
    fn changed_documents(document in mutated(SAMPLES.iter().map(|(_, document)| document.to_vec()).collect())) {
        read(&document);
    }

    #[test]
    fn documents_of_another_shape(document in grafted()) {
        read(&document);
    }

    #[test]
    fn changed_keys(key in mutated(KEYS.iter().map(|(_, key)| key.to_vec()).collect())) {
        // Refused or taken, and nothing else.
        let _ = Trust::default().add("changed.pub", &key);
    }
}
