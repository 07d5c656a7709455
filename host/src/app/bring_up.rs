//! Brings a plugin up as soon as what it needs is there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::config::Delivery;
use crate::edge::Output;
use crate::kafka::{self, KafkaOutput, KafkaSource};
use crate::pipeline::control::{Seat, State};
use crate::pipeline::{self, Parts, Running};
use crate::shutdown::Signal;
use crate::spans::Queue;
use crate::timer::Timer;

/// How long one look at a cluster's topics may take.
const TOPICS_TIMEOUT: Duration = Duration::from_secs(5);

/// How often what is missing is looked for again, and said again.
const RETRY_INTERVAL: Duration = Duration::from_secs(3);

/// What all plugins are brought up with.
#[derive(Clone, Debug)]
pub(super) struct Common {
    /// Where plugins keep what they have to keep.
    pub(super) data: PathBuf,
    /// Where their spans go, if somewhere.
    pub(super) spans: Option<Queue>,
}

/// Tries until it works; none when the plugin is dismissed before. Whatever is in the way is outside and may mend itself;
/// until then the plugin is not ready and says why.
pub(super) async fn bring_up(common: &Common, seat: &Arc<Seat>, dismissed: &mut Signal) -> Option<Running> {
    seat.say(|_| Some(State::Starting { reason: "asking Kafka for its topics".to_owned() }));
    loop {
        // An attempt is not broken off: what it has begun would go on without anybody to end it.
        match try_bring_up(common, seat).await {
            Ok(running) => return Some(running),
            Err(trouble) => {
                let reason = format!("{trouble:#}");
                tracing::warn!(plugin = %seat.plugin.name, %reason, "the plugin cannot start yet");
                seat.say(|_| Some(State::Starting { reason }));
            }
        }
        tokio::select! {
            () = dismissed.wait() => return None,
            () = tokio::time::sleep(RETRY_INTERVAL) => {}
        }
    }
}

async fn try_bring_up(common: &Common, seat: &Arc<Seat>) -> anyhow::Result<Running> {
    let plugin = seat.plugin.clone();
    let runtime = tokio::runtime::Handle::current();
    let (seat, common) = (seat.clone(), common.clone());
    // librdkafka's calls block; this runs beside the workers, not among them.
    let work = move || {
        require_topics(&seat, &runtime)?;
        let (source, output): (KafkaSource, Arc<dyn Output>) = match plugin.delivery {
            Delivery::AtLeastOnce => {
                let source = KafkaSource::connect(&plugin, seat.metrics.clone())?;
                (source, Arc::new(KafkaOutput::connect(&plugin)?))
            }
            Delivery::ExactlyOnce => {
                let (source, ledger) = kafka::exactly_once(&plugin, &seat.metrics, &common.data)?;
                (source, Arc::new(ledger))
            }
        };
        let spans = common.spans.map(|queue| queue.of(&plugin, seat.metrics.clone()));
        let parts = Parts { seat, source: Box::new(source), output, timer: Timer::Precise, spans };
        pipeline::start(parts, &runtime)
    };
    tokio::task::spawn_blocking(work).await.context("failed to start the plugin")?
}

/// Every topic that outputs may go to must be there (or be made, if the config says so) before the first message is
/// handled: a message whose output has nowhere to go could only be parked.
fn require_topics(seat: &Seat, runtime: &tokio::runtime::Handle) -> anyhow::Result<()> {
    let cluster = &seat.plugin.kafka;
    let wanted = seat.plugin.allow_produce.iter().chain(&seat.plugin.failure.topic);
    let wanted: Vec<&str> = wanted.map(String::as_str).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let missing = kafka::missing_topics(cluster, &wanted, TOPICS_TIMEOUT)?;
    if missing.is_empty() {
        return Ok(());
    }
    let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
    if cluster.create_topics {
        runtime.block_on(kafka::create_topics(cluster, &missing, TOPICS_TIMEOUT))?;
        tracing::info!(plugin = %seat.plugin.name, topics = ?missing, "created topics");
        return Ok(());
    }
    let names = missing.join("`, `");
    let is_dead_letters = |topic: &&str| seat.plugin.failure.topic.as_deref() == Some(*topic);
    let what = if missing.iter().all(is_dead_letters) { "dead-letter" } else { "output" };
    anyhow::bail!(
        "{what} topic `{names}` does not exist; create it (kafka-topics.sh --create --topic {}), or set \
         `create_topics = true` under [kafka]",
        missing[0]
    )
}
