//! The three acts: the topic is filled, drained as fast as it goes, and drained under a budget.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::database::{Database, Settings as DatabaseSettings};
use super::report::{Act, Ended, Show, Sight, Summary};
use super::{BUDGETED_TIME, Settings, UNBUDGETED_TIME, figures, load, plugin};
use crate::capability::Grants;
use crate::config::{self, Budget};
use crate::kafka::{Embedded, KafkaOutput, KafkaSource};
use crate::pipeline::control::{Roster, Seat};
use crate::pipeline::{self, Parts};
use crate::plugin::{Engine, Generation};
use crate::timer::Timer;
use crate::{admin, app};

/// The demo's topic.
const TOPIC: &str = "orders";

/// Messages at the same time without a budget: what a few instances with a thread a partition and a pool each come to.
const UNBUDGETED_CONCURRENCY: usize = 400;

/// How often the view is refreshed.
const SIGHT_INTERVAL: Duration = Duration::from_millis(250);

/// The window that the pace is judged by: a second, or ten periods of a slow rate.
fn window(rate: config::Rate) -> Duration {
    Duration::from_secs(1).max(rate.period * 10)
}

/// Tells the story.
///
/// # Errors
///
/// When the machine refuses what it needs.
pub fn tell(settings: &Settings, show: &mut dyn Show) -> anyhow::Result<Summary> {
    let broker = Embedded::start(1)?;
    broker.create_topic(TOPIC, settings.partitions)?;
    show.act(&Act::Load { messages: settings.messages, partitions: settings.partitions });
    load::fill(broker.bootstrap(), TOPIC, (settings.messages, settings.partitions), |messages| {
        let progress = messages as f64 / settings.messages.max(1) as f64;
        show.sight(&Sight { progress, messages, memory_bytes: memory_bytes(), ..Sight::default() });
    })?;
    let stage = Stage::build(settings, &broker)?;
    show.act(&Act::Unbudgeted { concurrency: UNBUDGETED_CONCURRENCY });
    let unbudgeted = stage.play(0, UNBUDGETED_TIME, show)?;
    show.act(&Act::Budgeted { concurrency: settings.concurrency, rate: settings.rate });
    let budgeted = stage.play(1, BUDGETED_TIME, show)?;
    let connections_max = stage.database.connections_max;
    Ok(Summary { settings: settings.clone(), connections_max, unbudgeted, budgeted })
}

/// What both acts are played on.
struct Stage {
    runtime: tokio::runtime::Runtime,
    engine: Arc<Engine>,
    seats: [Arc<Seat>; 2],
    database: DatabaseSettings,
    wasm: Vec<u8>,
    messages: u64,
    /// Compiled code of the demo goes here and away again.
    _data: TemporaryFolder,
}

impl Stage {
    fn build(settings: &Settings, broker: &Embedded) -> anyhow::Result<Self> {
        let data = TemporaryFolder::create()?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let host = config::Host { data: data.0.clone(), threads };
        let plugins = [
            plugin_config("no-budget", broker, UNBUDGETED_CONCURRENCY, None),
            plugin_config("budget", broker, settings.concurrency, Some(settings.rate)),
        ];
        let engine = Engine::new(&host, &plugins)?;
        let seats = plugins.map(|plugin| Seat::new(Arc::new(plugin)));
        if let Some(listen) = settings.listen {
            let admin = admin::start(
                &config::Admin { listen, token: None },
                Roster::new(engine.room(), seats.to_vec()),
            )?;
            tracing::info!(address = %admin.address, "admin is listening");
        }
        // Busy for a third of the time, so that the rate is what holds the plugin and not the concurrency.
        let busy = settings.rate.period.mul_f64(settings.concurrency as f64 / 3.0);
        let query = busy.min(Duration::from_millis(200));
        let database = DatabaseSettings {
            connections_max: 20,
            comfortable: settings.concurrency.max(1),
            query,
            refusal: Duration::from_millis(100),
        };
        let (runtime, wasm) = (app::runtime(threads)?, plugin::component()?);
        Ok(Self { runtime, engine, seats, database, wasm, messages: settings.messages, _data: data })
    }

    /// One act: the plugin works for `time`, or until nothing is left.
    fn play(&self, seat: usize, time: Duration, show: &mut dyn Show) -> anyhow::Result<Ended> {
        let seat = self.seats[seat].clone();
        let database = Arc::new(Database::new(self.database));
        let grants = Grants { database: Some(Arc::new(plugin::Connection(database.clone()))) };
        let generation =
            Generation::load(&self.engine, &seat.plugin, &self.wasm, seat.metrics.clone(), &grants)?;
        let digest = generation.digest().to_owned();
        seat.install(generation, &digest, None);
        let source = KafkaSource::connect(&seat.plugin, seat.metrics.clone())?;
        let output = KafkaOutput::connect(&seat.plugin)?;
        let parts = Parts {
            seat: seat.clone(),
            source: Box::new(source),
            output: Arc::new(output),
            timer: Timer::Precise,
            spans: None,
        };
        let running = pipeline::start(parts, self.runtime.handle())?;
        let mut began = None;
        let mut last = Sight::default();
        let wait = crate::edge::Bell::default();
        loop {
            wait.wait(SIGHT_INTERVAL);
            last = self.look(&seat, &database, last);
            if last.messages + last.books.refused > 0 {
                began.get_or_insert_with(Instant::now);
            }
            let elapsed = began.map_or(Duration::ZERO, |began: Instant| began.elapsed());
            let by_time = elapsed.as_secs_f64() / time.as_secs_f64();
            last.progress = by_time.max(last.messages as f64 / self.messages.max(1) as f64).min(1.0);
            show.sight(&last);
            if last.progress >= 1.0 {
                break;
            }
        }
        // What is seen while it drains is not the act's doing.
        let books = database.books();
        let starts = database.queries();
        self.runtime.block_on(running.drain());
        let pace = seat.plugin.budget.rate.and_then(|rate| figures::pace(&starts, window(rate)));
        let time = starts.last().zip(starts.first()).map_or(Duration::ZERO, |(last, first)| *last - *first);
        Ok(Ended { books, pace, lag: last.lag, time, memory_bytes: last.memory_bytes })
    }

    fn look(&self, seat: &Seat, database: &Database, before: Sight) -> Sight {
        let messages = seat.metrics.outcomes(crate::outcome::Outcome::Handled);
        Sight {
            progress: before.progress,
            messages,
            buffered: seat.metrics.buffer_messages.load(std::sync::atomic::Ordering::Relaxed),
            lag: self.messages as i64 - messages as i64,
            books: database.books(),
            memory_bytes: memory_bytes().max(before.memory_bytes),
        }
    }
}

fn plugin_config(
    name: &str,
    broker: &Embedded,
    concurrency: usize,
    rate: Option<config::Rate>,
) -> config::Plugin {
    config::Plugin {
        name: name.into(),
        component: PathBuf::from("the demo's own"),
        topics: vec![TOPIC.to_owned()],
        group: format!("gristmill-{name}"),
        start: config::Start::Earliest,
        order: config::Order::Key,
        output: None,
        drain: Duration::from_secs(5),
        config: BTreeMap::new(),
        instances: config::Instances::Reused,
        kafka: config::Kafka {
            brokers: broker.bootstrap().split(',').map(str::to_owned).collect(),
            create_topics: false,
            options: Embedded::options(),
        },
        budget: Budget {
            concurrency,
            rate,
            burst: 1,
            scope: config::Scope::Instance,
            buffer: concurrency.max(100),
            buffer_bytes: 16 << 20,
            timeout: Duration::from_secs(30),
            cpu: Duration::from_secs(1),
            memory: 1 << 20,
            keep: false,
        },
        retry: config::Retry::default(),
        failure: config::Failure::default(),
        canary: config::Canary::default(),
        delivery: config::Delivery::AtLeastOnce,
        batchers: Vec::new(),
        allow_produce: Vec::new(),
    }
}

/// Resident memory of this process; 0 where the system does not tell.
fn memory_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

/// A folder that goes when it is dropped.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn create() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("gristmill-demo-{}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("failed to create `{}`", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // A folder left behind in the system's temporary place does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
