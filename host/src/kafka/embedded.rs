//! A Kafka cluster inside this process, for `demo`, `dev` and tests: librdkafka's mock broker on the loopback
//! interface. It is no store: messages live in memory, at most 5 MiB and 100 000 batches a partition (the oldest go
//! first), aborted transactions are visible, and messages are not found by time.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};

use super::native;

/// How often the members of a group are to ask for news, in ms: half of it is what a rebalance waits on average.
const HEARTBEAT_MS: u64 = 100;

/// How often the thread clears librdkafka's log of the cluster, in ms.
const TICK_MS: u64 = 1_000;

type Task = Box<dyn FnOnce(&Cluster<'_>) + Send>;

/// A running cluster; gone when dropped. It may be shared among threads.
#[derive(Debug)]
pub struct Embedded {
    bootstrap: String,
    tasks: mpsc::Sender<Task>,
    thread: Option<JoinHandle<()>>,
}

/// The cluster on its thread, which it may not leave.
struct Cluster<'a> {
    mock: rdkafka::mocking::MockCluster<'a, rdkafka::producer::DefaultProducerContext>,
}

impl Embedded {
    /// Starts a cluster of `brokers` brokers, on ports of the system's choice.
    pub fn start(brokers: i32) -> anyhow::Result<Self> {
        let (tasks, todo) = mpsc::channel::<Task>();
        let (told, bootstrap) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("kafka-embedded".to_owned())
            .spawn(move || run(brokers, &told, &todo))
            .context("failed to start the thread of the embedded Kafka")?;
        let bootstrap = bootstrap.recv().context("failed to start the embedded Kafka")??;
        Ok(Self { bootstrap, tasks, thread: Some(thread) })
    }

    /// Where the brokers listen: `host:port`, separated by commas.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Options that suit this cluster, for `[kafka.options]`.
    pub fn options() -> BTreeMap<String, String> {
        [
            // An empty fetch is answered only after this time, however soon there are messages.
            ("fetch.wait.max.ms", "10"),
            // Rebalances take 0.2 s and not the seconds of the classic protocol here.
            ("group.protocol", "consumer"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    /// Creates a topic.
    pub fn create_topic(&self, name: &str, partitions: i32) -> anyhow::Result<()> {
        let topic = name.to_owned();
        self.ask(move |cluster| cluster.mock.create_topic(&topic, partitions, 1))?
            .with_context(|| format!("failed to create topic `{name}`"))
    }

    /// Takes all brokers away, or brings them back with all they held.
    pub fn set_up(&self, up: bool) -> anyhow::Result<()> {
        self.ask(move |cluster| if up { cluster.mock.broker_up(-1) } else { cluster.mock.broker_down(-1) })?
            .context("failed to switch the embedded Kafka")
    }

    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Cluster<'_>) -> T + Send + 'static,
    ) -> anyhow::Result<T> {
        let (tells, answer) = mpsc::channel();
        let task: Task = Box::new(move |cluster| drop(tells.send(question(cluster))));
        self.tasks.send(task).ok().context("the embedded Kafka has ended")?;
        answer.recv().context("the embedded Kafka has ended")
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        // Closing the channel ends the thread.
        self.tasks = mpsc::channel().0;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the embedded Kafka ended with a panic");
        }
    }
}

fn run(brokers: i32, told: &mpsc::Sender<anyhow::Result<String>>, todo: &mpsc::Receiver<Task>) {
    // The cluster lives in a producer that produces nothing: only this way its groups can be made quick.
    let producer = ClientConfig::new()
        .set("test.mock.num.brokers", brokers.to_string())
        .create::<BaseProducer>()
        .context("failed to start the embedded Kafka");
    let producer = match producer {
        Ok(producer) => producer,
        Err(error) => return drop(told.send(Err(error))),
    };
    let Some(mock) = producer.client().mock_cluster() else {
        return drop(told.send(Err(anyhow::anyhow!("librdkafka has no mock cluster"))));
    };
    native::hasten_groups(producer.client(), Duration::from_millis(HEARTBEAT_MS));
    let cluster = Cluster { mock };
    if told.send(Ok(cluster.mock.bootstrap_servers())).is_err() {
        return;
    }
    loop {
        match todo.recv_timeout(Duration::from_millis(TICK_MS)) {
            Ok(task) => task(&cluster),
            Err(mpsc::RecvTimeoutError::Timeout) => producer.poll(Duration::ZERO),
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
    }
}
