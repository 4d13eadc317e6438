//! The thread that writes: batches and head locks, in order.

use std::sync::mpsc::{Receiver, Sender, SyncSender};

use counterfoil_federation::Input;
use counterfoil_federation::effect::Write;
use counterfoil_federation::outbox::Ticket;
use counterfoil_protocol::chain::SignedHead;
use counterfoil_protocol::ids::HeadHash;

use super::{Message, View};
use crate::store::{HeadLock, Store};

/// What the disk is to do.
pub(super) enum Task {
    Persist(Ticket, Vec<Write>),
    Lock(Ticket, Option<HeadHash>, SignedHead),
    /// Hand a view over once everything that it shows is on disk.
    Show(Box<View>, Sender<View>),
}

/// Writes in order. Ends when nobody can ask any more, or when it is unknown what is on disk.
pub(super) fn write(store: &Store, mut lock: HeadLock, work: &Receiver<Task>, inputs: &SyncSender<Message>) {
    while let Ok(task) = work.recv() {
        let (ticket, done) = match task {
            Task::Persist(ticket, writes) => {
                (ticket, store.persist(&writes).map(|()| Input::Durable(ticket)))
            }
            Task::Lock(ticket, previous, head) => {
                let outcome = lock.swap(previous, &head);
                (ticket, outcome.map(|outcome| Input::HeadLocked { ticket, outcome }))
            }
            Task::Show(view, reply) => {
                // Whoever asked may have gone.
                let _ = reply.send(*view);
                continue;
            }
        };
        let failed = done.is_err();
        let input = done.unwrap_or_else(|error| Input::WriteFailed { ticket, reason: error.to_string() });
        if inputs.send(Message::Input(Box::new(input))).is_err() || failed {
            return;
        }
    }
}
