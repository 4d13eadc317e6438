//! A node that has lost track of its own heads: it signs nothing, takes from its peers what they have of its own chain, and
//! keeps note of who had nothing later. What nobody has is given up by a recovery, which is an act of the root keys.

use std::collections::BTreeSet;

use counterfoil_protocol::chain::{Head, SignedHead};
use counterfoil_protocol::ids::OrganisationId;
use counterfoil_protocol::keys::PublicKey;

use crate::effect::{Effect, Event};
use crate::engine::Engine;
use crate::message::Announcement;
use crate::replica::Replica;
use crate::sync::Origin;
use crate::time::Millis;

/// What a node looks for that does not know its own latest head.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// The head in the head lock, if there is one.
    pub(crate) locked: Option<SignedHead>,
    /// Organisations whose nodes answered since the start that they hold no later head of this chain.
    asked: BTreeSet<OrganisationId>,
    /// Organisations whose nodes answered last that they hold a later one.
    holding: BTreeSet<OrganisationId>,
}

impl Search {
    /// The search for what is under the head in the head lock.
    pub(crate) const fn of(locked: SignedHead) -> Self {
        Self { locked: Some(locked), asked: BTreeSet::new(), holding: BTreeSet::new() }
    }
}

impl Engine {
    /// A peer holds a head of this very organisation that is later than what is here.
    // INVARIANT(1): whoever else signs with these keys, this node adds nothing to it.
    pub(crate) fn own_head_elsewhere(&mut self, head: SignedHead, origin: Origin) {
        let what = format!("head {} of {} statements", head.seq(), head.size());
        let Some(search) = &self.search else {
            return self.alarm(&format!(
                "a peer holds {what} of this organisation, which this node did not sign: another node signs with its keys"
            ));
        };
        if search.locked.is_none() {
            let own = self.replicas.get(&self.me).and_then(Replica::head).cloned();
            self.refuse_to_sign(&lock_is_missing(own.as_ref(), Some(&head)));
        }
        let is_better = self.targets.is_idle(&self.me);
        if is_better {
            self.targets.want(head, origin, Millis(0), false);
        }
    }

    /// The own chain has everything under a head that a peer had. Whether the node signs again is up to its head lock.
    pub(crate) fn caught_up(&mut self) {
        let Some(own) = self.replicas.get(&self.me) else { return };
        let (head, size) = (own.head().cloned(), own.size());
        if let Some(text) = self.key_is_another() {
            return self.refuse_to_sign(&text);
        }
        match self.search.as_ref().map(|search| search.locked.clone()) {
            Some(Some(locked)) if head.as_ref().map(SignedHead::hash) != Some(locked.hash()) => {
                self.targets.want(locked, Origin::default(), Millis(0), false);
            }
            Some(None) => self.refuse_to_sign(&lock_is_missing(head.as_ref(), None)),
            _ if self.thaw() => {
                self.search = None;
                self.outbox.push(Effect::Notify(Event::CaughtUp(size)));
            }
            _ => {}
        }
    }

    /// Why this node cannot sign for its chain, if its chain key is not the one in force there.
    pub(crate) fn key_is_another(&self) -> Option<String> {
        let epoch = self.replicas.get(&self.me)?.state().epochs().latest();
        let key = self.chain_key();
        (epoch.key != key).then(|| {
            format!(
                "the keystore's chain key is {}, while {} is in force from position {} on: either `root recover` was cut off \
                 and is to be run again, or the keys are from an older backup; put the later keys back, or `root recover` \
                 begins another epoch",
                key.id(),
                epoch.key.id(),
                epoch.since
            )
        })
    }

    /// A member answered with all heads that are later than those here.
    pub(crate) fn note_asked(&mut self, key: PublicKey, heads: &[Announcement]) {
        let Some(organisation) = self.admitted(&key).filter(|organisation| *organisation != self.me) else {
            return;
        };
        let has_more = heads.iter().any(|told| self.is_own_and_later(told));
        let Some(search) = &mut self.search else { return };
        let (into, from) = if has_more {
            (&mut search.holding, &mut search.asked)
        } else {
            (&mut search.asked, &mut search.holding)
        };
        let was_there = from.remove(&organisation);
        if into.insert(organisation) || was_there {
            let [asked, holding] = [&search.asked, &search.holding].map(|set| set.iter().copied().collect());
            let members = self.membership.as_ref().map(|membership| membership.members());
            let others = members.into_iter().flatten().copied().filter(|member| *member != self.me).collect();
            self.outbox.push(Effect::Notify(Event::Asked { asked, holding, others }));
        }
    }

    /// Whether somebody told of a head that this organisation signed after the one that is here.
    fn is_own_and_later(&self, told: &Announcement) -> bool {
        let Some(own) = self.replicas.get(&self.me) else { return false };
        let Ok(head) = Head::parse(told.head.0.as_slice()) else { return false };
        if head.organisation() != self.me || Some(head.claimed_seq()) <= own.head().map(SignedHead::seq) {
            return false;
        }
        let is_known = own.state().epochs().open_head(head.clone()).is_ok();
        is_known
            || self
                .succession(&self.me, &told.succession)
                .is_ok_and(|told| told.is_some_and(|told| told.epochs().open_by_seq(head).is_ok()))
    }
}

/// What is wrong, and what to do, when there is a chain but no head lock.
pub(crate) fn lock_is_missing(own: Option<&SignedHead>, elsewhere: Option<&SignedHead>) -> String {
    let describe = |head: &SignedHead| format!("head {} of {} statements", head.seq(), head.size());
    let here = own.map_or_else(|| "no head".to_owned(), describe);
    let there = elsewhere
        .map(|head| format!("; a peer holds {}, which is later and is being fetched", describe(head)))
        .unwrap_or_default();
    format!(
        "head.lock is missing, while the data ends with {here}{there}; without it nobody knows here whether a later head \
         was signed, and a second one with the same number would prove a fork; stop the node and put head.lock back from \
         where this node ran last; if it is lost, let this node run until it has fetched what its peers have of its chain \
         (`sync status`), stop it, and give up what nobody has with `root recover`"
    )
}

/// What is wrong when the head lock holds a head of an epoch of which the data knows nothing.
pub(crate) fn lock_is_of_later_epoch(locked: &Head) -> String {
    format!(
        "the head lock holds head {} of {} statements, of an epoch of the chain key of which the data knows nothing: data and \
         keys are from before the chain key was replaced; restore a later backup; if there is none, move head.lock away, let \
         this node run until it has fetched what its peers have of its chain, stop it, and run `root recover`",
        locked.claimed_seq(),
        locked.claimed_size()
    )
}
