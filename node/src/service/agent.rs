//! What a node does by itself: answers links by its policy, acknowledges recalls, anchors others' heads, notices effects
//! that were not reported, keeps its binding and its addresses current. Each act is an ordinary statement, and each can be
//! found undone and is done then, so a crash in between loses nothing. What cannot be done keeps nothing else from being
//! done: a node that does not append still says to its network who is a member.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use counterfoil_federation::Event;
use counterfoil_protocol::chain::anchor::{Anchor, AnchoredHead};
use counterfoil_protocol::ids::{ByteString, OrganisationId, Position, TreeSize};
use counterfoil_protocol::mesh::Answer;
use counterfoil_protocol::statement::{Kind, Payload, Verified};

use super::deadlines::Deadlines;
use super::say::Say;
use super::{Node, ServiceError};
use crate::data::LinkPolicy;
use crate::runtime::View;

/// How often the agent looks after what has no event.
const TICK: Duration = Duration::from_millis(200);
/// How often it looks through everything for what was left undone.
const SWEEP: Duration = Duration::from_secs(30);

/// Seconds for which a list of the revoked and suspended speaks about the present.
const STATUS_S: u64 = 2 * 86_400;

/// Starts the agent's thread.
///
/// # Errors
/// [`ServiceError`].
pub(super) fn start(node: Arc<Node>) -> Result<JoinHandle<()>, ServiceError> {
    let events = node.runtime.events()?;
    let agent = Agent {
        node,
        anchored: BTreeMap::new(),
        swept: None,
        anchor_at: Instant::now(),
        deadlines: Deadlines::default(),
        told: None,
        failing: BTreeMap::new(),
    };
    std::thread::Builder::new()
        .name("agent".into())
        .spawn(move || agent.run(&events))
        .map_err(|error| ServiceError::new(super::Blame::Node, "thread", error.to_string()))
}

struct Agent {
    node: Arc<Node>,
    /// Sizes of others' chains, as anchored last.
    anchored: BTreeMap<OrganisationId, TreeSize>,
    swept: Option<Instant>,
    anchor_at: Instant,
    deadlines: Deadlines,
    /// Where the own chain ended when the network was told last who is a member.
    told: Option<Position>,
    /// What was logged of each duty that could not be done, until it can: once, and not with each attempt.
    failing: BTreeMap<&'static str, String>,
}

impl Agent {
    fn run(mut self, events: &Receiver<Event>) {
        while !self.node.is_stopping() {
            let event = match events.recv_timeout(TICK) {
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let heard = event.is_some_and(|event| self.hear(&event));
            if !heard {
                self.look();
            }
        }
    }

    /// Acts on what has happened, if it asks for anything by itself.
    fn hear(&mut self, event: &Event) -> bool {
        match event {
            Event::Introduced { .. } => self.note("members", self.tell_members()),
            Event::Accepted(verified) => match verified.payload() {
                Payload::Link(_) if self.node.is_for_me(verified) => self.note("links", self.answer_links()),
                Payload::Recall(_) => self.note("recalls", self.acknowledge(verified)),
                Payload::Node(_) | Payload::Admission(_) | Payload::Leave(_) => {
                    self.note("members", self.tell_members());
                }
                _ => {}
            },
            _ => return false,
        }
        true
    }

    /// Looks after what has no event of its own.
    fn look(&mut self) {
        if self.swept.is_none_or(|swept| swept.elapsed() >= SWEEP) {
            self.swept = Some(Instant::now());
            self.note("members", self.tell_members());
            self.note("documents", self.node.expire_documents());
            self.note("recalls", self.acknowledge_all());
            self.note("links", self.answer_links());
        }
        self.note("binding", self.node.renew_binding());
        self.note("status", self.renew_status());
        let size = self.node.runtime.state().next_position();
        if self.told != Some(size) {
            // An own vote may have let somebody in.
            self.told = Some(size);
            self.note("members", self.tell_members());
        }
        let looked = self.deadlines.look(&self.node);
        self.note("deadlines", looked);
        let period = Duration::from_secs(self.node.config().anchor_s);
        if !period.is_zero() && self.anchor_at.elapsed() >= period {
            self.anchor_at = Instant::now();
            let anchored = self.anchor();
            self.note("anchors", anchored);
        }
    }

    /// Logs why a duty could not be done, unless that was logged already.
    fn note(&mut self, duty: &'static str, outcome: Result<(), ServiceError>) {
        let Err(error) = outcome else {
            self.failing.remove(duty);
            return;
        };
        let text = error.to_string();
        if self.failing.get(duty) != Some(&text) {
            tracing::warn!(duty, check = error.check, "{text}");
            self.failing.insert(duty, text);
        }
    }

    fn tell_members(&self) -> Result<(), ServiceError> {
        self.node.tell_members(&self.node.view()?)
    }

    fn acknowledge(&self, recall: &Verified) -> Result<(), ServiceError> {
        self.node.acknowledge(&self.node.view()?, recall)
    }

    /// Finds recalls that were left without an acknowledgement, by a crash or because this node did not append.
    fn acknowledge_all(&self) -> Result<(), ServiceError> {
        let view = self.node.view()?;
        let standing = view.chains.values().flat_map(|replica| replica.standing());
        for recall in standing.filter(|one| matches!(one.payload(), Payload::Recall(_))) {
            self.node.acknowledge(&view, recall)?;
        }
        Ok(())
    }

    fn answer_links(&self) -> Result<(), ServiceError> {
        if self.node.config().links == LinkPolicy::Ask {
            return Ok(());
        }
        for link in self.node.links(false)?.iter().filter(|link| link.to_answer) {
            let answer = match self.node.outside(&link.link)? {
                Some(outside) => Answer::Refused(outside.to_string()),
                None => Answer::Accepted,
            };
            match self.node.answer(&link.link, answer) {
                Ok(_) => tracing::info!(link = %link.link, "answered"),
                // Left open for people to look at.
                Err(error) => tracing::warn!(link = %link.link, check = error.check, "not answered: {error}"),
            }
        }
        Ok(())
    }

    /// Says anew who is revoked or suspended, when that has changed or the last list is half over.
    fn renew_status(&self) -> Result<(), ServiceError> {
        let (state, now) = (self.node.runtime.state(), self.node.now());
        let due = match state.status() {
            // The first list comes with the first reason for one.
            None => !state.status_now(now).is_empty(),
            Some((_, status)) => {
                let current = state.status_now(status.next_by);
                current != *status || status.next_by.since(now) < STATUS_S / 2
            }
        };
        if due {
            self.node.say(Say::new(Kind::Status, &state.status_now(now.plus(STATUS_S)))?)?;
        }
        Ok(())
    }

    /// Embeds others' latest heads, if they say anything new. Heads that cover nothing but anchors do not: two quiet
    /// chains would anchor each other's anchors for ever.
    fn anchor(&mut self) -> Result<(), ServiceError> {
        let view = self.node.view()?;
        let (me, mut heads) = (self.node.organisation(), Vec::new());
        for (organisation, replica) in view.chains.iter().filter(|(id, _)| **id != me) {
            let Some(head) = replica.head() else { continue };
            // Whoever witnesses a chain anchors it: that many hold it, however large the mesh is.
            let is_witness = view
                .membership
                .as_ref()
                .is_some_and(|mesh| mesh.now().electorate().witnesses(organisation).contains(&me));
            if !is_witness {
                continue;
            }
            let from = self.anchored.get(organisation).copied().unwrap_or_default();
            if !self.says_something(&view, organisation, from, head.size())? {
                continue;
            }
            let mut checkpoint = head.note().to_string();
            replica.cosignatures().values().for_each(|line| checkpoint.push_str(line));
            heads.push(AnchoredHead {
                organisation: *organisation,
                head: head.hash(),
                size: head.size(),
                checkpoint: ByteString(checkpoint.into_bytes()),
            });
        }
        if heads.is_empty() {
            return Ok(());
        }
        let sizes: Vec<_> = heads.iter().map(|head| (head.organisation, head.size)).collect();
        self.node.say(Say::new(Kind::Anchor, &Anchor { heads })?)?;
        self.anchored.extend(sizes);
        Ok(())
    }

    fn says_something(
        &self,
        view: &View,
        organisation: &OrganisationId,
        from: TreeSize,
        to: TreeSize,
    ) -> Result<bool, ServiceError> {
        if !view.membership.as_ref().is_some_and(|membership| membership.contains(organisation)) {
            return Ok(false);
        }
        for position in from.0..to.0 {
            let kind = self.node.kind_at(organisation, Position(position))?;
            if kind != Some(Kind::Anchor) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
