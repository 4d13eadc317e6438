//! `decide`, `why`, `permit verify`, `effect`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use counterfoil_protocol::actuation::request::Reversibility;
use counterfoil_protocol::actuation::{Mode, Request};
use counterfoil_protocol::admissibility::verdict::{Outcome, RequirementState};
use counterfoil_protocol::admissibility::{Inquiry, InquiryAnswer};
use counterfoil_protocol::bundle;
use counterfoil_protocol::ids::{AuthorityId, Timestamp};
use counterfoil_protocol::statement::{Payload, Verified};

use super::client::segment;
use super::print::{Out, parse_time, short, time};
use super::proof::read_trust;
use super::{Context, VERIFICATION_FAILED};
use crate::api::actuation::{DecideBody, EffectBody, WAIT_S};
use crate::api::routes::BundleBody;
use crate::clock;
use crate::service::actuation::Reported;
use crate::service::decide::Decided;
use crate::service::overriding::OverrideWish;

/// Ask whether an action may go ahead
#[derive(Debug, Args)]
pub(super) struct Decide {
    /// The request, in TOML
    request: PathBuf,
    /// As of another time; needs --dry-run
    #[arg(long, requires = "dry_run")]
    at: Option<String>,
    /// Record nothing
    #[arg(long)]
    dry_run: bool,
    /// Wait at most so long for what other members know of the subjects
    #[arg(long, value_name = "SECONDS", default_value_t = WAIT_S)]
    wait: u64,
    /// Let it go ahead in an emergency, for this reason; the budget of an authority pays for it, and it is reviewed
    #[arg(long = "override", value_name = "REASON", requires = "authority", conflicts_with = "dry_run")]
    overriding: Option<String>,
    /// Whose budget of overrides is used: role or id of an authority
    #[arg(long = "as", value_name = "AUTHORITY", requires = "overriding")]
    authority: Option<String>,
    /// Where to write the permit, if one is given
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Why a decision came out as it did
#[derive(Debug, Args)]
pub(super) struct Why {
    /// The decision
    pub(super) id: String,
    /// Each step of each weight
    #[arg(long)]
    pub(super) weights: bool,
}

/// Permits
#[derive(Debug, Subcommand)]
pub(super) enum PermitCommand {
    /// Verify a permit offline: who gave it, on which decision, for whom, until when
    Verify {
        /// The permit's file
        file: PathBuf,
        /// The actuator that comes with it
        #[arg(long)]
        actuator: Option<String>,
        /// As of another time than now
        #[arg(long)]
        at: Option<String>,
        /// File that names the organisations that are trusted
        #[arg(long, value_name = "FILE")]
        trust: Option<PathBuf>,
    },
}

/// Report what happened under a permit
#[derive(Debug, Args)]
pub(super) struct EffectCommand {
    /// The permit's statement
    permit: String,
    /// What was observed: a TOML file of names and texts
    #[arg(long, value_name = "FILE")]
    observed: PathBuf,
}

/// Reads a request.
pub(super) fn read_request(file: &PathBuf) -> anyhow::Result<Request> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let request: TomlRequest = toml::from_str(&text).with_context(|| file.display().to_string())?;
    let subjects = request
        .subjects
        .iter()
        .map(|text| text.parse().with_context(|| format!("{}: subject {text:?}", file.display())))
        .collect::<anyhow::Result<_>>()?;
    Ok(Request {
        action: request.action,
        subjects,
        actuator: request.actuator,
        scopes: request.scopes,
        predicted: request.predicted,
        reversibility: request.reversibility,
        harm: request.harm,
        purpose: request.purpose,
    })
}

/// A request as people write it: subjects are texts.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TomlRequest {
    action: String,
    subjects: Vec<String>,
    actuator: String,
    reversibility: Reversibility,
    #[serde(default)]
    scopes: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    predicted: BTreeMap<String, String>,
    #[serde(default)]
    harm: Vec<String>,
    #[serde(default)]
    purpose: String,
}

impl Decide {
    /// Ends with the mode's exit code.
    pub(super) fn run(self, context: &Context) -> anyhow::Result<u8> {
        let request = read_request(&self.request)?;
        let at = self.at.as_deref().map(parse_time).transpose()?;
        let overriding = self.overriding.zip(self.authority);
        let overriding = overriding.map(|(reason, authority)| OverrideWish { reason, authority });
        let body = DecideBody { request, at, dry_run: self.dry_run, wait_s: self.wait, overriding };
        let decided: Decided = context.client.post("/v1/decisions", &body)?;
        explain(context.out, &decided);
        if let (Some(permit), Some(file)) = (&decided.permit, &self.output) {
            let about = BundleBody { about: vec![permit.to_string()], ..BundleBody::default() };
            let bytes = context.client.post_for_bytes("/v1/bundles", &about)?;
            std::fs::write(file, bytes).with_context(|| file.display().to_string())?;
            context.out.done(format!("the permit is in {}", file.display()));
        }
        if let Some(decision) = &decided.decision {
            context.out.next(format!("counterfoil why {}", short(decision)));
        }
        context.out.value(&decided)?;
        Ok(decided.verdict.mode.exit_code())
    }
}

impl Why {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let decided: Decided = context.client.get(&format!("/v1/decisions/{}", segment(&self.id)))?;
        explain(context.out, &decided);
        for inquiry in &decided.inquiries {
            context.out.detail(asked(&decided, inquiry));
        }
        for set in decided.verdict.sufficient.iter() {
            let names: Vec<String> = set.authorities.iter().map(|id| name(&decided, id)).collect();
            context.out.detail(format!("enough would be: {}", names.join(" and ")));
        }
        for profile in &decided.verdict.profiles {
            for (requirement, outcome) in &profile.requirements {
                context.out.detail(format!("{} / {requirement}: {}", profile.profile, state(outcome.state)));
                for item in &outcome.considered {
                    let weight = &item.weighed.weight;
                    let parts: Vec<String> = counterfoil_protocol::weighting::Dimension::ALL
                        .iter()
                        .map(|dimension| {
                            format!("{} {}", dimension.name(), weight.component(*dimension).get())
                        })
                        .collect();
                    context.out.detail(format!(
                        "  {} by {}: {}",
                        short(&item.statement),
                        name(&decided, &item.authority),
                        parts.join(", ")
                    ));
                    if let Some(translation) = &item.translation {
                        let terms = [&translation.role, &translation.claim];
                        for term in terms.into_iter().flatten() {
                            context.out.detail(format!("    {} read as {}", term.foreign, term.own));
                        }
                    }
                    if self.weights {
                        for step in item.weighed.derivation.steps().iter() {
                            let (dimension, value) = (step.dimension.name(), step.value.get());
                            context.out.detail(format!("    {dimension}: {} -> {value}", step.found));
                        }
                    }
                    for reason in item.refused.iter() {
                        context.out.detail(format!("    not accepted: {} [{}]", reason.text, reason.code));
                    }
                }
            }
        }
        context.out.value(&decided)
    }
}

/// What came of asking an organisation.
fn asked(decided: &Decided, inquiry: &Inquiry) -> String {
    let name = decided.asked.get(&inquiry.organisation);
    let name = name.cloned().unwrap_or_else(|| inquiry.organisation.short());
    let since = |since: Option<Timestamp>| since.map_or_else(|| "ever".into(), time);
    match inquiry.answer {
        InquiryAnswer::Answered { named, came, missing: 0 } => {
            format!("asked {name}: {named} statements bear on it, {came} came just then")
        }
        InquiryAnswer::Answered { named, came, missing } => format!(
            "asked {name}: {named} statements bear on it, {came} came just then, {missing} did not in time"
        ),
        InquiryAnswer::Silent { since: at } => {
            format!("asked {name}: no answer in time; unreachable since {}", since(at))
        }
        InquiryAnswer::Unreachable { since: at } => {
            format!("could not ask {name}: unreachable since {}", since(at))
        }
        InquiryAnswer::Refused => format!("asked {name}: it does not answer such questions"),
    }
}

const fn state(state: RequirementState) -> &'static str {
    match state {
        RequirementState::Met => "met",
        RequirementState::Unmet => "not met",
        RequirementState::Unknown => "unknown",
    }
}

fn name(decided: &Decided, authority: &AuthorityId) -> String {
    let id = authority.to_string();
    decided.authorities.get(&id).cloned().unwrap_or(id)
}

/// The verdict in a few lines.
pub(super) fn explain(out: Out, decided: &Decided) {
    let verdict = &decided.verdict;
    let what = format!("{} {}", verdict.mode.name().to_uppercase(), decided.request.action);
    match verdict.mode {
        Mode::Continue | Mode::Partial => out.done(what),
        _ => out.bad(what),
    }
    for reason in &verdict.reasons {
        out.detail(format!("{} [{}]", reason.text, reason.code));
    }
    for (dimension, values) in &verdict.withheld {
        out.detail(format!("withheld {dimension}: {}", values.join(", ")));
    }
    for profile in verdict.profiles.iter().filter(|profile| profile.outcome == Outcome::Vetoed) {
        for veto in &profile.vetoes {
            out.detail(format!("{} vetoes: {}", profile.profile, veto.reason));
        }
    }
    for (index, set) in verdict.missing.iter().enumerate() {
        out.detail(if index == 0 { "what would turn it:" } else { "or:" });
        for missing in set {
            out.detail(format!("  {} / {}: {}", missing.profile, missing.requirement, missing.way_out));
        }
    }
    if !verdict.necessary.is_empty() {
        let names: Vec<String> = verdict.necessary.iter().map(|id| name(decided, id)).collect();
        out.detail(format!("necessary: {}", names.join("; ")));
    }
    if let (Some(permit), Some(expires)) = (&decided.permit, decided.permit_expires) {
        out.detail(format!("permit {permit} until {}", time(expires)));
    }
}

impl PermitCommand {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<u8> {
        let Self::Verify { file, actuator, at, trust } = self;
        let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
        let trust = trust.as_ref().map(read_trust).transpose()?;
        let (report, about) = bundle::open(&bytes, trust.as_ref());
        let at: Timestamp = match at {
            Some(text) => parse_time(&text)?,
            None => clock::now().timestamp(),
        };
        let mut problems: Vec<String> = report
            .failures()
            .map(|check| format!("{}: {}: {}", check.check, check.input, check.detail))
            .collect();
        let [Payload::Permit(permit)] = about.iter().map(Verified::payload).collect::<Vec<_>>()[..] else {
            problems.iter().for_each(|problem| context.out.bad(problem));
            let text = format!("{} proves no permit; a permit's file is about one", file.display());
            context.out.bad(&text);
            problems.push(text);
            context.out.value(&serde_json::json!({ "valid": false, "problems": problems }))?;
            return Ok(VERIFICATION_FAILED);
        };
        let id = about.first().map(Verified::id);
        if let Err(error) = permit.check_use(actuator.as_deref().unwrap_or(&permit.actuator), at) {
            problems.push(format!("permit: {error}"));
        }
        if problems.is_empty() {
            context.out.done(format!("{} may act in mode {}", permit.actuator, permit.mode));
            context.out.detail(format!(
                "until {}, once; its giver's chain says whether it was used",
                time(permit.expires)
            ));
        }
        problems.iter().for_each(|problem| context.out.bad(problem));
        context.out.value(&serde_json::json!({
            "permit": id, "mode": permit.mode, "scopes": permit.scopes, "actuator": permit.actuator,
            "expires": permit.expires, "valid": problems.is_empty(), "problems": problems,
        }))?;
        Ok(if problems.is_empty() { 0 } else { VERIFICATION_FAILED })
    }
}

impl EffectCommand {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let text =
            std::fs::read_to_string(&self.observed).with_context(|| self.observed.display().to_string())?;
        let observed: BTreeMap<String, String> =
            toml::from_str(&text).with_context(|| self.observed.display().to_string())?;
        let reported: Reported =
            context.client.post("/v1/effects", &EffectBody { permit: self.permit, observed })?;
        context.out.done(format!("reported by {}", reported.effect));
        for mismatch in &reported.mismatches {
            let observed = mismatch.observed.as_deref().unwrap_or("nothing");
            context
                .out
                .bad(format!("{}: predicted {}, observed {observed}", mismatch.name, mismatch.predicted));
        }
        if let Some(nonconformity) = &reported.nonconformity {
            context.out.detail(format!("nonconformity {nonconformity} was raised"));
        }
        context.out.value(&reported)
    }
}
