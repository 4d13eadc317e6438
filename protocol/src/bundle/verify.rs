//! The offline verifier: files and bytes first, then chains, then what the statements say about each other.
//!
//! ```text
//! file --> items --> batches --> workers: parse, hash, signature --> walk along each chain --> what is kept
//!                                                                                                 |
//!                                      cross-references, decisions, permits, periods, times <-----+
//! ```
//!
//! Of a long file not every statement is kept. What other statements are checked against is; and where one is missing
//! then, the file is read a second time for it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read, Seek, SeekFrom};

use super::check::{Batch, Checked, InOrder, Keys, Workers};
use super::format::{BundleError, Entry, Manifest, Section};
use super::ranges::{self, Watch};
use super::reader::Items;
use super::report::{OrganisationReport, Outcome, Report};
use super::trust::{self, TrustFile};
use super::walk::{Chain, Chains, Failure, Keep, Sought, Walk};
use super::{again, references, replay, times};
use crate::chain::cosignature;
use crate::chain::misbehaviour::Misbehaviour;
use crate::chain::note::Note;
use crate::identity::Recovery;
use crate::ids::{OrganisationId, Position, StatementId, TreeSize};
use crate::keys::PublicKey;
use crate::limits::BUNDLE_KEPT_BYTES_MAX;
use crate::statement::{Kind, Verified};

/// What passing does not prove.
const DOES_NOT_PROVE: [&str; 4] = [
    "who is behind an organisation's id: compare it with what the organisation publishes, or give a trust file",
    "that what authorities claim is true: only that they said so, and were allowed to",
    "that a decider weighed all evidence it could have known: only what it did weigh, and what follows from that",
    "that the chains have not gone on since: each was as shown when its head was signed",
];

/// Most entries of a batch.
const BATCH_ENTRIES: usize = 256;
/// Where a batch ends although it has fewer entries, in bytes.
const BATCH_BYTES: usize = 1 << 20;

/// Verifies a bundle from its own bytes, without network, clock or disk.
pub fn verify(bytes: &[u8]) -> Report {
    open(bytes, None).0
}

/// Verifies a bundle, and holds its chains against what an auditor trusts.
pub fn verify_with(bytes: &[u8], trust: &TrustFile) -> Report {
    open(bytes, Some(trust)).0
}

/// Verifies a bundle, and gives the statements that it is about, in the order of their ids. They rest on the report: while
/// that has failures, they prove nothing.
pub fn open(bytes: &[u8], trust: Option<&TrustFile>) -> (Report, Vec<Verified>) {
    // Memory can always be read, so nothing is lost here.
    let settings = Settings { trust, ..Settings::default() };
    verify_file(&mut Cursor::new(bytes), &settings, &InOrder).unwrap_or_default()
}

/// How a bundle is to be verified.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// What the auditor trusts.
    pub trust: Option<&'a TrustFile>,
    /// Statements that are kept while the file is read, in bytes. The verdict does not depend on it.
    pub kept_bytes: usize,
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Self { trust: None, kept_bytes: BUNDLE_KEPT_BYTES_MAX }
    }
}

/// As [`open`], from a file of any length, in memory that does not grow with it, on the cores that `workers` use.
///
/// # Errors
/// When the file cannot be read.
pub fn verify_file<F: Read + Seek>(
    file: &mut F,
    settings: &Settings<'_>,
    workers: &impl Workers,
) -> Result<(Report, Vec<Verified>), std::io::Error> {
    let mut report = Report { does_not_prove: DOES_NOT_PROVE.to_vec(), ..Report::default() };
    let mut items = Items::new(&mut *file);
    let mut keep = Keep::new(settings.kept_bytes);
    let read = read(&mut items, workers, &mut keep, &mut report);
    let digest = items.finish()?;
    match digest {
        Some(_) => report.first("file-digest", Outcome::Passed, "its bytes are as they were written"),
        None => {
            let changed =
                "its bytes were changed after it was written, or cut off; what follows may say where";
            report.first("file-digest", Outcome::Failed, changed);
        }
    }
    let (manifest, mut chains, watches) = match read {
        Ok(read) => read,
        Err(BundleError::File(error)) => return Err(error),
        Err(error) => {
            report.fail("file-form", "the file", error.to_string());
            return Ok((report, Vec::new()));
        }
    };
    report.disclosed = std::mem::take(&mut keep.disclosed);
    let mut present = BTreeSet::new();
    if keep.has_dropped {
        file.seek(SeekFrom::Start(0))?;
        let sought = sought(&manifest, &chains, &keep);
        let found = again::read(file, &sought, &mut chains, digest)?;
        match found {
            Ok(found) => present = found,
            Err(error) => report.fail("file-form", "the file, read again", error),
        }
    }
    if let Some(trust) = settings.trust {
        trust::check(trust, &chains, &mut report);
    }
    let forked = misbehaviour(&manifest, &mut report);
    gaps(&manifest, &chains, &keep, present, &mut report);
    for range in &manifest.ranges {
        match watches.get(&range.organisation) {
            Some(watch) => watch.check(manifest.period, &mut report),
            None => report.fail("range", range.organisation.short(), "its chain is not here"),
        }
    }
    report.times = times::bounds(&chains);
    replay::cross_references(&chains, &mut report);
    let limited = manifest.limited.iter().copied().collect();
    replay::decisions(&chains, &forked, &limited, &mut report);
    replay::actuation(&chains, &mut report);
    let find = |id: &StatementId| chains.values().find_map(|chain| chain.find(id)).cloned();
    let about = manifest.about.iter().filter_map(find).collect();
    Ok((report, about))
}

type Parts = (Manifest, Chains, BTreeMap<OrganisationId, Watch>);

/// Reads the file to its end. Chains that do not verify are reported and left out.
fn read<F: Read>(
    items: &mut Items<F>,
    workers: &impl Workers,
    keep: &mut Keep,
    report: &mut Report,
) -> Result<Parts, BundleError> {
    items.begin()?;
    let manifest: Manifest = items.read()?;
    let mut watches = ranges::watches(&manifest, report);
    let (mut chains, mut lines, mut watched) = (Chains::new(), BTreeMap::new(), BTreeMap::new());
    for _ in 0..manifest.sections {
        let section: Section = items.read()?;
        let organisation = section.organisation;
        let input = organisation.short();
        match chain(items, &section, watches.remove(&organisation), workers, keep)? {
            Ok((chain, watch)) => {
                passed(&chain, report);
                watched.extend(watch.map(|watch| (organisation, watch)));
                lines.insert(organisation, section.cosignatures);
                if chains.insert(organisation, chain).is_some() {
                    report.fail("file-form", input, "the chain occurs twice");
                }
            }
            Err((position, (check, error))) => {
                let place = position.map_or_else(|| input.clone(), |at| format!("{input} position {at}"));
                report.fail(check, place, error);
                report.fail("chain", input, "the chain does not verify, so nothing rests on it");
            }
        }
    }
    items.end()?;
    cosignatures(&lines, &mut chains, report);
    Ok((manifest, chains, watched))
}

type Walked = Result<(Chain, Option<Watch>), (Option<TreeSize>, Failure)>;

/// Reads one section to its end, and verifies its chain as far as that goes.
fn chain<F: Read>(
    items: &mut Items<F>,
    section: &Section,
    watch: Option<Watch>,
    workers: &impl Workers,
    keep: &mut Keep,
) -> Result<Walked, BundleError> {
    let (walk, mut failure) = match Walk::new(section, watch) {
        Ok(walk) => (Some(walk), None),
        Err(failed) => (None, Some((None, failed))),
    };
    let mut left = section.entries;
    let mut broken = None;
    let walk = RefCell::new(walk);
    let mut source = || {
        let keys = walk.borrow().as_ref().map(|walk| walk.keys.clone())?;
        batch(items, &mut left, keys).unwrap_or_else(|error| {
            broken = Some(error);
            None
        })
    };
    let mut sink = |checked: Checked| {
        let mut walk = walk.borrow_mut();
        let Some(walk) = walk.as_mut() else { return false };
        for finding in checked.0 {
            let at = walk.size();
            if let Err(failed) = walk.step(finding, keep) {
                failure = Some((Some(at), failed));
                return false;
            }
        }
        true
    };
    workers.run(&mut source, &mut sink);
    if let Some(error) = broken {
        return Err(error);
    }
    // What follows a failure is not looked at, but the next section begins behind it.
    for _ in 0..left {
        items.next()?;
    }
    Ok(match (failure, walk.into_inner()) {
        (None, Some(walk)) => walk.finish().map_err(|failed| (None, failed)),
        (Some(failure), _) => Err(failure),
        (None, None) => Err((None, ("chain", "it was not read".into()))),
    })
}

/// The next batch of a section that has `left` entries left.
fn batch<F: Read>(items: &mut Items<F>, left: &mut u64, keys: Keys) -> Result<Option<Batch>, BundleError> {
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while *left > 0 && entries.len() < BATCH_ENTRIES && bytes < BATCH_BYTES {
        let item = items.next()?;
        bytes += item.len();
        let entry = Entry::decode(item);
        entries.push(entry.map_err(|error| BundleError::Item { item: items.last(), error })?);
        *left -= 1;
    }
    Ok((!entries.is_empty()).then_some(Batch { entries, keys }))
}

/// Reports what was found out about a chain.
fn passed(chain: &Chain, report: &mut Report) {
    let (organisation, size) = (chain.state.organisation(), chain.head.size());
    let input = organisation.short();
    report.pass("head", &input, format!("signed by the chain key, {size} statements"));
    let included = chain.included;
    let found = format!("{included} of {size}, each signed by an authority in force, each in its place");
    report.pass("statements", &input, found);
    for verified in chain.standing(size) {
        if let Some(recovery) = verified.payload().recovery() {
            report.pass("recovery", &input, recovered(verified.position(), recovery));
        }
    }
    let standing = chain.standing(size).count();
    let complete = format!("all {standing} statements that change what others may rely on are here");
    report.pass("completeness", input, complete);
    report.organisations.push(OrganisationReport {
        organisation,
        name: chain.state.description().name.clone(),
        size,
        included,
        standing,
        witnesses: Vec::new(),
        witnessed: None,
    });
}

/// What a recovery means for whoever reads the chain.
fn recovered(position: Position, recovery: &Recovery) -> String {
    let kept = recovery.head().map_or(TreeSize(0), |head| head.claimed_size());
    let asked = match (recovery.alone, recovery.asked.len()) {
        (false, asked) => format!("all {asked} other members of its mesh said that they hold nothing later"),
        (true, 0) => "nobody was asked".into(),
        (true, asked) => format!("not all other members of its mesh were asked; {asked} hold nothing later"),
    };
    format!(
        "at position {position} it goes on with a new chain key, from a head of {kept} statements; whatever the former key \
         signed beyond that was given up ({}); {asked}",
        recovery.reason
    )
}

/// What a second reading has to look for.
fn sought(manifest: &Manifest, chains: &Chains, keep: &Keep) -> Sought {
    let is_new = |id: &StatementId| chains.values().all(|chain| chain.find(id).is_none());
    let kept = chains.values().flat_map(|chain| chain.statements.iter());
    let checked = kept.filter(|verified| verified.kind() != Kind::Observation);
    let whole = checked.flat_map(|verified| references(verified.statement(), verified.payload()));
    let whole: BTreeSet<_> = whole.chain(manifest.about.iter().copied()).filter(is_new).collect();
    let kept = chains.values().flat_map(|chain| chain.statements.iter());
    let present = kept.flat_map(|verified| references(verified.statement(), verified.payload()));
    let named = manifest.absent.iter().chain(&manifest.limited);
    let present = present.chain(named.copied()).chain(keep.sought.keys().copied());
    let present = present.filter(is_new).collect();
    Sought { whole, present }
}

/// Witnesses are the organisations whose chains are here. A wrong line of one of them rejects the head's note.
fn cosignatures(lines: &BTreeMap<OrganisationId, Vec<String>>, chains: &mut Chains, report: &mut Report) {
    let witnesses: BTreeMap<OrganisationId, PublicKey> =
        chains.iter().map(|(id, chain)| (*id, chain.state.description().witness_key)).collect();
    for (organisation, lines) in lines {
        let Some(chain) = chains.get_mut(organisation) else { continue };
        let input = organisation.short();
        let mut others = witnesses.clone();
        others.remove(organisation);
        let mut text = chain.head.note().to_string();
        lines.iter().for_each(|line| text.push_str(line));
        let found = Note::parse(text.as_bytes()).and_then(|note| {
            // Every line must be one that was checked: an unknown line would be a byte that nothing covers.
            let found = cosignature::on_note(&note, &others)?;
            Ok((found.len() == lines.len(), found))
        });
        match found {
            Ok((true, found)) => {
                let count = found.len();
                let entry = report.organisations.iter_mut().find(|o| o.organisation == *organisation);
                if let Some(entry) = entry {
                    entry.witnesses = found.keys().copied().collect();
                    entry.witnessed = found.values().map(|cosignature| cosignature.time).max();
                }
                chain.cosignatures = found;
                report.pass("cosignatures", input, format!("{count} other organisations had seen this head"));
            }
            Ok((false, _)) => {
                report.fail("cosignatures", input, "a line is of no organisation in this bundle");
            }
            Err(error) => report.fail("cosignatures", input, error.to_string()),
        }
    }
}

/// Checks the proofs of misbehaviour. Gives whom they convict.
fn misbehaviour(manifest: &Manifest, report: &mut Report) -> BTreeSet<OrganisationId> {
    let mut forked = BTreeSet::new();
    for bytes in &manifest.misbehaviour {
        match Misbehaviour::parse(&bytes.0).and_then(|proof| proof.check()) {
            Ok((organisation, how)) => {
                forked.insert(organisation);
                let how = format!("it signed two heads that contradict each other ({how:?})");
                report.pass("misbehaviour", organisation.short(), how);
            }
            Err(error) => report.fail("misbehaviour", "a proof in the manifest", error.to_string()),
        }
    }
    forked
}

/// Everything that the bundle is about, and everything that its statements rest on, is here or named as absent.
///
/// `present` are statements that were seen and not kept.
fn gaps(
    manifest: &Manifest,
    chains: &Chains,
    keep: &Keep,
    mut present: BTreeSet<StatementId>,
    report: &mut Report,
) {
    present.extend(chains.values().flat_map(|chain| chain.statements.iter().map(Verified::id)));
    let absent: BTreeSet<StatementId> = manifest.absent.iter().copied().collect();
    let limited: BTreeSet<StatementId> = manifest.limited.iter().copied().collect();
    for id in &manifest.about {
        if !present.contains(id) {
            report.fail("about", id.to_string(), "the bundle is about it, and it is not here");
        }
    }
    if manifest.about.is_empty() && manifest.ranges.is_empty() {
        report.fail("about", "the manifest", "the bundle is about nothing");
    }
    let mut needed: BTreeMap<StatementId, StatementId> = chains
        .values()
        .flat_map(|chain| chain.statements.iter())
        .flat_map(|verified| {
            let by = verified.id();
            references(verified.statement(), verified.payload()).into_iter().map(move |id| (id, by))
        })
        .collect();
    needed.extend(&keep.sought);
    let mut missing = 0;
    for (id, by) in needed.iter().filter(|(id, _)| !present.contains(*id)) {
        missing += 1;
        if limited.contains(id) {
            let detail = format!("{by} refers to it; it is limited to others than this file is for");
            report.add("gap", Outcome::NotProven, id.to_string(), detail);
        } else if absent.contains(id) {
            let detail =
                format!("{by} refers to it; it is withheld from, or unknown to, the bundle's writer");
            report.add("gap", Outcome::NotProven, id.to_string(), detail);
        } else {
            let detail = format!("{by} refers to it, and it was left out");
            report.fail("gap", id.to_string(), detail);
        }
    }
    let mut out = absent.union(&limited);
    if let Some(id) = out.find(|id| present.contains(*id) || !needed.contains_key(*id)) {
        report.fail("gap", id.to_string(), "the manifest calls it absent, which is wrong or without meaning");
    }
    if let Some(id) = absent.intersection(&limited).next() {
        report.fail("gap", id.to_string(), "the manifest calls it absent for two reasons");
    }
    if missing == 0 {
        let detail = format!("each of the {} statements referred to is here", needed.len());
        report.pass("gaps", "the lineage", detail);
    }
}
