//! `observe`: what documents say, as statements of an authority.

use std::path::PathBuf;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use counterfoil_protocol::codec;
use counterfoil_protocol::ids::{BlobId, ByteString, StatementId};
use counterfoil_protocol::observation::{Disclosure, Observation, Source, SourceSignature, Subject, sealed};
use counterfoil_protocol::statement::{Kind, Visibility};

use super::Context;
use super::client::segment;
use super::print::{parse_time, short, time};
use crate::api::routes::Document;
use crate::clock;
use crate::import::{IMPORT_BYTES_MAX, Imported, Trust, import_with_files};
use crate::service::read::StatementView;
use crate::service::say::{Said, Say};

/// Record what a document says
#[derive(Debug, Args)]
pub(super) struct Observe {
    /// Documents: in-toto attestations, sigstore bundles, signed models, ML-BOMs, model cards, claims in JSON, anything
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Claim type, in place of the one that the document makes
    #[arg(long)]
    claim: Option<String>,
    /// Subject in place of those that the document names: a file, a digest or a name; may be repeated
    #[arg(long = "subject", value_name = "FILE or DIGEST or NAME")]
    subjects: Vec<String>,
    /// The authority that says so, by role or id
    #[arg(long = "as", value_name = "AUTHORITY")]
    authority: Option<String>,
    /// When what is claimed was so, in place of what the document says
    #[arg(long, value_name = "DATE")]
    effective: Option<String>,
    /// Statement that this one was derived from; may be repeated
    #[arg(long, value_name = "ID")]
    derived_from: Vec<String>,
    /// Who may read it: mesh, parties or private
    #[arg(long, default_value = "mesh", value_parser = ["mesh", "parties", "private"])]
    visibility: String,
    /// The agreement whose parties may read it; with --visibility parties
    #[arg(long, value_name = "ID", required_if_eq("visibility", "parties"))]
    agreement: Option<String>,
    /// Claim of the document to be sealed: the statement commits to it, and `bundle --disclose` shows it to whom you choose;
    /// may be repeated. Decisions do not see what is sealed; the document's digest stays in the statement
    #[arg(long, value_name = "NAME")]
    seal: Vec<String>,
    /// Public key, certificate, sigstore trusted root, or trust file for bundles, that signatures are verified with; may be repeated
    #[arg(long, value_name = "FILE")]
    trust: Vec<PathBuf>,
    /// File that the document describes, to be compared with its digests; may be repeated
    #[arg(long, value_name = "FILE")]
    artifact: Vec<PathBuf>,
}

fn read(file: &PathBuf) -> anyhow::Result<Vec<u8>> {
    let length = std::fs::metadata(file).with_context(|| file.display().to_string())?.len();
    anyhow::ensure!(
        length <= IMPORT_BYTES_MAX as u64,
        "{}: {length} bytes; a document has at most {IMPORT_BYTES_MAX}. Observe its digest with --subject",
        file.display()
    );
    std::fs::read(file).with_context(|| file.display().to_string())
}

fn name(file: &std::path::Path) -> String {
    file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

impl Observe {
    /// Who may read what is said.
    fn visibility(&self, context: &Context) -> anyhow::Result<Visibility> {
        let agreement = match &self.agreement {
            Some(id) => {
                let view: StatementView = context.client.get(&format!("/v1/statements/{}", segment(id)))?;
                Some(view.statement)
            }
            None => None,
        };
        Visibility::named(&self.visibility, agreement)
            .context("--agreement goes with --visibility parties, and with no other")
    }

    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let mut trust = Trust::default();
        for file in &self.trust {
            trust.add(&file.display().to_string(), &read(file)?)?;
        }
        let artifacts: Vec<(String, PathBuf)> =
            self.artifact.iter().map(|file| (name(file), file.clone())).collect();
        let derived_from = self
            .derived_from
            .iter()
            .map(|id| {
                let shown: StatementView = context.client.get(&format!("/v1/statements/{}", segment(id)))?;
                Ok(shown.statement)
            })
            .collect::<anyhow::Result<Vec<StatementId>>>()?;
        // Every document is read and checked before the first is recorded.
        let mut read_all = Vec::with_capacity(self.files.len());
        for file in &self.files {
            let bytes = read(file)?;
            let imported = import_with_files(&bytes, &file.display().to_string(), &trust, &artifacts)?;
            let (observation, disclosures) = self.observation(imported, &derived_from)?;
            read_all.push((file, bytes, observation, disclosures));
        }
        let mut recorded = Vec::with_capacity(read_all.len());
        for (file, bytes, observation, disclosures) in read_all {
            let said = self.record(context, &bytes, &observation, disclosures)?;
            let source = observation.source.as_ref();
            context.out.done(format!("{}: {} {}", file.display(), observation.claim, said.statement));
            let (effective, received) = (time(observation.effective), time(said.received));
            context.out.detail(format!("effective {effective}, received {received}"));
            for subject in observation.subjects.iter().take(3) {
                context.out.detail(format!("about {subject}"));
            }
            if let Some(source) = source {
                explain(context, source);
            }
            recorded.push(serde_json::json!({
                "file": file, "statement": said.statement, "claim": observation.claim,
                "effective": observation.effective, "received": said.received,
                "subjects": observation.subjects.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "source": source, "said": said,
            }));
        }
        if let Some(first) = recorded.first().and_then(|one| one.get("statement")).and_then(|id| id.as_str())
        {
            context.out.next(format!("counterfoil show {}", short(&first)));
        }
        context.out.value(&recorded)
    }

    fn observation(
        &self,
        mut imported: Imported,
        derived_from: &[StatementId],
    ) -> anyhow::Result<(Observation, Vec<ByteString>)> {
        let disclosures = self.sealed(&mut imported)?;
        let subjects = if self.subjects.is_empty() {
            imported.subjects
        } else {
            self.subjects.iter().map(|text| subject(text)).collect::<anyhow::Result<_>>()?
        };
        let effective = match &self.effective {
            Some(text) => parse_time(text)?,
            None => imported.effective.unwrap_or_else(|| clock::now().timestamp()),
        };
        let observation = Observation {
            claim: self.claim.clone().unwrap_or(imported.claim),
            subjects,
            effective,
            expires: imported.expires,
            adverse: imported.adverse,
            content: imported.content,
            sealed: disclosures.iter().map(|disclosure| sealed::seal(&disclosure.0)).collect(),
            metrics: imported.metrics,
            derived_from: derived_from.to_vec(),
            materials: imported.materials,
            source: Some(imported.source),
        };
        observation.check()?;
        Ok((observation, disclosures))
    }

    /// Takes the claims that are to be sealed out of the content. Gives their disclosures, in the order of their digests.
    fn sealed(&self, imported: &mut Imported) -> anyhow::Result<Vec<ByteString>> {
        let mut found = Vec::with_capacity(self.seal.len());
        for name in &self.seal {
            let Some(value) = imported.content.remove(name) else {
                let names: Vec<&str> = imported.content.keys().map(String::as_str).collect();
                anyhow::bail!(
                    "the document claims no {name:?}, so it cannot be sealed; it claims: {}",
                    names.join(", ")
                );
            };
            let disclosure = Disclosure { salt: rand::random(), name: name.clone(), value };
            found.push(ByteString(disclosure.to_bytes()?));
        }
        found.sort_by_key(|disclosure| sealed::seal(&disclosure.0).0);
        Ok(found)
    }

    fn record(
        &self,
        context: &Context,
        bytes: &[u8],
        observation: &Observation,
        disclosures: Vec<ByteString>,
    ) -> anyhow::Result<Said> {
        let document = Document { document: STANDARD.encode(bytes) };
        let _kept: BlobId = context.client.post("/v1/documents", &document)?;
        let say = Say {
            kind: Kind::Observation,
            payload: ByteString(codec::encode(observation)?),
            authority: self.authority.clone(),
            subject: observation.subjects.first().map(|subject| subject.key().to_string()),
            refs: observation.derived_from.clone(),
            visibility: self.visibility(context)?,
            disclosures,
        };
        context.client.post("/v1/statements", &say)
    }
}

/// What was and was not proven about a document.
fn explain(context: &Context, source: &Source) {
    let signature = match source.signature {
        SourceSignature::Unsigned => "it carries no signature",
        SourceSignature::Unverified => "its signature was not verified; give a key or root with --trust",
        SourceSignature::Verified => "its signature is verified",
        SourceSignature::VerifiedAndLogged => "its signature is verified, and a third party saw it",
    };
    let signer = source.signer.as_ref().map(|signer| format!(": {signer}")).unwrap_or_default();
    context.out.detail(format!("{}: {signature}{signer}", source.format));
    for check in source.checks.iter().filter(|check| !check.proven) {
        context.out.unknown(format!("not proven: {}: {}", check.check, check.detail));
    }
}

/// A file is a subject by its digest; anything else is a digest, an id or a name.
fn subject(text: &str) -> anyhow::Result<Subject> {
    let path = std::path::Path::new(text);
    if path.is_file() {
        return Ok(Subject::Artifact { digest: digest(path)?, label: Some(name(path)) });
    }
    Ok(text.parse()?)
}

/// The SHA-256 digest of a file of any size.
fn digest(path: &std::path::Path) -> anyhow::Result<counterfoil_protocol::observation::ArtifactDigest> {
    use counterfoil_protocol::observation::{ArtifactDigest, DigestAlgorithm};
    use sha2::Digest as _;
    use std::io::Read as _;
    let mut hasher = sha2::Sha256::new();
    let mut file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).with_context(|| path.display().to_string())? {
            0 => break,
            length => hasher.update(buffer.get(..length).unwrap_or_default()),
        }
    }
    Ok(ArtifactDigest::new(DigestAlgorithm::Sha256, hasher.finalize().to_vec())?)
}
