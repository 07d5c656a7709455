//! The seam between the way of a message and the outside: where messages come from and where outputs go.
//!
//! `kafka` implements both traits for real, tests implement them in memory. The way knows only this.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::ack::{Mark, Partition};
use crate::message::Batch;
use crate::outcome::OutputRecord;

/// How much the buffer can take now. Zero messages or zero bytes: nothing may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Messages.
    pub messages: usize,
    /// Messages that one partition may take at its turn, if there are as many: a part of the whole buffer that is
    /// small enough for all partitions to get theirs, and large enough that a turn is worth taking.
    pub turn: usize,
    /// Bytes, as `MessageRef::size_bytes` counts them.
    pub bytes: usize,
    /// Nothing is in the buffer, so there will never be more room than this: one message may be larger.
    pub empty: bool,
}

/// What a source has to say.
#[derive(Debug)]
pub enum Event {
    /// Messages of one assigned partition, in the order of their offsets, never more than there was room for
    /// (but a message larger than all of `buffer_bytes` comes alone when the buffer is empty). They are noted as
    /// delivered (`ack::Delivered`) before the source is asked for more.
    Batch(Arc<Partition>, Batch),
    /// These partitions are ours from now on.
    Assigned(Vec<Arc<Partition>>),
    /// These partitions are to be given up: nothing of them may start any more; what is in flight is waited for,
    /// then `Source::release` gives them up. Others go on meanwhile.
    Revoked(Vec<Arc<Partition>>),
    /// These partitions are gone already; what is left of them is discarded.
    Lost(Vec<Arc<Partition>>),
    /// The first partition is no more what it was (its topic was made anew, or lost messages that we had read), and
    /// begins anew as the second one: what is left of the first is forgotten.
    Renewed(Arc<Partition>, Arc<Partition>),
    /// The outside is not reachable, or reachable again (none).
    Trouble(Option<String>),
    /// The bell rang, or a while passed.
    Nothing,
}

/// Where messages come from. All calls are made from one thread that belongs to the source.
pub trait Source: Send {
    /// Waits for the next event. With no room it waits without taking anything, and without losing its place in
    /// the group; the bell ends the wait at once. Progress of assigned partitions is made durable from in here.
    fn next(&mut self, room: Room) -> Event;

    /// Rings when room has come free, or when there is a reason to look up from waiting.
    fn bell(&self) -> Arc<Bell>;

    /// How many partitions the topics of the group have, and the place of each of `owned` among them, the same for every
    /// member. None when that cannot be told just now.
    fn places(&mut self, owned: &[Arc<Partition>]) -> Option<(Vec<u64>, u64)>;

    /// Gives up partitions that were `Revoked`, after making their progress durable.
    fn release(&mut self, partitions: &[Arc<Partition>]);

    /// Makes progress durable and leaves, within `limit` or not at all.
    fn close(self: Box<Self>, limit: Duration);
}

/// Wakes a thread that waits for more than one thing. A ring before the wait is not lost.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    /// Ends the current wait, or the next one if nobody waits.
    pub fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    /// Waits for a ring, at most `limit`. Returns whether it rang.
    pub fn wait(&self, limit: Duration) -> bool {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut rung, _) = self
            .changed
            .wait_timeout_while(rung, limit, |rung| !*rung)
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *rung)
    }
}

/// Where messages end: with their outputs in Kafka.
pub trait Output: Send + Sync {
    /// Hands over a message that is over, with its outputs; its receipt learns what became of them. Waits while too
    /// much is on its way already (the returned future is cheap when there is room). A record that cannot be sent at
    /// all is told to the receipt too: there is one way for bad news.
    fn hand_over<'a>(&'a self, ended: Ended) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

    /// Whether outputs and progress become final together, later. Then every message has to be handed over, and its lane
    /// goes on before that: what comes after it in its lane becomes final after it, or not at all.
    fn is_transactional(&self) -> bool {
        false
    }

    /// Somebody waits: what was handed over should become final now.
    fn hurry(&self) {}
}

impl std::fmt::Debug for dyn Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("is_transactional", &self.is_transactional()).finish()
    }
}

/// A message that is over.
#[derive(Debug)]
pub struct Ended {
    /// Which message it is; none when only outputs of it are handed over and it is not finished.
    pub mark: Option<Mark>,
    /// Its outputs.
    pub records: Vec<OutputRecord>,
    /// Who wants to know what became of it.
    pub receipt: Receipt,
}

/// What became of the outputs of a run or of one message: counts down to zero, then wakes who waits.
#[derive(Debug)]
pub struct Receipts {
    state: Mutex<ReceiptsState>,
    done: tokio::sync::Notify,
}

#[derive(Debug)]
struct ReceiptsState {
    open: usize,
    refused: Vec<(u32, Refused)>,
}

/// Why Kafka does not have an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It was part of something that did not become final: the message comes again, and nobody is to blame.
    Void,
    /// It could not be sent.
    Failed {
        /// Why, in words that say what to do.
        why: String,
        /// Sending it again would end the same way.
        lasting: bool,
    },
}

impl Receipts {
    /// No outputs yet.
    pub fn new() -> Arc<Self> {
        let state = Mutex::new(ReceiptsState { open: 0, refused: Vec::new() });
        Arc::new(Self { state, done: tokio::sync::Notify::new() })
    }

    /// A receipt for the message at `index` of the run, or for one output of it.
    pub fn receipt(self: &Arc<Self>, index: u32) -> Receipt {
        self.lock().open += 1;
        Receipt { receipts: self.clone(), index, answered: false, is_void: false }
    }

    /// Waits until every receipt is answered; returns the refused ones: index of the message, and why.
    pub async fn settled(&self) -> Vec<(u32, Refused)> {
        loop {
            let done = self.done.notified();
            {
                let mut state = self.lock();
                if state.open == 0 {
                    return std::mem::take(&mut state.refused);
                }
            }
            done.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ReceiptsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, index: u32, refused: Option<Refused>) {
        let mut state = self.lock();
        state.open -= 1;
        state.refused.extend(refused.map(|why| (index, why)));
        if state.open == 0 {
            self.done.notify_one();
        }
    }
}

/// The promise to say what became of a message's outputs. Dropped without a word, it says "lost".
#[derive(Debug)]
pub struct Receipt {
    receipts: Arc<Receipts>,
    index: u32,
    answered: bool,
    is_void: bool,
}

impl Receipt {
    /// Says "void" when it is dropped, and not "lost".
    pub fn void_when_dropped(mut self) -> Self {
        self.is_void = true;
        self
    }

    /// Another receipt for the same message.
    pub fn another(&self) -> Self {
        self.receipts.receipt(self.index)
    }

    /// Kafka has it.
    pub fn confirmed(mut self) {
        self.answered = true;
        self.receipts.answer(self.index, None);
    }

    /// Kafka does not have it.
    pub fn refused(mut self, refused: Refused) {
        self.answered = true;
        self.receipts.answer(self.index, Some(refused));
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if !self.answered {
            let refused = match self.is_void {
                true => Refused::Void,
                false => Refused::Failed { why: "lost on the way to Kafka".to_owned(), lasting: false },
            };
            self.receipts.answer(self.index, Some(refused));
        }
    }
}
