//! Documents made for the purpose: what only a signer of one's own can show.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use counterfoil_protocol::observation::{SourceSignature, Subject};
use serde_json::{Value as Json, json};
use sigstore_verify::crypto::KeyPair;

use super::dsse::pae;
use super::{IMPORT_BYTES_MAX, ImportError, Imported, Trust, import};

const IN_TOTO: &str = "application/vnd.in-toto+json";
const DIGEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

struct Signer(KeyPair);

impl Signer {
    fn new() -> Self {
        Self(KeyPair::generate_ecdsa_p256().unwrap())
    }

    fn trust(&self) -> Trust {
        let mut trust = Trust::default();
        trust.add("signer.pem", self.0.public_key_der().unwrap().to_pem().as_bytes()).unwrap();
        trust
    }

    fn sign(&self, message: &[u8]) -> String {
        STANDARD.encode(self.0.sign(message).unwrap().as_bytes())
    }

    fn envelope(&self, statement: &Json) -> Json {
        let payload = statement.to_string();
        let sig = self.sign(&pae(IN_TOTO, payload.as_bytes()));
        json!({
            "payload": URL_SAFE_NO_PAD.encode(&payload),
            "payloadType": IN_TOTO,
            "signatures": [{ "keyid": "any", "sig": sig }],
        })
    }
}

fn statement(kind: &str, predicate: Json) -> Json {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "model.onnx", "digest": { "sha256": DIGEST } }],
        "predicateType": kind,
        "predicate": predicate,
    })
}

fn read(document: &Json, trust: &Trust) -> Result<Imported, ImportError> {
    import(document.to_string().as_bytes(), "document.json", trust)
}

#[test]
fn a_signature_verifies_under_its_key_is_refused_under_another_and_stands_unverified_without() {
    let (signer, stranger) = (Signer::new(), Signer::new());
    let document = signer.envelope(&statement("https://slsa.dev/provenance/v1", json!({})));
    let imported = read(&document, &signer.trust()).unwrap();
    assert_eq!(imported.source.signature, SourceSignature::Verified);
    assert_eq!(imported.source.format, "in-toto/slsa-provenance-v1+dsse");
    assert!(imported.source.signer.unwrap().starts_with("key sha256:"));
    assert_eq!(read(&document, &stranger.trust()).unwrap_err().check, "dsse-signature");
    let unverified = read(&document, &Trust::default()).unwrap().source;
    assert_eq!((unverified.signature, unverified.signer), (SourceSignature::Unverified, None));
}

#[test]
fn one_key_that_signs_twice_is_one_signer() {
    let signer = Signer::new();
    let mut document = signer.envelope(&statement("https://slsa.dev/provenance/v1", json!({})));
    let first = document["signatures"][0].clone();
    document["signatures"] = json!([first, { "sig": "AAAA" }, first]);
    let source = read(&document, &signer.trust()).unwrap().source;
    assert_eq!(source.signer.unwrap().matches("key sha256:").count(), 1);
    assert!(
        source.checks[0].detail.contains("2 of 3 signatures") && source.checks[0].detail.contains("by 1 of")
    );
}

#[test]
fn a_signature_over_the_bare_payload_counts_for_cloud_build_alone() {
    let signer = Signer::new();
    let mut envelope = signer.envelope(&statement("https://slsa.dev/provenance/v0.1", json!({})));
    let payload = statement("https://slsa.dev/provenance/v0.1", json!({})).to_string();
    envelope["signatures"][0]["sig"] = json!(signer.sign(payload.as_bytes()));
    assert_eq!(read(&envelope, &signer.trust()).unwrap_err().check, "dsse-signature");
    let image = |digest: &str| {
        json!({
            "image_summary": { "digest": digest },
            "provenance_summary": { "provenance": [{ "envelope": envelope }] },
        })
    };
    let imported = read(&image(&format!("sha256:{DIGEST}")), &signer.trust()).unwrap();
    assert_eq!(
        (imported.source.signature, imported.claim.as_str()),
        (SourceSignature::Verified, "provenance/slsa")
    );
    let other = image(&format!("sha256:{}", "0".repeat(64)));
    assert_eq!(read(&other, &signer.trust()).unwrap_err().check, "subject-digest");
}

#[test]
fn provenance_names_its_materials_and_its_time() {
    let predicate = json!({
        "buildDefinition": {
            "buildType": "https://example.com/build",
            "resolvedDependencies": [
                { "uri": "git+https://example.com/a", "digest": { "gitCommit": "00ff" } },
                { "uri": "data.csv", "digest": { "sha256": DIGEST, "md5": "00" } },
                { "uri": "pkg:pypi/torch" },
            ],
        },
        "runDetails": { "builder": { "id": "builder" }, "metadata": { "finishedOn": "1970-01-02T00:00:00Z" } },
    });
    let imported = read(&statement("https://slsa.dev/provenance/v1", predicate), &Trust::default()).unwrap();
    let materials: Vec<_> = imported.materials.iter().map(|material| material.key().to_string()).collect();
    assert_eq!(materials, ["name:gitCommit:00ff", &format!("sha256:{DIGEST}"), "name:pkg:pypi/torch"]);
    assert_eq!(imported.effective.unwrap().0, 86_400);
    assert_eq!(imported.source.signature, SourceSignature::Unsigned);
}

#[test]
fn a_failed_verdict_speaks_against_its_subject() {
    for (kind, result) in [
        ("https://slsa.dev/verification_summary/v1", "verificationResult"),
        ("https://in-toto.io/attestation/test-result/v0.1", "result"),
    ] {
        for (verdict, adverse) in [("PASSED", false), ("FAILED", true)] {
            let document = statement(kind, json!({ result: verdict }));
            assert_eq!(read(&document, &Trust::default()).unwrap().adverse, adverse, "{kind} {verdict}");
        }
    }
}

#[test]
fn a_signed_model_keeps_its_names_inside_and_its_root_over_all() {
    let resource = |name: &str| json!({ "name": name, "algorithm": "sha256", "digest": DIGEST });
    let raw = data_encoding::HEXLOWER.decode(DIGEST.as_bytes()).unwrap();
    let root = data_encoding::HEXLOWER.encode(&counterfoil_protocol::digest::sha256(&[&raw]));
    let model = |name: &str, root: &str| {
        let mut document =
            statement(super::model_signing::PREDICATE_TYPE, json!({ "resources": [resource(name)] }));
        document["subject"][0]["digest"]["sha256"] = json!(root);
        read(&document, &Trust::default())
    };
    let imported = model("weights/model.bin", &root).unwrap();
    assert_eq!((imported.claim.as_str(), imported.subjects.len()), ("provenance/model-signature", 2));
    for name in ["../model.bin", "/model.bin", "a/../../b", "a\\b"] {
        assert_eq!(model(name, &root).unwrap_err().check, "resource-name", "{name}");
    }
    assert_eq!(model("model.bin", DIGEST).unwrap_err().check, "model-root-digest");
}

#[test]
fn a_bill_of_material_is_about_the_hash_of_its_component() {
    let document = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.6",
        "metadata": {
            "timestamp": "1970-01-02T00:00:00Z",
            "component": {
                "type": "machine-learning-model", "name": "triage", "bom-ref": "m",
                "hashes": [{ "alg": "SHA-256", "content": DIGEST }],
                "modelCard": {
                    "modelParameters": { "datasets": [{ "ref": "d" }, { "type": "dataset", "name": "extra" }] },
                    "quantitativeAnalysis": { "performanceMetrics": [
                        { "type": "auroc", "value": "0.94" },
                        { "type": "auroc", "value": "0.81", "slice": "age>80" },
                    ] },
                },
            },
        },
        "components": [{ "type": "data", "name": "chest-xrays", "version": "2", "bom-ref": "d" }],
    });
    let imported = read(&document, &Trust::default()).unwrap();
    assert_eq!(imported.subjects[0].key().to_string(), format!("sha256:{DIGEST}"));
    assert_eq!(imported.materials, [Subject::Named("chest-xrays@2".into()), Subject::Named("extra".into())]);
    let metrics: Vec<_> = imported.metrics.iter().map(|metric| (metric.name.as_str(), metric.ppm)).collect();
    assert_eq!(metrics, [("auroc", 940_000), ("auroc@age>80", 810_000)]);
}

#[test]
fn our_own_json_is_read_strictly() {
    let good = json!({
        "claim": "evaluation/clinical",
        "subjects": ["radiology-triage", format!("sha256:{DIGEST}")],
        "effective": "2026-01-01", "expires": "2027-01-01T00:00:00Z", "adverse": true,
        "content": { "site": "north", "cohort": 1200, "share": 0.25, "none": null },
        "metrics": { "auroc": 0.94, "sensitivity": "91.5%" },
        "materials": ["cohort-7"],
    });
    let imported = read(&good, &Trust::default()).unwrap();
    assert!(imported.adverse && imported.expires > imported.effective);
    assert_eq!((imported.subjects.len(), imported.materials.len(), imported.content.len()), (2, 1, 3));
    assert_eq!(imported.metrics.iter().map(|metric| metric.ppm).collect::<Vec<_>>(), [940_000, 915_000]);
    for (field, value, check) in [
        ("claim", json!("Evaluation"), "claim"),
        ("subjects", json!([]), "claim"),
        ("subjects", json!(["sha256:00"]), "subject-digest"),
        ("effective", json!("soon"), "document"),
        ("expires", json!("2025-01-01"), "claim"),
        ("metrics", json!({ "auroc": "high" }), "document"),
        ("unknown", json!(1), "document"),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        assert_eq!(read(&bad, &Trust::default()).unwrap_err().check, check, "{field}");
    }
}

#[test]
fn anything_else_is_a_file_and_what_is_too_large_is_refused() {
    for (bytes, name) in [(&b"\x00\xff"[..], "scan.dcm"), (b"%PDF-1.7", "report.pdf"), (b"{}", "empty.json")]
    {
        let imported = import(bytes, name, &Trust::default()).unwrap();
        assert_eq!((imported.claim.as_str(), imported.subjects.len()), ("document/file", 1));
    }
    let large = vec![b' '; IMPORT_BYTES_MAX + 1];
    let e = import(&large, "large.json", &Trust::default()).unwrap_err();
    assert_eq!(e.check, "size");
    let text = e.to_string();
    assert!(text.starts_with("large.json: check size failed") && text.contains("split it"), "{text}");
    let long = json!({ "claim": "document/list", "subjects": ["x".repeat(PAYLOAD)] });
    assert_eq!(read(&long, &Trust::default()).unwrap_err().check, "size");
}

const PAYLOAD: usize = counterfoil_protocol::limits::PAYLOAD_BYTES_MAX;

#[test]
fn long_lists_are_cut_and_say_so() {
    let names: Vec<_> = (0..1500).map(|i| format!("m{i}")).collect();
    let document = json!({ "claim": "document/list", "subjects": ["x"], "materials": names });
    let imported = read(&document, &Trust::default()).unwrap();
    assert_eq!(imported.materials.len(), 1024);
    assert!(imported.source.checks.iter().any(|check| check.check == "all-listed" && !check.proven));
}

#[test]
fn trust_is_shared_between_threads() {
    const fn shared<T: Send + Sync>() {}
    const { shared::<Trust>() }
}
