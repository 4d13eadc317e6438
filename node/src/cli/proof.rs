//! `receipt`, `bundle`, `verify`, `fsck`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use counterfoil_protocol::bundle::{self, Outcome, Report, Settings, TrustFile};
use counterfoil_protocol::chain::misbehaviour::Misbehaviour;
use counterfoil_protocol::ids::Timestamp;
use counterfoil_protocol::limits::STATEMENT_BYTES_MAX;

use super::client::segment;
use super::print::{period, short, time};
use super::{Context, VERIFICATION_FAILED};
use crate::api::routes::{BundleBody, WitnessBody};
use crate::service::ask_witness::Cosigned;
use crate::service::proof::Proof;
use crate::store::{HeadLock, Memory, Store};
use crate::workers::AllCores;

/// The proof that a statement stands in its chain
#[derive(Debug, Args)]
pub(super) struct ReceiptCommand {
    /// The statement
    id: String,
    /// Where to write it
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// COSE receipt (RFC 9942), or C2SP tlog-proof, which binds the size too
    #[arg(long, value_enum, default_value_t = ReceiptFormat::Cose)]
    format: ReceiptFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ReceiptFormat {
    Cose,
    TlogProof,
}

/// Ask a C2SP witness over HTTP to cosign the latest checkpoint
#[derive(Debug, Args)]
pub(super) struct WitnessCommand {
    /// Where it is
    #[arg(value_name = "http://HOST:PORT")]
    address: String,
}

impl WitnessCommand {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let asked = WitnessBody { address: self.address };
        let all: Vec<Cosigned> = context.client.post("/v1/witness", &asked)?;
        for one in &all {
            context.out.done(format!(
                "{} had seen {} statements by {}",
                one.witness,
                one.size,
                time(one.time)
            ));
        }
        context.out.value(&all)
    }
}

/// Write the lineage of statements, or a period, into one file that proves it offline
#[derive(Debug, Args)]
pub(super) struct BundleCommand {
    /// Statements that it is to be about
    #[arg(required_unless_present = "period")]
    ids: Vec<String>,
    /// Everything that was said from the first to the last moment, as dates or times
    #[arg(long, value_name = "A..B", value_parser = period)]
    period: Option<(Timestamp, Timestamp)>,
    /// By this organisation; may be repeated; by the own one where none is named
    #[arg(long, requires = "period")]
    organisation: Vec<String>,
    /// Disclose a sealed claim of a statement; may be repeated
    #[arg(long, value_name = "ID=NAME", value_parser = disclosure)]
    disclose: Vec<(String, String)>,
    /// For this organisation: with what is limited to parties of agreements, as far as it may read that; may be repeated.
    /// Without, the file is for anybody, and nothing that is limited is in it
    #[arg(long = "for", value_name = "ORGANISATION")]
    readers: Vec<String>,
    /// Put in what is limited to parties or private, whoever the file is for
    #[arg(long, conflicts_with = "readers")]
    include_limited: bool,
    /// Where to write it
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Verify bundles, permits and proofs of forks offline
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Bundles, permits, proofs of forks
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Whose chains are meant and whose cosignatures count: a C2SP tlog-policy with `organisation ID NAME` lines
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
}

/// `ID=NAME`.
fn disclosure(text: &str) -> Result<(String, String), String> {
    let (id, name) = text.split_once('=').ok_or("a disclosure is ID=NAME: a statement and a claim of it")?;
    Ok((id.to_owned(), name.to_owned()))
}

impl ReceiptCommand {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let proof: Proof = context.client.get(&format!("/v1/statements/{}/receipt", segment(&self.id)))?;
        let bytes = match self.format {
            ReceiptFormat::Cose => proof.receipt.0.clone(),
            ReceiptFormat::TlogProof => proof.tlog_proof.clone().into_bytes(),
        };
        std::fs::write(&self.output, bytes).with_context(|| self.output.display().to_string())?;
        context.out.done(format!(
            "position {} of {} statements, in {}",
            proof.position,
            proof.size,
            self.output.display()
        ));
        context.out.value(&proof)
    }
}

impl BundleCommand {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let mut disclose: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (id, name) in self.disclose {
            disclose.entry(id).or_default().insert(name);
        }
        let wanted = BundleBody {
            about: self.ids,
            period: self.period,
            organisations: self.organisation,
            disclose,
            readers: self.readers,
            include_limited: self.include_limited,
        };
        let bytes = context.client.post_for_file("/v1/bundles", &wanted, &self.output)?;
        context.out.done(format!("{bytes} bytes in {}", self.output.display()));
        context.out.next(format!("counterfoil verify {}", self.output.display()));
        context.out.value(&serde_json::json!({ "bundle": self.output, "bytes": bytes }))
    }
}

/// Reads what an auditor trusts.
pub(super) fn read_trust(file: &PathBuf) -> anyhow::Result<TrustFile> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    TrustFile::parse(&text).with_context(|| file.display().to_string())
}

impl Verify {
    /// Ends with 3 when any file does not verify.
    pub(super) fn run(self, context: &Context) -> anyhow::Result<u8> {
        let trust = self.trust.as_ref().map(read_trust).transpose()?;
        let settings = Settings { trust: trust.as_ref(), ..Settings::default() };
        let (mut all, mut failed) = (Vec::new(), false);
        for file in &self.files {
            let named = || file.display().to_string();
            let mut opened = File::open(file).with_context(named)?;
            if let Some(proof) = misbehaviour(&mut opened).with_context(named)? {
                let (convicts, value) = fork(context, file, &proof);
                failed |= !convicts;
                all.push(value);
                continue;
            }
            let (report, _) = bundle::verify_file(&mut opened, &settings, &AllCores).with_context(named)?;
            failed |= !report.is_verified();
            print(context, file, &report);
            all.push(serde_json::json!({ "file": file, "verified": report.is_verified(), "report": report }));
        }
        context.out.value(&all)?;
        Ok(if failed { VERIFICATION_FAILED } else { 0 })
    }
}

/// The proof of misbehaviour that a file is, if it is one. What is too long for one is a bundle or nothing.
fn misbehaviour(file: &mut File) -> std::io::Result<Option<Misbehaviour>> {
    let mut bytes = Vec::new();
    file.take(STATEMENT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    file.rewind()?;
    Ok(Misbehaviour::parse(&bytes).ok().filter(|_| !bundle::is_bundle(&bytes)))
}

/// A proof of misbehaviour, checked from its own bytes.
fn fork(context: &Context, file: &std::path::Path, proof: &Misbehaviour) -> (bool, serde_json::Value) {
    match proof.check() {
        Ok((organisation, how)) => {
            context.out.done(format!("{} proves that {organisation} signed {how}", file.display()));
            (
                true,
                serde_json::json!({ "file": file, "verified": true, "organisation": organisation, "how": how }),
            )
        }
        Err(error) => {
            context.out.bad(format!("{}: {error}", file.display()));
            (false, serde_json::json!({ "file": file, "verified": false, "error": error.to_string() }))
        }
    }
}

fn print(context: &Context, file: &std::path::Path, report: &Report) {
    let out = context.out;
    for check in &report.checks {
        let line = format!("{:<14} {}: {}", check.check, short(&check.input), check.detail);
        match check.outcome {
            Outcome::Passed => out.done(line),
            Outcome::NotProven => out.unknown(line),
            Outcome::Failed => out.bad(line),
        }
    }
    for organisation in &report.organisations {
        let witnessed = organisation.witnessed.map(|at| format!(", witnessed by {}", time(at)));
        out.detail(format!(
            "{} ({}): {} of {} statements here{}",
            organisation.name,
            organisation.organisation,
            organisation.included,
            organisation.size,
            witnessed.unwrap_or_default()
        ));
    }
    for decision in &report.decisions {
        let open = if decision.recomputed.is_none() { ", not computed anew" } else { "" };
        out.detail(format!("decision {}: {}{open}", short(&decision.decision), decision.mode));
    }
    if report.is_verified() {
        out.done(format!("{} is verified", file.display()));
        let open = report.checks.iter().filter(|one| one.outcome == Outcome::NotProven);
        let decisions = open.clone().filter(|one| one.check == "decision").count();
        if decisions > 0 {
            out.unknown(format!(
                "{decisions} decisions in it are not proven: what they weighed is not here; a file for whom may read it has it"
            ));
        }
        report.does_not_prove.iter().for_each(|text| out.detail(format!("it does not prove {text}")));
    } else {
        let first = report.failures().next().map_or("nothing", |check| check.check);
        out.bad(format!("{} is NOT verified: {first}", file.display()));
    }
}

/// Checks every entry, tree and index on disk.
pub(super) fn fsck(context: &Context) -> anyhow::Result<u8> {
    context.data.inception()?;
    // While the lock is open no node can start here.
    let _lock = HeadLock::open(&context.data.path().join("head.lock"))?;
    let store = Store::open(&context.data.path().join("db"), Memory::default())?;
    let report = store.fsck()?;
    for damage in &report.damage {
        context.out.bad(damage);
    }
    if report.damage.is_empty() {
        context.out.done(format!("{} entries in {} chains are whole", report.entries, report.chains));
    }
    context.out.value(&serde_json::json!({
        "chains": report.chains, "entries": report.entries, "damage": report.damage,
    }))?;
    Ok(if report.damage.is_empty() { 0 } else { VERIFICATION_FAILED })
}
