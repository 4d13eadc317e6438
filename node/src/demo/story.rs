//! The story: a supplier's model, a provider's dataset, a hospital that wants to deploy, an assessor that assesses; then
//! the dataset is recalled.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde_json::Value;

use super::stage::{Stage, Step, text};

/// The supplier of the model.
pub const SUPPLIER: &str = "supplier";
/// The provider of its training data.
pub const PROVIDER: &str = "provider";
/// The hospital that wants to deploy it.
pub const DEPLOYER: &str = "deployer";
/// The conformity assessor.
pub const ASSESSOR: &str = "assessor";

macro_rules! evidence {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("evidence/", $name)).as_slice())),*]
    };
}

/// Evidence that was made with public tools from a small model; `evidence/make.py` says how.
const EVIDENCE: &[(&str, &[u8])] = evidence![
    "dataset/triage.csv",
    "dataset/datasheet.json",
    "model/weights.json",
    "model/config.json",
    "model.sig",
    "slsa-provenance.dsse.json",
    "ml-bom.cdx.json",
    "model-card.md",
    "evaluation.json",
    "assessment.json",
    "vsa.dsse.json",
    "keys/supplier.pub",
    "keys/builder.pub",
    "keys/assessor.pub",
];

const CLINICAL: &str = include_str!("profiles/clinical.toml");
const JURISDICTION: &str = include_str!("profiles/jurisdiction.toml");

/// One organisation at the end.
#[derive(Debug, Clone, Serialize)]
pub struct Standing {
    /// What it was in the story.
    pub role: String,
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Size of its chain.
    pub size: u64,
    /// Root of its tree.
    pub root: String,
    /// Peers connected.
    pub peers: u64,
    /// Where its API is served.
    pub api: String,
    /// Its data directory.
    pub data: String,
}

/// How the story went.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The organisations.
    pub organisations: Vec<Standing>,
    /// The steps.
    pub steps: Vec<Step>,
    /// The modes that were decided, in order.
    pub verdicts: Vec<String>,
    /// The statements of those decisions.
    pub decisions: Vec<String>,
    /// The bundle.
    pub bundle: String,
    /// Whether it verified.
    pub verified: bool,
    /// Whether two verifications in different directories computed the same verdicts, byte for byte.
    pub recomputed_twice: bool,
    /// How long all of it took, in milliseconds.
    pub ms: u128,
}

/// What later acts need of earlier ones.
#[derive(Debug, Clone)]
pub struct Plot {
    /// The provider's datasheet.
    pub datasheet: String,
    /// The supplier's provenance of the model.
    pub provenance: String,
    /// The decision that admitted the deployment.
    pub decision: String,
    /// Its permit.
    pub permit: String,
    /// Modes decided so far.
    pub verdicts: Vec<String>,
    /// Decisions so far.
    pub decisions: Vec<String>,
}

/// Plays the whole story.
///
/// # Errors
/// When a step does not come out as it should.
pub fn play(stage: &mut Stage, organisations: usize) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let mut plot = to_the_permit(stage, organisations)?;
    effect(stage, &plot)?;
    recall(stage, &mut plot)?;
    let (bundle, verified, recomputed_twice) = prove(stage, &plot)?;
    let organisations = standings(stage)?;
    Ok(Outcome {
        organisations,
        steps: stage.steps.clone(),
        verdicts: plot.verdicts,
        decisions: plot.decisions,
        bundle,
        verified,
        recomputed_twice,
        ms: begun.elapsed().as_millis(),
    })
}

/// Plays the story as far as a permit.
///
/// # Errors
/// When a step does not come out as it should.
pub fn to_the_permit(stage: &mut Stage, organisations: usize) -> anyhow::Result<Plot> {
    for (name, content) in EVIDENCE {
        stage.file(&format!("evidence/{name}"), content)?;
    }
    found_mesh(stage, organisations)?;
    let datasheet = provider_speaks(stage)?;
    let provenance = supplier_speaks(stage)?;
    link(stage, &datasheet, &provenance)?;
    let (mut verdicts, mut decisions) = (Vec::new(), Vec::new());
    hospital_asks(stage, &mut verdicts, &mut decisions)?;
    let (decision, permit) = assessor_speaks(stage, &mut verdicts, &mut decisions)?;
    Ok(Plot { datasheet, provenance, decision, permit, verdicts, decisions })
}

fn found_mesh(stage: &mut Stage, organisations: usize) -> anyhow::Result<()> {
    let mut cast = vec![
        (SUPPLIER, "Aurora Imaging".to_owned()),
        (PROVIDER, "Meridian Data Trust".to_owned()),
        (DEPLOYER, "St Brigid Hospital".to_owned()),
        (ASSESSOR, "Norden Conformity".to_owned()),
    ];
    const WITNESSES: [&str; 8] = [
        "witness-5",
        "witness-6",
        "witness-7",
        "witness-8",
        "witness-9",
        "witness-10",
        "witness-11",
        "witness-12",
    ];
    for (role, number) in WITNESSES.into_iter().zip(5..=organisations) {
        cast.push((role, format!("Witness {number}")));
    }
    stage.found(&cast)?;
    stage.done(format!("{} organisations founded, each with 3 root keys of which 2 are needed", cast.len()));
    let roles: Vec<&str> = cast.iter().map(|(role, _)| *role).collect();
    stage.start(&roles)?;
    stage.done(format!("{} nodes run as processes of their own", roles.len()));
    let (provider, deployer) = (stage.actor(PROVIDER)?, stage.actor(DEPLOYER)?);
    let (provider, deployer) = (provider.organisation.clone(), deployer.organisation.clone());
    stage.run(
        SUPPLIER,
        &[
            "mesh",
            "create",
            "--name",
            "triage-mesh",
            "--member",
            &provider,
            "--member",
            &deployer,
            "--threshold",
            "2",
            "--quorum",
            "2",
        ],
    )?;
    let invitation = stage.run(SUPPLIER, &["mesh", "invite"])?;
    let invitation = invitation.as_str().context("an invitation")?.to_owned();
    for role in roles.iter().filter(|role| **role != SUPPLIER) {
        stage.run(role, &["mesh", "join", &invitation])?;
    }
    stage.done("a mesh of three by its charter: admission by 2, witness quorum 2");
    for role in roles.iter().filter(|role| ![SUPPLIER, PROVIDER, DEPLOYER].contains(role)) {
        let newcomer = stage.actor(role)?.organisation.clone();
        for voter in [SUPPLIER, DEPLOYER] {
            stage.run(voter, &["mesh", "admit", &newcomer])?;
        }
        stage.until("admission", role, &["status"], |status| {
            status.get("member") == Some(&Value::Bool(true))
        })?;
    }
    let names: Vec<String> = stage.actors.iter().skip(3).map(|actor| actor.name.clone()).collect();
    stage.done(format!("{} admitted by 2 of 3 votes", names.join(", ")));
    Ok(())
}

fn issue(stage: &Stage, role: &str, authority: &str, kind: &str, claims: &[&str]) -> anyhow::Result<()> {
    let mut arguments = vec!["authority", "issue", "--role", authority, "--kind", kind];
    for claim in claims {
        arguments.extend(["--claim", claim]);
    }
    stage.run(role, &arguments)?;
    Ok(())
}

/// Observes a document. Gives the statement.
fn observe(
    stage: &Stage,
    role: &str,
    authority: &str,
    document: &str,
    more: &[&str],
) -> anyhow::Result<String> {
    let path = stage.folder.join("evidence").join(document);
    let path = path.to_string_lossy();
    let mut arguments = vec!["observe", &path, "--as", authority];
    let more: Vec<String> = more
        .iter()
        .map(|argument| match argument.strip_prefix("evidence/") {
            Some(_) => stage.folder.join(argument).to_string_lossy().into_owned(),
            None => (*argument).to_owned(),
        })
        .collect();
    arguments.extend(more.iter().map(String::as_str));
    let recorded = stage.run(role, &arguments)?;
    text(recorded.get(0).context("one observation")?, "statement")
}

fn provider_speaks(stage: &mut Stage) -> anyhow::Result<String> {
    issue(stage, PROVIDER, "data-steward", "human-role", &["dataset/*"])?;
    let datasheet = observe(stage, PROVIDER, "data-steward", "dataset/datasheet.json", &[])?;
    stage.done("Meridian: its data steward records the dataset's datasheet");
    Ok(datasheet)
}

fn supplier_speaks(stage: &mut Stage) -> anyhow::Result<String> {
    issue(
        stage,
        SUPPLIER,
        "ml-engineer",
        "human-role",
        &["provenance/*", "evaluation/*", "description/*", "inventory/*"],
    )?;
    observe(
        stage,
        SUPPLIER,
        "ml-engineer",
        "model.sig",
        &[
            "--trust",
            "evidence/keys/supplier.pub",
            "--artifact",
            "evidence/model/weights.json",
            "--artifact",
            "evidence/model/config.json",
        ],
    )?;
    let trust = ["--trust", "evidence/keys/builder.pub"];
    let provenance = observe(stage, SUPPLIER, "ml-engineer", "slsa-provenance.dsse.json", &trust)?;
    for document in ["ml-bom.cdx.json", "model-card.md", "evaluation.json"] {
        let subject = ["--subject", "evidence/model/weights.json"];
        let more: &[&str] = if document == "model-card.md" { &subject } else { &[] };
        observe(stage, SUPPLIER, "ml-engineer", document, more)?;
    }
    stage.done("Aurora: signed model, SLSA provenance, ML-BOM, model card, evaluation; signatures verified");
    Ok(provenance)
}

fn link(stage: &mut Stage, datasheet: &str, provenance: &str) -> anyhow::Result<()> {
    stage.until("the datasheet at Aurora", SUPPLIER, &["show", datasheet], |_| true)?;
    let said = stage.run(
        SUPPLIER,
        &[
            "link",
            datasheet,
            "--relation",
            "derived-from",
            "--from",
            provenance,
            "--purpose",
            "training data",
        ],
    )?;
    let link = text(&said, "statement")?;
    stage.until("the counterfoil", SUPPLIER, &["links"], |links| {
        links.as_array().is_some_and(|links| {
            links.iter().any(|one| {
                one.get("link").and_then(Value::as_str) == Some(&link)
                    && one.get("state").and_then(Value::as_str) == Some("matched")
            })
        })
    })?;
    stage.done("Aurora links its model to Meridian's dataset; Meridian's node answers with the counterfoil");
    Ok(())
}

fn request(stage: &Stage) -> anyhow::Result<String> {
    let weights = EVIDENCE.iter().find(|(name, _)| *name == "model/weights.json").context("the model")?;
    let digest = counterfoil_protocol::observation::ArtifactDigest::sha256_of(weights.1);
    let toml = format!(
        "action = \"deploy/clinical\"\nsubjects = [\"{digest}\"]\nactuator = \"pacs-gateway\"\n\
         reversibility = \"reversible\"\npurpose = \"triage of chest radiographs\"\n\n[scopes]\n\
         population = [\"adult\", \"paediatric\"]\nsite = [\"north\"]\n\n[predicted]\nstatus = \"active\"\n"
    );
    Ok(stage.file("request.toml", toml.as_bytes())?.to_string_lossy().into_owned())
}

/// Decides. Gives the mode, the decision, and the permit if there is one.
fn decide(stage: &Stage) -> anyhow::Result<(String, Value)> {
    let answer = stage.ask(DEPLOYER, &["decide", &request(stage)?])?;
    let mode = answer.value.pointer("/verdict/mode").and_then(Value::as_str);
    let mode = mode.with_context(|| format!("a verdict: {}", answer.error))?.to_owned();
    Ok((mode, answer.value))
}

fn hospital_asks(
    stage: &mut Stage,
    verdicts: &mut Vec<String>,
    decisions: &mut Vec<String>,
) -> anyhow::Result<()> {
    let recognised = [
        (SUPPLIER, ["provenance/*", "evaluation/*", "description/*", "inventory/*"].as_slice()),
        (PROVIDER, &["dataset/*"]),
        (ASSESSOR, &["assessment/*"]),
    ];
    for (role, claims) in recognised {
        let organisation = stage.actor(role)?.organisation.clone();
        let mut arguments = vec!["mesh", "recognise", &organisation];
        claims.iter().for_each(|claim| arguments.extend(["--claim", claim]));
        stage.run(DEPLOYER, &arguments)?;
    }
    let clinical = stage.file("profiles/clinical.toml", CLINICAL.as_bytes())?.to_string_lossy().into_owned();
    let jurisdiction =
        stage.file("profiles/jurisdiction.toml", JURISDICTION.as_bytes())?.to_string_lossy().into_owned();
    let declared = stage.run(DEPLOYER, &["profile", "declare", &clinical, &jurisdiction])?;
    let ids = declared
        .as_array()
        .context("declared profiles")?
        .iter()
        .map(|one| text(one, "statement"))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut arguments = vec!["profile", "activate"];
    arguments.extend(ids.iter().map(String::as_str));
    stage.run(DEPLOYER, &arguments)?;
    stage.settle()?;
    stage.done(
        "St Brigid recognises authorities, and puts a clinical and a jurisdictional profile into force",
    );
    let (mode, value) = decide(stage)?;
    ensure!(mode == "defer", "the first verdict is {mode}, not defer");
    let missing: Vec<String> = value
        .pointer("/verdict/missing")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_array)
        .map(|set| {
            let names: Vec<&str> =
                set.iter().filter_map(|one| one.get("requirement").and_then(Value::as_str)).collect();
            names.join(" and ")
        })
        .collect();
    verdicts.push(mode);
    decisions.push(text(&value, "decision")?);
    stage.done(format!("St Brigid asks to deploy: DEFER; missing: {}", missing.join("; or ")));
    Ok(())
}

fn assessor_speaks(
    stage: &mut Stage,
    verdicts: &mut Vec<String>,
    decisions: &mut Vec<String>,
) -> anyhow::Result<(String, String)> {
    issue(stage, ASSESSOR, "lead-assessor", "external-body", &["assessment/*"])?;
    observe(stage, ASSESSOR, "lead-assessor", "vsa.dsse.json", &["--trust", "evidence/keys/assessor.pub"])?;
    observe(stage, ASSESSOR, "lead-assessor", "assessment.json", &[])?;
    stage.settle()?;
    stage.done("Norden assesses the model, and says so");
    let (mode, value) = decide(stage)?;
    ensure!(mode == "continue" || mode == "partial", "the second verdict is {mode}: {value}");
    let (decision, permit) = (text(&value, "decision")?, text(&value, "permit")?);
    let necessary = value.pointer("/verdict/necessary").and_then(Value::as_array).map_or(0, Vec::len);
    let scopes = value.pointer("/verdict/scopes/population").map(ToString::to_string).unwrap_or_default();
    verdicts.push(mode.clone());
    decisions.push(decision.clone());
    stage.done(format!(
        "St Brigid asks again: {} for {scopes}; {necessary} authorities are necessary; a permit is given",
        mode.to_uppercase()
    ));
    Ok((decision, permit))
}

fn effect(stage: &mut Stage, plot: &Plot) -> anyhow::Result<()> {
    let observed = stage.file("observed.toml", b"status = \"active\"\n")?.to_string_lossy().into_owned();
    let reported = stage.run(DEPLOYER, &["effect", &plot.permit, "--observed", &observed])?;
    let mismatches = reported.get("mismatches").and_then(Value::as_array).map_or(1, Vec::len);
    ensure!(mismatches == 0, "the effect is not as predicted: {reported}");
    let again = stage.ask(DEPLOYER, &["effect", &plot.permit, "--observed", &observed])?;
    ensure!(again.code == 1, "a permit was used twice");
    stage.done("the effect is reported, as predicted; a second use of the permit is refused");
    Ok(())
}

fn recall(stage: &mut Stage, plot: &mut Plot) -> anyhow::Result<()> {
    let said = stage
        .run(PROVIDER, &["recall", &plot.datasheet, "--reason", "consent withdrawn for part of the data"])?;
    let recall = text(&said, "statement")?;
    stage.until("the recall at St Brigid", DEPLOYER, &["show", &recall], |_| true)?;
    let (mode, value) = decide(stage)?;
    ensure!(mode == "refuse", "after the recall the verdict is {mode}");
    plot.verdicts.push(mode);
    plot.decisions.push(text(&value, "decision")?);
    stage.done("Meridian recalls the dataset; St Brigid's next request: REFUSE");
    let impact = stage.until("the decisions at Meridian", PROVIDER, &["impact", &recall], |impact| {
        impact.get("nodes").and_then(Value::as_array).is_some_and(|nodes| {
            let names =
                |id: &String| nodes.iter().any(|node| node.get("node").and_then(Value::as_str) == Some(id));
            plot.decisions.iter().all(names)
        })
    })?;
    let decisions = impact.get("nodes").and_then(Value::as_array).into_iter().flatten();
    let decisions =
        decisions.filter(|node| node.get("kind").and_then(Value::as_str) == Some("decision")).count();
    stage.done(format!("impact at Meridian names {decisions} decisions of St Brigid"));
    Ok(())
}

/// Bundles the decisions and verifies the file twice, each time with an empty data directory.
fn prove(stage: &mut Stage, plot: &Plot) -> anyhow::Result<(String, bool, bool)> {
    stage.settle()?;
    let bundle = stage.folder.join("audit.cfb").to_string_lossy().into_owned();
    let mut arguments = vec!["bundle"];
    arguments.extend(plot.decisions.iter().map(String::as_str));
    arguments.extend(["-o", &bundle]);
    stage.run(DEPLOYER, &arguments)?;
    stage.done(format!("the lineage of {} decisions is in {bundle}", plot.decisions.len()));
    let mut reports = Vec::new();
    for auditor in ["auditor-1", "auditor-2"] {
        let answer = stage.ask_in(&stage.folder.join(auditor), &["verify", &bundle])?;
        ensure!(answer.code == 0, "the bundle does not verify: {}", answer.value);
        reports.push(answer.value.pointer("/0/report/decisions").cloned().unwrap_or_default());
    }
    let same = matches!(reports.as_slice(), [one, other] if one == other);
    let is_recomputed = |decision: &Value| {
        let recomputed = decision.get("recomputed");
        recomputed.is_some() && recomputed == decision.get("verdict")
    };
    let all = reports.first().and_then(Value::as_array);
    let all = all.is_some_and(|all| all.len() >= plot.decisions.len() && all.iter().all(is_recomputed));
    ensure!(same && all, "the decisions were not computed again to the same bytes");
    stage.done("the bundle verifies offline; two auditors compute each verdict again, byte for byte");
    Ok((bundle, true, same && all))
}

fn standings(stage: &Stage) -> anyhow::Result<Vec<Standing>> {
    let mut standings = Vec::new();
    let number = |status: &Value, name: &str| status.get(name).and_then(Value::as_u64).unwrap_or_default();
    let others = stage.actors.len().saturating_sub(1) as u64;
    for actor in &stage.actors {
        // Chains may agree before everybody is connected with everybody.
        let everybody = format!("connections of {} with the {others} others", actor.name);
        let status =
            stage.until(&everybody, actor.role, &["status"], |status| number(status, "peers") == others)?;
        standings.push(Standing {
            role: actor.role.into(),
            name: actor.name.clone(),
            id: actor.organisation.clone(),
            size: number(&status, "size"),
            root: text(&status, "root")?,
            peers: number(&status, "peers"),
            api: format!("http://{}", text(&status, "api")?),
            data: actor.data.display().to_string(),
        });
    }
    Ok(standings)
}
