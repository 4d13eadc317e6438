//! The truth about heads: who has which, compared pair by pair.
//!
//! When whom is asked: `rounds.rs`. Most of the time both have the same, and one digest says so. Else the peer tells what has
//! changed since the token that it gave last; who has no token is told everything, 24 bytes for each organisation; and where
//! that is too long, both compare fingerprints over ranges of organisations until what differs is small. Heads that are
//! newer, or better witnessed, are then asked for.
//!
//! ```text
//!   asker                                                  peer
//!     | -- Heads { known token, digest, salt, exposed } -->  |
//!     | <-- Same { token }                                   |   nothing differs
//!     | <-- Vector { token, records }                        |   what changed since, or all
//!     | <-- TooMany { token }                                |
//!     | -- Ranges { salt, ranges } ----------------------->  |   again and again, the ranges ever smaller
//!     | <-- Ranges { answers }                               |
//!     | -- Announcements { known, unknown } -------------->  |
//!     | <-- Announcements { heads }                          |   then the token counts
//! ```
//!
//! The salt is the asker's: nobody can prepare two heads that look the same in a vector.

use std::collections::BTreeMap;

use counterfoil_protocol::chain::SignedHead;
use counterfoil_protocol::digest::blake3;
use counterfoil_protocol::ids::{ByteString, Bytes, HeadSeq, OrganisationId};
use counterfoil_protocol::keys::PublicKey;
use counterfoil_protocol::limits::MEMBERS_MAX;
use rand_chacha::rand_core::Rng;

use crate::effect::{ChannelId, Effect};
use crate::engine::{Engine, announcement};
use crate::message::{Announcement, MESSAGE_BYTES_MAX, Range, RangeAnswer, Request, Response, Token, Topic};
use crate::peer::{Purpose, Wanted};
use crate::record::{RECORD_BYTES, Record, WITNESSED, fold, parts, prefix, records, span};
use crate::replica::Replica;
use crate::sync::Told;
use crate::time::Millis;

/// Most ranges in one question.
const RANGES_MAX: usize = 64;
/// Most records that answer for one range.
const RANGE_RECORDS_MAX: usize = 32;
/// Most announcements in one answer.
pub(crate) const ANNOUNCEMENTS_MAX: usize = 64;
/// Exchanges with one peer that find a difference but nothing to ask for, until all is compared.
const DIFFERENT_MAX: u8 = 4;

impl Engine {
    /// Takes note that what is known of an organisation's head, or of its witnesses, has changed.
    pub(crate) fn touch(&mut self, organisation: &OrganisationId) {
        let Some(replica) = self.replicas.get_mut(organisation) else { return };
        self.changes.remove(&replica.changed);
        self.revision = self.revision.saturating_add(1);
        replica.changed = self.revision;
        self.changes.insert(self.revision, *organisation);
        self.digest = None;
    }

    /// Members, or what is known to be wrong with them, have changed: what peers told so far may read differently now.
    pub(crate) fn compare_anew(&mut self) {
        self.digest = None;
        self.peers.values_mut().for_each(|peer| peer.token = None);
    }

    /// Whether vectors speak of an organisation: of members, and of those that were, since how they voted counts, and nobody else
    /// says it to who was away. Not of those that contradict themselves: there is no latest head of theirs.
    pub(crate) fn is_compared(&self, organisation: &OrganisationId) -> bool {
        let has_admitted =
            self.membership.as_ref().is_some_and(|membership| membership.has_admitted(organisation));
        has_admitted && !self.has_misbehaved(organisation)
    }

    fn compared(&self, range: &Range) -> impl Iterator<Item = (&OrganisationId, &Replica)> {
        let (from, to) = span(range);
        self.replicas.range(from..=to).filter(|(organisation, _)| self.is_compared(organisation))
    }

    fn whole() -> Range {
        Range { from: 0, to: u64::MAX, fingerprint: Bytes([0; 16]) }
    }

    /// One digest over the terms, all who are or were members, their heads with the witnesses of these, and who contradicts itself.
    /// It is the same with all who know the same.
    fn digest(&mut self) -> Bytes<32> {
        if let Some(digest) = self.digest {
            return digest;
        }
        let mut bytes = Vec::new();
        if let Some(membership) = &self.membership {
            bytes.extend_from_slice(&membership.now().terms_digest(membership.mesh()));
        }
        let admitted = self.membership.iter().flat_map(|membership| membership.now().admitted());
        for organisation in admitted.filter(|organisation| !self.has_misbehaved(organisation)) {
            bytes.extend_from_slice(organisation.as_bytes());
            bytes.push(u8::from(self.is_member(organisation)));
            let replica = self.replicas.get(organisation);
            let known = replica.and_then(|replica| Some((replica, replica.head()?)));
            bytes.push(u8::from(known.is_some()));
            if let Some((replica, head)) = known {
                bytes.extend_from_slice(head.hash().as_bytes());
                bytes.extend_from_slice(&fold(replica).to_be_bytes());
            }
        }
        bytes.push(0);
        self.proofs.keys().for_each(|organisation| bytes.extend_from_slice(organisation.as_bytes()));
        let digest = Bytes(blake3(&bytes));
        self.digest = Some(digest);
        digest
    }

    const fn token(&self) -> Token {
        Token { start: self.start, revision: self.revision }
    }

    /// Asks a peer for heads that are newer than those here.
    pub(crate) fn ask_heads(&mut self, now: Millis, key: PublicKey) {
        let (digest, salt) = (self.digest(), self.rng.next_u64());
        // Who looks for its own latest head wants to hear of it from everybody, not of what is new since.
        let known = self.peers.get(key.as_bytes()).and_then(|peer| peer.token);
        let known = known.filter(|_| self.search.is_none());
        let exposed = self.proofs.keys().copied().collect();
        self.send(now, &key, Purpose::Heads { salt }, Request::Heads { known, digest, salt, exposed });
    }

    /// What to answer to a question for heads.
    pub(crate) fn heads_asked(
        &mut self,
        known: Option<Token>,
        digest: &Bytes<32>,
        salt: u64,
        exposed: &[OrganisationId],
    ) -> Response {
        let token = self.token();
        if self.digest() == *digest {
            return Response::Same { token };
        }
        let proofs = self.proofs_beside(exposed);
        let since = known.filter(|known| known.start == self.start && known.revision <= self.revision);
        let mut records = Vec::new();
        let mut count = 0usize;
        let mut add = |replica: &Replica| {
            if let Some(record) = Record::of(replica, salt).filter(|_| count < self.config.vector_max) {
                record.write(&mut records);
            }
            count += usize::from(replica.head().is_some());
        };
        match since {
            Some(since) => {
                let changed = self.changes.range(since.revision.saturating_add(1)..);
                let changed = changed.filter(|(_, organisation)| self.is_compared(organisation));
                changed.filter_map(|(_, organisation)| self.replicas.get(organisation)).for_each(&mut add);
            }
            None => self.compared(&Self::whole()).for_each(|(_, replica)| add(replica)),
        }
        if count > self.config.vector_max {
            return Response::TooMany { token, proofs };
        }
        Response::Vector { token, records: ByteString(records), proofs }
    }

    /// A peer has the same heads.
    pub(crate) fn same_answered(&mut self, now: Millis, key: PublicKey, token: Token) {
        self.hedge_at = None;
        self.compared_all(now, key, &Wanted { token: Some(token), ..Wanted::default() });
        if let Some(peer) = self.peers.get_mut(key.as_bytes()) {
            peer.token = Some(token);
            peer.different = 0;
        }
    }

    /// A peer named what is new there.
    pub(crate) fn vector_answered(
        &mut self,
        now: Millis,
        key: PublicKey,
        salt: u64,
        token: Token,
        bytes: &ByteString,
        proofs: &[ByteString],
    ) {
        self.hedge_at = None;
        self.take_proofs(key, proofs);
        let mut wanted = Wanted { token: Some(token), ..Wanted::default() };
        for record in records(bytes).take(self.config.vector_max) {
            self.want(&mut wanted, &record, salt);
        }
        self.compared_all(now, key, &wanted);
        self.ask_announcements(now, key, wanted);
    }

    /// All was compared: takes note of whether the peer has something of the own chain that is not here, and of its own chain.
    // INVARIANT(7): of the chain of which there is more, nothing is confirmed before that has come.
    fn compared_all(&mut self, now: Millis, key: PublicKey, wanted: &Wanted) {
        if !wanted.known.contains(&Bytes(prefix(&self.me))) {
            self.note_asked(key, &[]);
        }
        let Some(organisation) = self.admitted(&key) else { return };
        if wanted.token.is_some() && !wanted.known.contains(&Bytes(prefix(&organisation))) {
            let replica = self.replicas.get(&organisation);
            let told = replica.and_then(|replica| replica.told).map(|(seq, _)| seq);
            let here = replica.and_then(Replica::head).map(SignedHead::seq);
            if let Some(seq) = told.max(here) {
                self.told_latest(now, &key, organisation, seq);
            }
        }
    }

    /// More is new with a peer than it would say: compares range by range.
    pub(crate) fn too_many_answered(
        &mut self,
        now: Millis,
        key: PublicKey,
        salt: u64,
        token: Token,
        proofs: &[ByteString],
    ) {
        self.hedge_at = None;
        self.take_proofs(key, proofs);
        let wanted = Wanted { token: Some(token), ..Wanted::default() };
        self.ask_ranges(now, key, salt, &parts(0, u64::MAX), wanted);
    }

    /// Somebody told of a head. From a peer of the chain's own organisation it is word that this is the latest one, which holds
    /// of the chain here as soon as it has come so far.
    // INVARIANT(7): nobody else's word confirms a head; whoever else has it may have had it for long.
    pub(crate) fn told_latest(
        &mut self,
        now: Millis,
        key: &PublicKey,
        organisation: OrganisationId,
        seq: HeadSeq,
    ) {
        let is_own = self.admitted(key) == Some(organisation);
        if let Some(replica) = self.replicas.get_mut(&organisation) {
            replica.told = replica.told.max(is_own.then_some((seq, now)));
            replica.settle();
        }
    }

    /// Adds an organisation to what is wanted, if the peer has something of it that is not here.
    fn want(&self, wanted: &mut Wanted, record: &Record, salt: u64) {
        // INVARIANT(11): no peer makes this longer than a mesh is large.
        if wanted.len() >= MEMBERS_MAX {
            wanted.token = None;
            return;
        }
        let number = u64::from_be_bytes(record.organisation);
        let range = Range { from: number, to: number, fingerprint: Bytes([0; 16]) };
        let (from, to) = span(&range);
        let mut known = self.replicas.range(from..=to).map(|(_, replica)| replica);
        match (known.next(), known.next()) {
            (Some(replica), None) if replica.head().is_some() => {
                let organisation = replica.organisation();
                if !self.is_compared(&organisation) || self.is_paused(&organisation) {
                    return;
                }
                let Some(own) = Record::of(replica, salt) else { return };
                let is_signed_otherwise = record.witnesses != own.witnesses && own.witnesses != WITNESSED;
                let is_news = record.seq > own.seq
                    || record.seq == own.seq && (record.tag != own.tag || is_signed_otherwise);
                if is_news {
                    wanted.known.push(Bytes(record.organisation));
                }
            }
            _ => wanted.unknown.push(Bytes(record.organisation)),
        }
    }

    fn ask_ranges(
        &mut self,
        now: Millis,
        key: PublicKey,
        salt: u64,
        bounds: &[(u64, u64)],
        mut wanted: Wanted,
    ) {
        // What does not fit is left to another period.
        if bounds.len() > RANGES_MAX {
            wanted.token = None;
        }
        let ranges: Vec<Range> = bounds
            .iter()
            .take(RANGES_MAX)
            .map(|(from, to)| {
                let range = Range { from: *from, to: *to, fingerprint: Bytes([0; 16]) };
                Range { fingerprint: self.fingerprint(&range, salt).0, ..range }
            })
            .collect();
        let purpose = Purpose::Ranges { salt, ranges: ranges.clone(), wanted: Box::new(wanted) };
        self.send(now, &key, purpose, Request::Ranges { salt, ranges });
    }

    /// The fingerprint of what lies in a range, and the records themselves.
    fn fingerprint(&self, range: &Range, salt: u64) -> (Bytes<16>, Vec<u8>) {
        let mut bytes = Vec::new();
        for (_, replica) in self.compared(range) {
            if let Some(record) = Record::of(replica, salt) {
                record.write(&mut bytes);
            }
        }
        let digest = blake3(&bytes);
        let mut fingerprint = [0; 16];
        fingerprint.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        (Bytes(fingerprint), bytes)
    }

    /// Answers a comparison of ranges: nothing for those that are the same.
    pub(crate) fn ranges_asked(&self, salt: u64, ranges: &[Range]) -> Response {
        let mut answers = Vec::new();
        for (index, range) in ranges.iter().take(RANGES_MAX).enumerate() {
            let (fingerprint, records) = self.fingerprint(range, salt);
            if range.from > range.to || fingerprint == range.fingerprint {
                continue;
            }
            let is_short = records.len() <= RANGE_RECORDS_MAX * RECORD_BYTES;
            let records = is_short.then_some(ByteString(records));
            answers.push(RangeAnswer { range: u16::try_from(index).unwrap_or(u16::MAX), records });
        }
        Response::Ranges(answers)
    }

    /// A peer said which of the ranges differ.
    pub(crate) fn ranges_answered(
        &mut self,
        now: Millis,
        key: PublicKey,
        salt: u64,
        ranges: &[Range],
        mut wanted: Wanted,
        answers: &[RangeAnswer],
    ) {
        let mut further = Vec::new();
        for answer in answers.iter().take(RANGES_MAX) {
            let Some(range) = ranges.get(usize::from(answer.range)) else {
                return self.penalise(key, 20, "it compared a range that it was not asked about");
            };
            match &answer.records {
                Some(bytes) => {
                    for record in records(bytes).take(RANGE_RECORDS_MAX) {
                        self.want(&mut wanted, &record, salt);
                    }
                }
                None if range.from < range.to => further.extend(parts(range.from, range.to)),
                None => {}
            }
        }
        if further.is_empty() {
            self.compared_all(now, key, &wanted);
            self.ask_announcements(now, key, wanted);
        } else {
            self.ask_ranges(now, key, salt, &further, wanted);
        }
    }

    /// Asks for the heads that are wanted, as many as fit into one answer. When none is left, the peer's token counts.
    fn ask_announcements(&mut self, now: Millis, key: PublicKey, mut wanted: Wanted) {
        if !wanted.is_empty() {
            let known: Vec<Bytes<8>> =
                wanted.known.drain(..wanted.known.len().min(ANNOUNCEMENTS_MAX)).collect();
            let room = ANNOUNCEMENTS_MAX - known.len();
            let unknown: Vec<Bytes<8>> = wanted.unknown.drain(..wanted.unknown.len().min(room)).collect();
            wanted.asked = known.iter().chain(&unknown).copied().collect();
            let request = Request::Announcements { known, unknown };
            self.send(now, &key, Purpose::Announcements(Box::new(wanted)), request);
            return;
        }
        let Some(peer) = self.peers.get_mut(key.as_bytes()) else { return };
        peer.token = wanted.token;
        // It differs and yet has nothing new: it is behind, or it was not heard right. Now and then that is told apart.
        peer.different = if wanted.found { 0 } else { peer.different + 1 };
        if peer.different >= DIFFERENT_MAX {
            peer.different = 0;
            peer.token = None;
        }
    }

    /// Asks whoever told of a member of whose chain nothing is here for its head and inception: a newcomer becomes known along
    /// the paths of gossip, and not by comparisons alone.
    pub(crate) fn ask_for_chain(
        &mut self,
        now: Millis,
        key: PublicKey,
        organisation: OrganisationId,
        topic: Topic,
    ) {
        // INVARIANT(11): it costs the organisation's budget, since nothing can be checked yet.
        if !self.spend(now, organisation, topic) {
            return;
        }
        // This is no comparison: the peer's token stays what it is.
        let token = self.peers.get(key.as_bytes()).and_then(|peer| peer.token);
        let unknown = vec![Bytes(prefix(&organisation))];
        self.ask_announcements(now, key, Wanted { token, unknown, ..Wanted::default() });
    }

    /// The heads of organisations whose ids begin so.
    pub(crate) fn announcements_asked(&self, known: &[Bytes<8>], unknown: &[Bytes<8>]) -> Response {
        let mut heads = Vec::new();
        let mut room = MESSAGE_BYTES_MAX / 2;
        let asked = known.iter().map(|one| (one, false)).chain(unknown.iter().map(|one| (one, true)));
        for (prefix, with_inception) in asked.take(ANNOUNCEMENTS_MAX) {
            let number = u64::from_be_bytes(prefix.0);
            let range = Range { from: number, to: number, fingerprint: Bytes([0; 16]) };
            for (_, replica) in self.compared(&range) {
                let Some(mut announcement) = announcement(replica, with_inception) else { continue };
                announcement.succession = replica.succession();
                let bytes = announcement.bytes();
                if bytes > room && !heads.is_empty() {
                    return Response::Announcements(heads);
                }
                room = room.saturating_sub(bytes);
                heads.push(announcement);
            }
        }
        Response::Announcements(heads)
    }

    /// A peer sent heads that were asked for.
    pub(crate) fn announcements_answered(
        &mut self,
        now: Millis,
        key: PublicKey,
        mut wanted: Wanted,
        heads: &[Announcement],
    ) {
        if wanted.asked.contains(&Bytes(prefix(&self.me))) {
            self.note_asked(key, heads);
        }
        let mut open: BTreeMap<[u8; 8], ()> = wanted.asked.drain(..).map(|prefix| (prefix.0, ())).collect();
        for announcement in heads.iter().take(ANNOUNCEMENTS_MAX) {
            match self.take_announcement(now, key, Told::Compared, announcement) {
                Ok(taken) => {
                    wanted.found = true;
                    if taken.is_news {
                        self.compare_soon(now);
                    }
                    open.remove(&prefix(&taken.organisation));
                }
                Err(reason) => {
                    wanted.token = None;
                    self.penalise(key, 20, reason);
                }
            }
        }
        // An answer has room for so much; what it left out is asked for again as long as there is some progress.
        if !heads.is_empty() {
            let (known, unknown): (Vec<_>, Vec<_>) = open.into_keys().map(Bytes).partition(|prefix| {
                let number = u64::from_be_bytes(prefix.0);
                let (from, to) = span(&Range { from: number, to: number, fingerprint: Bytes([0; 16]) });
                self.replicas.range(from..=to).next().is_some()
            });
            wanted.known.extend(known);
            wanted.unknown.extend(unknown);
        } else {
            wanted.token = None;
        }
        self.ask_announcements(now, key, wanted);
    }

    pub(crate) fn respond(&mut self, channel: ChannelId, response: Response) {
        self.outbox.push(Effect::Respond { channel, response });
    }
}
