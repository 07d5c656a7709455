//! A stand-in database: it answers after a while, slower the more ask at once, and turns away who is too many.
//! It keeps the books that the demo is judged by: how many were connected at once, and when each query began.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How the database behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// Connections it can hold; more are refused.
    pub(super) connections_max: usize,
    /// Connections that it serves without getting slower.
    pub(super) comfortable: usize,
    /// How long a query takes while it is comfortable.
    pub(super) query: Duration,
    /// How long it takes to turn somebody away.
    pub(super) refusal: Duration,
}

/// The database.
#[derive(Debug)]
pub(super) struct Database {
    settings: Settings,
    connected: AtomicUsize,
    most_connected: AtomicUsize,
    answered: AtomicU64,
    refused: AtomicU64,
    slowest_ns: AtomicU64,
    began: Instant,
    /// When each query began, in nanoseconds since `began`: 8 bytes a message of the demo.
    queries: Mutex<Vec<u64>>,
}

/// What the books say now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Books {
    pub(super) connected: usize,
    pub(super) most_connected: usize,
    pub(super) answered: u64,
    pub(super) refused: u64,
    pub(super) slowest: Duration,
}

impl Database {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            connected: AtomicUsize::new(0),
            most_connected: AtomicUsize::new(0),
            answered: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            slowest_ns: AtomicU64::new(0),
            began: Instant::now(),
            queries: Mutex::default(),
        }
    }

    pub(super) fn books(&self) -> Books {
        Books {
            connected: self.connected.load(Ordering::Relaxed),
            most_connected: self.most_connected.load(Ordering::Relaxed),
            answered: self.answered.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            slowest: Duration::from_nanos(self.slowest_ns.load(Ordering::Relaxed)),
        }
    }

    /// When each query began, in order.
    pub(super) fn queries(&self) -> Vec<Duration> {
        let mut queries = self.queries.lock().unwrap_or_else(PoisonError::into_inner).clone();
        queries.sort_unstable();
        queries.into_iter().map(Duration::from_nanos).collect()
    }

    /// One query.
    ///
    /// # Errors
    ///
    /// When too many are connected already.
    pub(super) async fn query(&self) -> Result<String, String> {
        let began = Instant::now();
        let ns = began.duration_since(self.began).as_nanos() as u64;
        self.queries.lock().unwrap_or_else(PoisonError::into_inner).push(ns);
        let connected = self.connected.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_connected.fetch_max(connected, Ordering::SeqCst);
        let answer = if connected > self.settings.connections_max {
            super::wait(self.settings.refusal).await;
            self.refused.fetch_add(1, Ordering::Relaxed);
            Err(format!("too many connections: {connected} of {}", self.settings.connections_max))
        } else {
            super::wait(self.settings.query.mul_f64(slowness(connected, self.settings.comfortable))).await;
            self.answered.fetch_add(1, Ordering::Relaxed);
            Ok("row".to_owned())
        };
        self.connected.fetch_sub(1, Ordering::SeqCst);
        self.slowest_ns.fetch_max(began.elapsed().as_nanos() as u64, Ordering::Relaxed);
        answer
    }
}

/// How many times slower a query is: everybody beyond the comfortable number waits for a turn.
fn slowness(connected: usize, comfortable: usize) -> f64 {
    (connected as f64 / comfortable.max(1) as f64).max(1.0)
}
