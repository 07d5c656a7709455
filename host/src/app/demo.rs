//! The story that gristmill exists for, in about a minute: many messages on many partitions, each a query of a fragile
//! database; first as fast as a consumer can, then under a budget. Everything is real but the database and the
//! broker: the same buffer, lanes, budgets and sandbox as in `gristmill run`.

mod database;
mod figures;
mod load;
mod plugin;
mod report;
mod story;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::config::Rate;
pub use report::{Act, Show, Sight, Summary};
pub use story::tell;

/// What the demo shows.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Messages on the topic.
    pub messages: u64,
    /// Partitions of the topic.
    pub partitions: i32,
    /// The rate of the second act.
    pub rate: Rate,
    /// The concurrency of the second act.
    pub concurrency: usize,
    /// Where metrics can be looked at meanwhile; none for nowhere.
    pub listen: Option<SocketAddr>,
}

/// How long the first act lasts: long enough to see the database suffer.
const UNBUDGETED_TIME: Duration = Duration::from_secs(6);

/// How long the second act lasts at most, so that the demo ends by itself at any rate.
pub const BUDGETED_TIME: Duration = Duration::from_secs(60);

/// Waits precisely; the runtime's own timer is too coarse for a database that answers within a millisecond.
async fn wait(time: Duration) {
    crate::timer::wait_until(Instant::now().checked_add(time)).await;
}
