//! Checks the batches of a bundle on all cores.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use counterfoil_protocol::bundle::{Batch, Checked, Workers};

/// Batches that are under way at a time, for each core.
const AHEAD: usize = 3;

/// One thread for each core, while a long chain is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllCores;

impl Workers for AllCores {
    fn run(&self, source: &mut dyn FnMut() -> Option<Batch>, sink: &mut dyn FnMut(Checked) -> bool) {
        // Most chains of most bundles are one batch: they are not worth a thread.
        let Some(first) = source() else { return };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let second = source();
        if second.is_none() || cores == 1 {
            let mut next = Some(first);
            let mut after = second;
            while let Some(batch) = next {
                if !sink(batch.check()) {
                    return;
                }
                next = after.take().or_else(&mut *source);
            }
            return;
        }
        let (tasks, queue) = sync_channel::<(Batch, _)>(AHEAD * cores);
        let queue = Arc::new(Mutex::new(queue));
        std::thread::scope(|scope| {
            for _ in 0..cores {
                let queue = Arc::clone(&queue);
                scope.spawn(move || {
                    loop {
                        let task = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        let Ok((batch, done)) = task else { return };
                        // Whoever wants no more has gone.
                        let _: Result<(), _> = std::sync::mpsc::SyncSender::send(&done, Batch::check(batch));
                    }
                });
            }
            let mut under_way: VecDeque<Receiver<Checked>> = VecDeque::new();
            let mut waiting = VecDeque::from([Some(first), second]);
            loop {
                while under_way.len() < AHEAD * cores {
                    let Some(batch) = waiting.pop_front().unwrap_or_else(&mut *source) else { break };
                    let (done, checked) = sync_channel(1);
                    if tasks.send((batch, done)).is_err() {
                        break;
                    }
                    under_way.push_back(checked);
                }
                let Some(checked) = under_way.pop_front() else { break };
                // A worker that died took its batch with it: what is left is not verified, and the chain fails.
                let Ok(checked) = checked.recv() else { break };
                if !sink(checked) {
                    break;
                }
            }
            // Ends the workers.
            drop(tasks);
        });
    }
}
