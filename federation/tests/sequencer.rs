//! Group commit, one input at a time: each test compares the whole list of effects, so that an extra one fails too.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails this way says where")]

use std::collections::BTreeSet;

use counterfoil_federation::effect::{AppendId, Write};
use counterfoil_federation::engine::Identity;
use counterfoil_federation::outbox::Ticket;
use counterfoil_federation::store::Snapshot;
use counterfoil_federation::{Config, Effect, Engine, Event, Input, Millis};
use counterfoil_protocol::ids::{HeadHash, StatementId};
use counterfoil_protocol::statement::{Authentic, Draft, Kind};
use counterfoil_protocol::test_support::{TestOrganisation, draft, observation};

const NOW: Millis = Millis(1_000_000);

struct Bench {
    engine: Engine,
    organisation: TestOrganisation,
    next: u64,
}

impl Bench {
    fn new() -> Self {
        let organisation = TestOrganisation::new(1);
        let identity = Identity {
            inception: organisation.inception.statement().bytes().clone(),
            chain_key: organisation.chain_key.clone(),
            witness_key: organisation.witness_key.clone(),
        };
        let engine = Engine::new(Config::small(), identity, &Snapshot::default(), [7; 32]).unwrap();
        Self { engine, organisation, next: 0 }
    }

    /// A bench whose chain holds the opening statements, all written and locked.
    fn opened() -> Self {
        let mut bench = Self::new();
        for statement in bench.organisation.opening() {
            bench.append(statement);
            bench.settle();
        }
        bench
    }

    fn append(&mut self, statement: Authentic) -> Vec<String> {
        self.append_knowing(statement, BTreeSet::new())
    }

    fn append_knowing(&mut self, statement: Authentic, known: BTreeSet<StatementId>) -> Vec<String> {
        let append = AppendId(self.next);
        self.next += 1;
        self.input(Input::Append { append, statement: Box::new(statement), known })
    }

    fn input(&mut self, input: Input) -> Vec<String> {
        self.engine.handle(NOW, input);
        self.effects().into_iter().map(|effect| describe(&effect)).collect()
    }

    fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.engine.poll_effect()).collect()
    }

    /// Plays a disk that always does what it is asked to.
    fn settle(&mut self) {
        for ticket in 0..100 {
            self.input(Input::Durable(Ticket(ticket)));
            self.input(Input::HeadLocked { ticket: Ticket(ticket), outcome: Ok(()) });
        }
    }
}

/// An effect in a few words, tickets relative to nothing: they count up from zero.
fn describe(effect: &Effect) -> String {
    match effect {
        Effect::Persist { ticket, writes } => {
            let words: Vec<&str> = writes
                .iter()
                .map(|write| match write {
                    Write::Statement(_) => "statement",
                    Write::Withheld { .. } => "withheld",
                    Write::Revealed(_) => "revealed",
                    Write::Tree { .. } => "tree",
                    Write::Head(_) => "head",
                    Write::Cosignatures { .. } => "cosignatures",
                    Write::Misbehaviour { .. } => "misbehaviour",
                })
                .collect();
            format!("persist {} {}", ticket.0, words.join(" "))
        }
        Effect::LockHead { ticket, previous, head } => {
            let after = if previous.is_some() { "another" } else { "none" };
            format!("lock {} head {} of size {} after {after}", ticket.0, head.seq(), head.size())
        }
        Effect::Reply { append, outcome: Ok(appended) } => {
            format!("reply {} at {}", append.0, appended.position)
        }
        Effect::Reply { append, outcome: Err(error) } => format!("reply {}: {error}", append.0),
        Effect::Notify(Event::Alarm(text)) => format!("alarm: {text}"),
        other => panic!("unexpected: {other:?}"),
    }
}

#[test]
fn a_statement_is_written_then_locked_then_acknowledged() {
    let mut bench = Bench::new();
    let inception = bench.organisation.inception.clone();
    assert_eq!(bench.append(inception), ["persist 0 statement tree"]);
    assert_eq!(bench.input(Input::Durable(Ticket(0))), ["lock 1 head 0 of size 1 after none"]);
    let locked = Input::HeadLocked { ticket: Ticket(1), outcome: Ok(()) };
    assert_eq!(bench.input(locked), ["reply 0 at 0", "persist 2 head"]);
    assert_eq!(bench.input(Input::Durable(Ticket(2))), Vec::<String>::new());
}

#[test]
fn what_comes_during_a_commit_waits_for_the_next_and_shares_its_head() {
    let mut bench = Bench::opened();
    let [a, b, c] = [1, 2, 3].map(|n| bench.organisation.observation(n));
    let first = bench.append(a);
    assert_eq!(first.len(), 1);
    assert_eq!(bench.append(b), Vec::<String>::new());
    assert_eq!(bench.append(c), Vec::<String>::new());
    let ticket: u64 = first.concat().split(' ').nth(1).unwrap().parse().unwrap();
    assert_eq!(first, [format!("persist {ticket} statement tree")]);
    let lock = bench.input(Input::Durable(Ticket(ticket)));
    assert_eq!(lock, [format!("lock {} head 3 of size 4 after another", ticket + 1)]);
    // The answer, and at once the next commit with both that waited, and the head: one sync for all of it.
    assert_eq!(
        bench.input(Input::HeadLocked { ticket: Ticket(ticket + 1), outcome: Ok(()) }),
        ["reply 3 at 3".to_owned(), format!("persist {} head statement statement tree", ticket + 2),]
    );
}

#[test]
fn a_lock_that_holds_another_head_stops_the_node_for_good() {
    let mut bench = Bench::opened();
    let statement = bench.organisation.observation(1);
    let written = bench.append(statement);
    let ticket: u64 = written.concat().split(' ').nth(1).unwrap().parse().unwrap();
    bench.input(Input::Durable(Ticket(ticket)));
    let other = HeadHash::from_bytes([9; 32]);
    let outcome = Err(Some(other));
    let effects = bench.input(Input::HeadLocked { ticket: Ticket(ticket + 1), outcome });
    let why = format!("the head lock holds {other} instead of this chain's head: another process signs");
    assert_eq!(effects, [format!("reply 3: the node does not append: {why}"), format!("alarm: {why}")]);
    let late = bench.organisation.observation(2);
    assert_eq!(bench.append(late), [format!("reply 4: the node does not append: {why}")]);
}

#[test]
fn a_refused_statement_names_its_check_and_leaves_no_trace() {
    let mut bench = Bench::opened();
    let unknown = StatementId::from_bytes([8; 32]);
    let base = draft(Some(bench.organisation.id()), Kind::Observation, &observation("evaluation/test", 1));
    let referring = Draft { refs: vec![unknown], ..base };
    let referring = referring.sign(&bench.organisation.authority_key).unwrap();
    assert_eq!(
        bench.append(referring.clone()),
        [format!("reply 3: it refers to {unknown}, which is not known here; fetch or append that first")]
    );
    assert_eq!(bench.append_knowing(referring, BTreeSet::from([unknown])).len(), 1);
}

#[test]
fn a_statement_that_is_given_again_gets_no_second_place() {
    let mut bench = Bench::opened();
    let statement = bench.organisation.observation(1);
    let id = statement.statement().id();
    let refused = |n: u64| vec![format!("reply {n}: {id} is in the chain already")];
    let written = bench.append(statement.clone());
    let ticket: u64 = written.concat().split(' ').nth(1).unwrap().parse().unwrap();
    assert_eq!(written, [format!("persist {ticket} statement tree")]);
    assert_eq!(bench.append(statement.clone()), refused(4), "while it is written");
    bench.input(Input::Durable(Ticket(ticket)));
    assert_eq!(bench.append(statement.clone()), refused(5), "while its head is locked");
    let locked = bench.input(Input::HeadLocked { ticket: Ticket(ticket + 1), outcome: Ok(()) });
    assert_eq!(locked, ["reply 3 at 3".to_owned(), format!("persist {} head", ticket + 2)]);
    // From then on the store knows it.
    assert_eq!(bench.append_knowing(statement, BTreeSet::from([id])), refused(6));
}

#[test]
fn a_full_queue_says_busy_and_forgets_nobody() {
    let mut bench = Bench::opened();
    // One is being written, sixteen wait: that is all that the small limits allow.
    for n in 0..17 {
        let statement = bench.organisation.observation(n);
        assert_eq!(bench.append(statement).len(), usize::from(n == 0));
    }
    let statement = bench.organisation.observation(17);
    let refused = bench.append(statement);
    assert_eq!(refused, ["reply 20: 16 statements wait to be written; try again shortly"]);
    // Four in a commit: five commits until everybody has an answer.
    let mut answered = BTreeSet::new();
    for ticket in 0..100 {
        for input in
            [Input::Durable(Ticket(ticket)), Input::HeadLocked { ticket: Ticket(ticket), outcome: Ok(()) }]
        {
            let replies = bench.input(input).into_iter().filter(|effect| effect.starts_with("reply"));
            answered.extend(replies);
        }
    }
    assert_eq!(answered.len(), 17);
}
