//! Introductions: from a connection whose key the transport has proven to an organisation that is a member.

use counterfoil_protocol::ids::OrganisationId;
use counterfoil_protocol::keys::PublicKey;
use counterfoil_protocol::statement::Payload;

use crate::effect::{ChannelId, Effect, Event, ExchangeId};
use crate::engine::Engine;
use crate::message::{Introduction, Request, Response};
use crate::peer::{
    DEPARTED_MS, Departed, IntroductionError, Peer, Purpose, check_introduction, latest_binding,
};
use crate::replica::Replica;
use crate::sync::Origin;
use crate::time::Millis;

impl Engine {
    pub(crate) fn connected(&mut self, now: Millis, key: PublicKey) {
        if self.peers.len() >= self.config.peers_max && !self.peers.contains_key(key.as_bytes()) {
            return self.outbox.push(Effect::Disconnect(key));
        }
        let peer = self.peers.entry(*key.as_bytes()).or_insert_with(|| Peer::new(key, now, &self.config));
        let departed = self.departed.remove(key.as_bytes());
        if let Some(departed) = departed.filter(|one| now.since(one.at) < DEPARTED_MS) {
            departed.returns(peer, &self.config);
        }
        self.targets.retry();
    }

    pub(crate) fn disconnected(&mut self, now: Millis, key: &PublicKey) {
        if let Some(peer) = self.peers.remove(key.as_bytes()) {
            self.remember(now, &peer);
        }
        self.parked.forget(key);
        let lost: Vec<ExchangeId> =
            self.exchanges.iter().filter(|(_, e)| e.peer == *key).map(|(id, _)| *id).collect();
        for exchange in lost {
            self.exchange_failed(now, exchange);
        }
    }

    /// Remembers what a peer has left, for as long as that may make a difference.
    // INVARIANT(11): of as many as may be connected.
    fn remember(&mut self, now: Millis, peer: &Peer) {
        self.departed.retain(|_, departed| now.since(departed.at) < DEPARTED_MS);
        if self.departed.len() >= self.config.peers_max {
            let oldest = self.departed.iter().min_by_key(|(_, departed)| departed.at).map(|(key, _)| *key);
            oldest.map(|key| self.departed.remove(&key));
        }
        self.departed.insert(*peer.key.as_bytes(), Departed::of(peer, now));
    }

    /// Introduces this organisation to those whose time has come.
    pub(crate) fn introduce(&mut self, now: Millis) {
        let due: Vec<PublicKey> = self
            .peers
            .values()
            .filter(|peer| peer.introduce_at.is_some_and(|at| at <= now))
            .map(|peer| peer.key)
            .collect();
        for key in due {
            let introduction = self.introduction();
            let sent = introduction.is_some_and(|introduction| {
                self.send(now, &key, Purpose::Hello, Request::Hello(Box::new(introduction)))
            });
            if let Some(peer) = self.peers.get_mut(key.as_bytes()) {
                peer.introduce_at = if sent { None } else { Some(now.plus(self.config.reintroduce_ms)) };
            }
        }
    }

    /// Who this node speaks for. None outside any mesh, or before a head under which some peer is bound.
    fn introduction(&self) -> Option<Introduction> {
        self.replicas.get(&self.me)?.introduction(self.membership.as_ref()?.mesh())
    }

    /// A peer introduced itself: answer with one's own introduction and whether it is let in.
    pub(crate) fn hello_asked(
        &mut self,
        now: Millis,
        key: PublicKey,
        channel: ChannelId,
        introduction: &Introduction,
    ) {
        let lets_in = self.peers.get(key.as_bytes()).is_some_and(|peer| peer.admitted_there);
        let response = match self.take_introduction(now, key, introduction, lets_in) {
            Err(reason) => Response::Refused(reason),
            Ok(organisation) => match self.introduction() {
                Some(introduction) => Response::Hello {
                    introduction: Box::new(introduction),
                    admitted: self.is_member(&organisation),
                },
                None => Response::Refused("this node cannot introduce itself yet".into()),
            },
        };
        self.outbox.push(Effect::Respond { channel, response });
    }

    /// A peer answered an introduction.
    pub(crate) fn hello_answered(&mut self, now: Millis, key: PublicKey, response: Response) {
        let (introduction, admitted) = match response {
            Response::Hello { introduction, admitted } => (introduction, admitted),
            // Not a fault: the other side may not have entered the mesh yet.
            Response::Refused(_) => return self.introduce_later(now, key),
            _ => return self.penalise(key, 20, "it answered a hello with something else"),
        };
        if self.take_introduction(now, key, &introduction, admitted).is_err() {
            return self.introduce_later(now, key);
        }
        if let Some(peer) = self.peers.get_mut(key.as_bytes()) {
            peer.admitted_there = admitted;
        }
        self.targets.retry();
        if admitted {
            // The truth is in the head vectors: compare them at once.
            self.ask_heads(now, key);
        } else {
            self.introduce_later(now, key);
        }
    }

    fn introduce_later(&mut self, now: Millis, key: PublicKey) {
        if let Some(peer) = self.peers.get_mut(key.as_bytes()) {
            peer.introduce_at = Some(now.plus(self.config.reintroduce_ms));
        }
    }

    /// Checks an introduction and takes note of who the peer speaks for. The head that it brings is looked for where the peer
    /// lets this node in: else it may be that nobody gives it, and it would stand in the way of an earlier one.
    fn take_introduction(
        &mut self,
        now: Millis,
        key: PublicKey,
        introduction: &Introduction,
        lets_in: bool,
    ) -> Result<OrganisationId, String> {
        let mesh = self.membership.as_ref().map(|membership| membership.mesh());
        if mesh != Some(introduction.mesh) {
            return Err("this node takes part in another mesh, or in none yet".into());
        }
        let introduced = match check_introduction(introduction, &key, now) {
            Ok(introduced) => introduced,
            Err(error) => {
                if error.points() > 0 {
                    self.penalise(key, error.points(), &error.to_string());
                }
                return Err(error.to_string());
            }
        };
        let organisation = introduced.empty.organisation();
        if self.is_paused(&organisation) {
            return Err("exchange with your organisation is paused here".into());
        }
        // A binding that is known here may be newer than the one that was brought.
        let known = self.replicas.get(&organisation).map_or(Ok(introduced.binding), |replica| {
            latest_binding(replica.state(), &key, introduction.mesh, introduced.binding)
        });
        let in_force = known.map_err(|error| error.to_string())?;
        if in_force.1 < now.timestamp() {
            return Err(IntroductionError::Expired(organisation).to_string());
        }
        let admitted = self.is_member(&organisation);
        let is_new = self.peers.get_mut(key.as_bytes()).is_some_and(|peer| {
            let is_new = peer.organisation != Some(organisation);
            peer.organisation = Some(organisation);
            peer.binding = peer.binding.filter(|_| !is_new).max(Some(in_force));
            is_new
        });
        self.circle_is_due |= is_new;
        if admitted {
            self.candidates.remove(&organisation);
            self.replicas.entry(organisation).or_insert(introduced.empty);
            let succession = self.succession(&organisation, &introduced.succession).ok().flatten();
            self.told_latest(now, &key, organisation, introduced.head.seq());
            if lets_in {
                self.consider(now, introduced.head, Origin { source: Some(key), succession }, true);
            }
        } else {
            self.take_candidate(now, &introduced.whole);
        }
        if is_new {
            self.outbox.push(Effect::Notify(Event::Introduced { organisation, admitted }));
        }
        Ok(organisation)
    }

    /// Remembers an organisation that asks to be admitted. Those whom a member has invited come first.
    fn take_candidate(&mut self, now: Millis, whole: &Replica) {
        let Some(membership) = &self.membership else { return };
        let organisation = whole.organisation();
        let shown = whole.standing().iter().rev().find_map(|verified| match verified.payload() {
            Payload::Join(join) if join.mesh == membership.mesh() => join.invitation,
            _ => None,
        });
        let invitation = shown.filter(|id| {
            membership
                .invitation(id)
                .is_some_and(|(_, invitation)| invitation.admits(&organisation, now.timestamp()))
        });
        let is_full = self.candidates.len() >= self.config.candidates_max;
        if is_full && !self.candidates.contains(&organisation) {
            let uninvited = self.candidates.iter().find(|id| !self.invited.contains_key(id)).copied();
            match uninvited.filter(|_| invitation.is_some()) {
                Some(uninvited) => self.candidates.remove(&uninvited),
                None => return,
            };
        }
        self.candidates.insert(organisation);
        match invitation {
            Some(invitation) => self.invited.insert(organisation, invitation),
            None => self.invited.remove(&organisation),
        };
        self.invited.retain(|organisation, _| self.candidates.contains(organisation));
    }

    /// Lets go of bindings that have run out or were superseded, unless a newer one of the peer is known by now.
    pub(crate) fn renew_bindings(&mut self, now: Millis) {
        let Some(mesh) = self.membership.as_ref().map(|membership| membership.mesh()) else { return };
        for peer in self.peers.values_mut() {
            let Some((organisation, held)) = peer.organisation.zip(peer.binding) else { continue };
            let latest = self
                .replicas
                .get(&organisation)
                .map_or(Ok(held), |replica| latest_binding(replica.state(), &peer.key, mesh, held));
            peer.binding = latest.as_ref().ok().copied();
            if latest.is_err() || latest.is_ok_and(|latest| latest.1 < now.timestamp()) {
                (peer.organisation, peer.binding) = (None, None);
                self.circle_is_due = true;
                peer.introduce_at = peer.introduce_at.or(Some(now));
            }
        }
    }

    /// The organisation that a peer speaks for, if that is a member.
    pub(crate) fn admitted(&self, key: &PublicKey) -> Option<OrganisationId> {
        let organisation = self.peers.get(key.as_bytes())?.organisation?;
        self.is_member(&organisation).then_some(organisation)
    }

    /// Takes points from a peer, and lets it go when it has none left. What it said before it was gone costs nothing more.
    pub(crate) fn penalise(&mut self, key: PublicKey, points: u32, reason: &str) {
        let max = self.config.penalty_max;
        let peer = self.peers.get_mut(key.as_bytes()).filter(|peer| peer.penalty < max);
        let Some(peer) = peer else { return };
        peer.penalty = peer.penalty.saturating_add(points);
        let is_over = peer.penalty >= max;
        self.outbox.push(Effect::Notify(Event::Penalised { peer: key, reason: reason.to_owned() }));
        if is_over {
            self.outbox.push(Effect::Disconnect(key));
        }
    }
}
