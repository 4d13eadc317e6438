//! What was checked already, for engines of one process that hold the same: a simulator runs a thousand of them.
//!
//! Everything here follows from bytes that the reader has too, so an engine decides the same with it and without it. A node
//! that runs alone keeps nothing here.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use counterfoil_protocol::ids::{HeadHash, OrganisationId};
use counterfoil_protocol::mesh::Electorate;
use counterfoil_protocol::statement::Verified;

use crate::replica::Content;

/// Statements kept beside a chain: those that whoever is a little behind still has to take in.
const RECENT_MAX: usize = 32;

/// What was checked already.
#[derive(Debug, Default)]
pub struct Checked {
    entries_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    chains: Bounded<HeadHash, Chain>,
    lines: Bounded<Arc<str>, ()>,
    witnesses: Bounded<([u8; 32], OrganisationId), Arc<[OrganisationId]>>,
}

/// A chain up to a head, and the last of its statements.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    pub(crate) content: Arc<Content>,
    pub(crate) recent: Vec<Arc<Verified>>,
}

/// A map that forgets its oldest entries.
#[derive(Debug)]
struct Bounded<K, V> {
    entries: BTreeMap<K, V>,
    order: VecDeque<K>,
}

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), order: VecDeque::new() }
    }
}

impl<K: Ord + Clone, V> Bounded<K, V> {
    fn insert(&mut self, key: K, value: V, most: usize) {
        if most == 0 || self.entries.insert(key.clone(), value).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > most
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }
}

impl Checked {
    /// Shares up to this many of each kind between the engines that it is given to.
    pub fn shared(entries_max: usize) -> Arc<Self> {
        Arc::new(Self { entries_max, kept: Mutex::default() })
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The chain under this head, if somebody has it.
    pub(crate) fn chain(&self, head: &HeadHash) -> Option<Chain> {
        self.kept().chains.entries.get(head).cloned()
    }

    /// Takes note of a chain that was found to lead to its head, and of the statements that led there from `before`.
    pub(crate) fn keep(&self, before: Option<&HeadHash>, content: &Arc<Content>, added: &[Arc<Verified>]) {
        let Some(head) = content.head().filter(|_| self.entries_max > 0) else { return };
        let mut kept = self.kept();
        let mut recent = before
            .and_then(|before| kept.chains.entries.get(before))
            .map(|chain| chain.recent.clone())
            .unwrap_or_default();
        recent.extend(added.iter().cloned());
        recent.drain(..recent.len().saturating_sub(RECENT_MAX));
        kept.chains.insert(head.hash(), Chain { content: content.clone(), recent }, self.entries_max);
    }

    /// One copy of a signature line.
    pub(crate) fn line(&self, text: &str) -> Arc<str> {
        if self.entries_max == 0 {
            return text.into();
        }
        let mut kept = self.kept();
        if let Some((line, ())) = kept.lines.entries.get_key_value(text) {
            return line.clone();
        }
        let line: Arc<str> = text.into();
        kept.lines.insert(line.clone(), (), self.entries_max.saturating_mul(8));
        line
    }

    /// The witnesses of a chain.
    pub(crate) fn witnesses(&self, electorate: &Electorate, chain: OrganisationId) -> Arc<[OrganisationId]> {
        let key = (*electorate.digest(), chain);
        if let Some(known) = self.kept().witnesses.entries.get(&key) {
            return known.clone();
        }
        let chosen: Arc<[OrganisationId]> = electorate.witnesses(&chain).into();
        self.kept().witnesses.insert(key, chosen.clone(), self.entries_max.saturating_mul(2));
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first_and_nothing_is_kept_by_whoever_shares_nothing() {
        let mut bounded = Bounded::default();
        (0..5).for_each(|n| bounded.insert(n, n * 10, 3));
        assert_eq!(bounded.entries, BTreeMap::from([(2, 20), (3, 30), (4, 40)]));
        let (alone, shared) = (Checked::default(), Checked::shared(2));
        assert!(!Arc::ptr_eq(&alone.line("a"), &alone.line("a")));
        assert!(Arc::ptr_eq(&shared.line("a"), &shared.line("a")));
    }
}
