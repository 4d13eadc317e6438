//! Effects on their way out, in order, each behind the write that it waits for.

use std::collections::VecDeque;

use crate::effect::Effect;

/// Names one write to disk, until it is known to be durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The queue between the engine and its driver.
// INVARIANT(2): published implies durable. `say_after` is the only way to queue an effect that tells somebody of a
// write, and `durable` the only way to release it.
#[derive(Debug, Default)]
pub struct Outbox {
    ready: VecDeque<Effect>,
    waiting: VecDeque<(Ticket, Effect)>,
    next_ticket: u64,
    durable: Option<Ticket>,
}

impl Outbox {
    /// A ticket that no write has had yet.
    pub fn ticket(&mut self) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        ticket
    }

    /// Queues an effect that waits for nothing.
    pub fn push(&mut self, effect: Effect) {
        self.ready.push_back(effect);
    }

    /// Queues an effect that must not be seen before the write with this ticket is durable.
    pub fn say_after(&mut self, ticket: Ticket, effect: Effect) {
        if self.durable.is_some_and(|durable| ticket <= durable) {
            self.ready.push_back(effect);
        } else {
            self.waiting.push_back((ticket, effect));
        }
    }

    /// Queues an effect that must not be seen before everything that was to be written so far is durable.
    pub fn after_writes(&mut self, effect: Effect) {
        match self.next_ticket.checked_sub(1) {
            Some(last) => self.say_after(Ticket(last), effect),
            None => self.push(effect),
        }
    }

    /// Takes note that the write with this ticket, and all before it, are durable.
    pub fn durable(&mut self, ticket: Ticket) {
        self.durable = self.durable.max(Some(ticket));
        let mut still = VecDeque::with_capacity(self.waiting.len());
        for (waits_for, effect) in self.waiting.drain(..) {
            if waits_for <= ticket {
                self.ready.push_back(effect);
            } else {
                still.push_back((waits_for, effect));
            }
        }
        self.waiting = still;
    }

    /// The next effect to run.
    pub fn pop(&mut self) -> Option<Effect> {
        self.ready.pop_front()
    }

    /// Effects that wait for a write.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
