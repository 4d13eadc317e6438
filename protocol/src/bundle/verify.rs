//! The offline verifier: files and bytes first, then chains, then what the statements say about each other.

use std::collections::{BTreeMap, BTreeSet};

use super::format::{Included, Manifest, Section, Unverified, digest_holds, read};
use super::report::{OrganisationReport, Outcome, Report};
use super::trust::{self, TrustFile};
use super::{ranges, references, replay, times};
use crate::chain::cosignature::{self, Cosignature};
use crate::chain::misbehaviour::Misbehaviour;
use crate::chain::note::Note;
use crate::chain::proof::{verify_consistency, verify_inclusion};
use crate::chain::{Hash, Head, LeafDigest, SignedHead};
use crate::identity::{OrganisationState, StandingDigest};
use crate::ids::{OrganisationId, Position, StatementId, TreeSize};
use crate::keys::PublicKey;
use crate::statement::{Statement, Verified, verify as verify_statement};

/// What passing does not prove.
const DOES_NOT_PROVE: [&str; 4] = [
    "who is behind an organisation's id: compare it with what the organisation publishes, or give a trust file",
    "that what authorities claim is true: only that they said so, and were allowed to",
    "that a decider weighed all evidence it could have known: only what it did weigh, and what follows from that",
    "that the chains have not gone on since: each was as shown when its head was signed",
];

/// One chain of the bundle, verified.
pub(super) struct Chain {
    pub(super) head: SignedHead,
    pub(super) state: OrganisationState,
    /// In chain order.
    pub(super) statements: Vec<Verified>,
    /// Positions of which the digest alone is here.
    pub(super) withheld: BTreeSet<Position>,
    /// Witnesses' cosignatures on the head that verify.
    pub(super) cosignatures: BTreeMap<OrganisationId, Cosignature>,
    earlier: BTreeMap<TreeSize, Vec<Hash>>,
}

/// All chains of the bundle.
pub(super) type Chains = BTreeMap<OrganisationId, Chain>;

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
    let mut report = Report { does_not_prove: DOES_NOT_PROVE.to_vec(), ..Report::default() };
    if digest_holds(bytes) {
        report.pass("file-digest", "the file", "its bytes are as they were written");
    } else {
        let changed = "its bytes were changed after it was written, or cut off; what follows may say where";
        report.fail("file-digest", "the file", changed);
    }
    let Unverified { manifest, sections } = match read(bytes) {
        Ok(unverified) => unverified,
        Err(error) => {
            report.fail("file-form", "the file", error.to_string());
            return (report, Vec::new());
        }
    };
    let mut chains = Chains::new();
    for (section, included) in &sections {
        let input = section.organisation.short();
        match chain(section, included, &mut report) {
            Some(chain) => {
                if chains.insert(section.organisation, chain).is_some() {
                    report.fail("file-form", input, "the chain occurs twice");
                }
            }
            None => report.fail("chain", input, "the chain does not verify, so nothing rests on it"),
        }
    }
    cosignatures(&sections, &mut chains, &mut report);
    if let Some(trust) = trust {
        trust::check(trust, &chains, &mut report);
    }
    let forked = misbehaviour(&manifest, &mut report);
    gaps(&manifest, &chains, &mut report);
    ranges::check(&manifest, &chains, &mut report);
    report.times = times::bounds(&chains);
    replay::cross_references(&chains, &mut report);
    replay::decisions(&chains, &forked, &mut report);
    replay::actuation(&chains, &mut report);
    let find = |id: &StatementId| chains.values().find_map(|chain| chain.find(id)).cloned();
    let about = manifest.about.iter().filter_map(find).collect();
    (report, about)
}

/// Verifies one chain: head, every statement in its position, and that no standing statement is missing.
fn chain(section: &Section, included: &[Included], report: &mut Report) -> Option<Chain> {
    let input = section.organisation.short();
    let first = included.first().filter(|first| first.position.0 == 0);
    let Some(first) = first.and_then(|first| first.statement.as_ref()) else {
        report.fail("inception", input, "the chain's inception is missing");
        return None;
    };
    let begun = Statement::parse(first.0.as_slice())
        .map_err(|error| error.to_string())
        .and_then(|inception| OrganisationState::from_inception(&inception).map_err(|e| e.to_string()));
    let mut state = match begun {
        Ok(state) if state.organisation() == section.organisation => state,
        Ok(state) => {
            let found = state.organisation();
            report.fail("inception", input, format!("it is the inception of {found}"));
            return None;
        }
        Err(error) => {
            report.fail("inception", input, error);
            return None;
        }
    };
    let opened =
        Head::parse(section.head.0.as_slice()).and_then(|head| head.verify(&state.description().chain_key));
    let head = match opened {
        Ok(head) if head.organisation() == section.organisation => head,
        Ok(head) => {
            report.fail("head", input, format!("it is a head of {}", head.organisation()));
            return None;
        }
        Err(error) => {
            report.fail("head", input, error.to_string());
            return None;
        }
    };
    let size = head.size();
    report.pass("head", &input, format!("signed by the chain key, {size} statements"));
    let mut statements = Vec::with_capacity(included.len());
    let mut withheld = BTreeSet::new();
    for item in included {
        match admit(&mut state, item, &head) {
            Ok(Some(verified)) => statements.push(verified),
            Ok(None) => {
                withheld.insert(item.position);
            }
            Err((check, error)) => {
                report.fail(check, format!("{input} position {}", item.position), error);
                return None;
            }
        }
    }
    let found =
        format!("{} of {size}, each signed by an authority in force, each in its place", statements.len());
    report.pass("statements", &input, found);
    state.skip_to(size.next_position());
    let standing = statements.iter().filter(|verified| verified.kind().is_standing()).count();
    if state.standing_digest() == head.standing() {
        let complete = format!("all {standing} statements that change what others may rely on are here");
        report.pass("completeness", &input, complete);
    } else {
        let gap = "a credential, revocation, vote, profile, recall or the like was left out or added";
        report.fail("completeness", &input, gap);
        return None;
    }
    let earlier = section.earlier.iter().map(|earlier| (earlier.size, earlier.proof.clone())).collect();
    report.organisations.push(OrganisationReport {
        organisation: section.organisation,
        name: state.description().name.clone(),
        size,
        included: statements.len(),
        standing,
        witnesses: Vec::new(),
        witnessed: None,
    });
    Some(Chain { head, state, statements, withheld, cosignatures: BTreeMap::new(), earlier })
}

/// Verifies one statement in its position, and its place in the tree; of one that is withheld, the place alone.
fn admit(
    state: &mut OrganisationState,
    item: &Included,
    head: &SignedHead,
) -> Result<Option<Verified>, (&'static str, String)> {
    if item.position < state.next_position() {
        return Err(("position", "it stands twice, or out of order".into()));
    }
    let placed = |leaf: &LeafDigest| {
        verify_inclusion(&leaf.leaf_hash(), item.position, head.size(), &item.path, &head.root())
            .map_err(|error| ("inclusion", error.to_string()))
    };
    let statement = match (&item.statement, &item.digest) {
        (Some(bytes), None) => {
            Statement::parse(bytes.0.as_slice()).map_err(|error| ("statement-form", error.to_string()))?
        }
        (None, Some(digest)) => {
            placed(digest)?;
            state.skip_to(item.position.size_with().next_position());
            return Ok(None);
        }
        _ => return Err(("file-form", "an entry is a statement or a digest".into())),
    };
    let id = statement.id();
    placed(&statement.leaf_digest())?;
    state.skip_to(item.position);
    let authentic = state.authenticate(statement).map_err(|error| ("signature", format!("{id}: {error}")))?;
    let verified =
        verify_statement(state, authentic).map_err(|error| (error.check(), format!("{id}: {error}")))?;
    state.apply(&verified).map_err(|error| (error.check(), format!("{id}: {error}")))?;
    Ok(Some(verified))
}

impl Chain {
    /// The statement with this id.
    pub(super) fn find(&self, id: &StatementId) -> Option<&Verified> {
        self.statements.iter().find(|verified| verified.id() == *id)
    }

    /// Standing statements among the first `size`.
    pub(super) fn standing(&self, size: TreeSize) -> impl Iterator<Item = &Verified> {
        self.statements
            .iter()
            .filter(move |verified| verified.kind().is_standing() && size.contains(verified.position()))
    }

    /// The chain's state when it had `size` statements, if that gives the `digest` that a head of that size carries.
    pub(super) fn state_at(
        &self,
        size: TreeSize,
        digest: StandingDigest,
    ) -> Result<OrganisationState, String> {
        let state = OrganisationState::under(self.standing(size), size).map_err(|e| e.to_string())?;
        if state.standing_digest() != digest {
            return Err("the standing statements do not give that head's digest".into());
        }
        Ok(state)
    }

    /// Whether a tree of this size and root is the beginning of this chain.
    pub(super) fn begins_with(&self, size: TreeSize, root: &Hash) -> Result<(), String> {
        let none = Vec::new();
        let proof = match self.earlier.get(&size) {
            Some(proof) => proof,
            None if size == self.head.size() => &none,
            None => return Err(format!("there is no proof that leads from size {size} to the head")),
        };
        verify_consistency(size, root, self.head.size(), &self.head.root(), proof).map_err(|e| e.to_string())
    }
}

/// Witnesses are the organisations whose chains are here. A wrong line of one of them rejects the head's note.
fn cosignatures(sections: &[(Section, Vec<Included>)], chains: &mut Chains, report: &mut Report) {
    let witnesses: BTreeMap<OrganisationId, PublicKey> =
        chains.iter().map(|(id, chain)| (*id, chain.state.description().witness_key)).collect();
    for (section, _) in sections {
        let Some(chain) = chains.get_mut(&section.organisation) else { continue };
        let input = section.organisation.short();
        let mut others = witnesses.clone();
        others.remove(&section.organisation);
        let mut text = chain.head.note().to_string();
        section.cosignatures.iter().for_each(|line| text.push_str(line));
        let found = Note::parse(text.as_bytes()).and_then(|note| {
            // Every line must be one that was checked: an unknown line would be a byte that nothing covers.
            let found = cosignature::on_note(&note, &others)?;
            Ok((found.len() == section.cosignatures.len(), found))
        });
        match found {
            Ok((true, found)) => {
                let count = found.len();
                let entry = report.organisations.iter_mut().find(|o| o.organisation == section.organisation);
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
fn gaps(manifest: &Manifest, chains: &Chains, report: &mut Report) {
    let present: BTreeSet<StatementId> =
        chains.values().flat_map(|chain| chain.statements.iter().map(Verified::id)).collect();
    let absent: BTreeSet<StatementId> = manifest.absent.iter().copied().collect();
    for id in &manifest.about {
        if !present.contains(id) {
            report.fail("about", id.to_string(), "the bundle is about it, and it is not here");
        }
    }
    if manifest.about.is_empty() && manifest.ranges.is_empty() {
        report.fail("about", "the manifest", "the bundle is about nothing");
    }
    let needed: BTreeMap<StatementId, StatementId> = chains
        .values()
        .flat_map(|chain| chain.statements.iter())
        .flat_map(|verified| {
            let by = verified.id();
            references(verified.statement(), verified.payload()).into_iter().map(move |id| (id, by))
        })
        .collect();
    let mut missing = 0;
    for (id, by) in needed.iter().filter(|(id, _)| !present.contains(*id)) {
        missing += 1;
        if absent.contains(id) {
            let detail =
                format!("{by} refers to it; it is withheld from, or unknown to, the bundle's writer");
            report.add("gap", Outcome::NotProven, id.to_string(), detail);
        } else {
            let detail = format!("{by} refers to it, and it was left out");
            report.fail("gap", id.to_string(), detail);
        }
    }
    if let Some(id) = absent.iter().find(|id| present.contains(*id) || !needed.contains_key(*id)) {
        report.fail("gap", id.to_string(), "the manifest calls it absent, which is wrong or without meaning");
    }
    if missing == 0 {
        let detail = format!("each of the {} statements referred to is here", needed.len());
        report.pass("gaps", "the lineage", detail);
    }
}
