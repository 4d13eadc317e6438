//! Four attacks, and how each is caught.

use anyhow::{Context as _, ensure};
use counterfoil_protocol::bundle::Entry;
use counterfoil_protocol::chain::LeafDigest;
use counterfoil_protocol::codec;
use counterfoil_protocol::digest::blake3;
use counterfoil_protocol::ids::{ByteString, StatementId};
use serde::Serialize;
use serde_json::Value as Json;

use super::stage::{Stage, Step};
use super::story::{ASSESSOR, DEPLOYER, PROVIDER, Plot, SUPPLIER, to_the_permit};

/// The supplier's data directory in other hands.
const TWIN: &str = "twin";
/// Length of what stands before the first item of a bundle: magic and version.
const BUNDLE_PREFIX: usize = 9;

/// One attack.
#[derive(Debug, Clone, Serialize)]
pub struct Attack {
    /// What was tried.
    pub attack: String,
    /// Whether it was caught.
    pub caught: bool,
    /// The check that caught it.
    pub check: String,
    /// Where the evidence lies, or what was said.
    pub evidence: String,
}

/// How the attacks went.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The attacks.
    pub attacks: Vec<Attack>,
    /// The steps on the way.
    pub steps: Vec<Step>,
}

/// Plays the story as far as a permit, and then attacks it.
///
/// # Errors
/// When an attack cannot be made, or is not caught.
pub fn play(stage: &mut Stage) -> anyhow::Result<Outcome> {
    let plot = to_the_permit(stage, 4)?;
    stage.settle()?;
    let bundle = stage.folder.join("audit.cfb").to_string_lossy().into_owned();
    stage.run(DEPLOYER, &["bundle", &plot.decision, "-o", &bundle])?;
    let bytes = std::fs::read(&bundle)?;
    let attacks = vec![
        flipped_byte(stage, &bytes)?,
        removed_statement(stage, &bytes, &plot)?,
        revoked_key(stage)?,
        forked_chain(stage)?,
    ];
    for attack in &attacks {
        ensure!(attack.caught, "not caught: {}", attack.attack);
    }
    Ok(Outcome { attacks, steps: stage.steps.clone() })
}

/// Verifies a changed bundle, which must fail. Gives the first check that did.
fn refused(stage: &Stage, name: &str, bytes: &[u8]) -> anyhow::Result<(bool, Vec<String>, String)> {
    let file = stage.file(name, bytes)?.to_string_lossy().into_owned();
    let answer = stage.ask_in(&stage.folder.join("auditor"), &["verify", &file])?;
    let checks =
        answer.value.pointer("/0/report/checks").and_then(Json::as_array).cloned().unwrap_or_default();
    let failed = checks
        .iter()
        .filter(|check| check.get("outcome").and_then(Json::as_str) == Some("failed"))
        .filter_map(|check| check.get("check").and_then(Json::as_str))
        .map(str::to_owned)
        .collect();
    Ok((answer.code == 3, failed, file))
}

fn flipped_byte(stage: &mut Stage, bundle: &[u8]) -> anyhow::Result<Attack> {
    let mut changed = bundle.to_vec();
    let middle = changed.len() / 2;
    if let Some(byte) = changed.get_mut(middle) {
        *byte ^= 1;
    }
    let (caught, failed, file) = refused(stage, "flipped.cfb", &changed)?;
    let check = failed.join(", ");
    stage.done(format!("flipped byte {middle} of the bundle: not verified [{check}]"));
    Ok(Attack { attack: "one byte of the bundle is flipped".into(), caught, check, evidence: file })
}

/// Leaves the datasheet out of the bundle, and makes tree and digest fit.
fn removed_statement(stage: &mut Stage, bundle: &[u8], plot: &Plot) -> anyhow::Result<Attack> {
    let id: StatementId = plot.datasheet.parse()?;
    let changed = without(bundle, &id).context("the bundle holds the datasheet")?;
    let (caught, failed, file) = refused(stage, "removed.cfb", &changed)?;
    let check = failed.join(", ");
    stage.done(format!("a statement removed and the digest made to fit: not verified [{check}]"));
    Ok(Attack { attack: "a statement is removed from the bundle".into(), caught, check, evidence: file })
}

/// The bundle with a statement's leaf hash in place of the statement: all that fits into the tree there.
fn without(bundle: &[u8], id: &StatementId) -> Option<Vec<u8>> {
    let (prefix, mut rest) = bundle.split_at_checked(BUNDLE_PREFIX)?;
    let mut bytes = prefix.to_vec();
    let mut is_found = false;
    while let Some(length) = codec::item_length(rest).ok()?.filter(|length| *length < rest.len()) {
        let (item, after) = rest.split_at_checked(length)?;
        match codec::as_byte_string(item).filter(|statement| blake3(statement) == *id.as_bytes()) {
            Some(statement) => {
                is_found = true;
                Entry::from(LeafDigest::of(statement)).encode(&mut bytes);
            }
            None => bytes.extend_from_slice(item),
        }
        rest = after;
    }
    let digest = blake3(&bytes);
    bytes.extend_from_slice(&codec::encode(&ByteString(digest.to_vec())).ok()?);
    is_found.then_some(bytes)
}

fn revoked_key(stage: &mut Stage) -> anyhow::Result<Attack> {
    stage.run(SUPPLIER, &["authority", "revoke", "ml-engineer", "--reason", "key lost"])?;
    let claim = stage.file(
        "late-claim.json",
        br#"{"claim": "evaluation/clinical", "subjects": ["name:triage-lite"], "effective": "2026-11-02"}"#,
    )?;
    let answer = stage.ask(SUPPLIER, &["observe", &claim.to_string_lossy(), "--as", "ml-engineer"])?;
    let error: Json = serde_json::from_str(&answer.error).unwrap_or_default();
    let check = error.get("check").and_then(Json::as_str).unwrap_or_default().to_owned();
    let evidence = error.get("error").and_then(Json::as_str).unwrap_or_default().to_owned();
    let caught = answer.code == 1 && check == "credential-revoked";
    stage.done(format!("a revoked authority signs on: refused [{check}]"));
    Ok(Attack { attack: "a revoked key signs a statement".into(), caught, check, evidence })
}

/// The supplier's data directory falls into other hands. Both copies sign on, out of sight of each other.
fn forked_chain(stage: &mut Stage) -> anyhow::Result<Attack> {
    let others = [PROVIDER, DEPLOYER, ASSESSOR];
    for role in [SUPPLIER, PROVIDER, DEPLOYER, ASSESSOR] {
        stage.stop(role)?;
    }
    stage.copy(SUPPLIER, TWIN)?;
    let mut sizes = Vec::new();
    for (role, claim) in [(TWIN, "story-one"), (SUPPLIER, "story-two")] {
        stage.start_quiet(&[role])?;
        let file = stage.file(
            &format!("{claim}.json"),
            format!(r#"{{"claim": "evaluation/{claim}", "subjects": ["name:triage-lite"]}}"#).as_bytes(),
        )?;
        stage.run(role, &["observe", &file.to_string_lossy()])?;
        let status = stage.run(role, &["status"])?;
        sizes.push(status.get("size").and_then(Json::as_u64).context("a size")?);
        if role == TWIN {
            stage.stop(role)?;
        }
    }
    ensure!(
        matches!(sizes.as_slice(), [one, other] if one == other),
        "the copies differ in length: {sizes:?}"
    );
    stage.start(&others)?;
    let ours = stage.actor(SUPPLIER)?.organisation.clone();
    let size = sizes.first().copied().unwrap_or_default();
    for role in others {
        stage.until("the supplier's chain", role, &["sync", "status"], |chains| {
            chain(chains, &ours).and_then(|chain| chain.get("size")).and_then(Json::as_u64) == Some(size)
        })?;
    }
    stage.stop(SUPPLIER)?;
    stage.start_quiet(&[TWIN])?;
    for role in others {
        stage.until("the exposure", role, &["sync", "status"], |chains| {
            chain(chains, &ours).and_then(|chain| chain.get("misbehaved")) == Some(&Json::Bool(true))
        })?;
    }
    let proof = stage.folder.join("fork-proof.cbor").to_string_lossy().into_owned();
    stage.run(DEPLOYER, &["forks", "export", &ours, "-o", &proof])?;
    let verified = stage.ask_in(&stage.folder.join("auditor"), &["verify", &proof])?;
    stage.done(
        "two copies of one organisation sign different chains: every other member stores the proof [fork]",
    );
    Ok(Attack {
        attack: "a chain is forked by two copies of a data directory".into(),
        caught: verified.code == 0,
        check: "fork".into(),
        evidence: proof,
    })
}

fn chain<'a>(chains: &'a Json, organisation: &str) -> Option<&'a Json> {
    let mut all = chains.as_array()?.iter();
    all.find(|chain| chain.get("organisation").and_then(Json::as_str) == Some(organisation))
}
