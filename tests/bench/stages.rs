//! (d): where the time of a message goes. The rooms of the host, one at a time and on one thread, each with what it
//! works on in (b). Their sum is what the host cannot do without; what (b) takes beyond it is waking, waiting and
//! librdkafka's own threads.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill::ack::{Delivered, Delivery, Partition};
use gristmill::buffer::{Bounds, Buffer, End};
use gristmill::capability::Grants;
use gristmill::config::{Config, check};
use gristmill::edge::{Event, Room, Source};
use gristmill::kafka::KafkaSource;
use gristmill::message::Batch;
use gristmill::plugin::{Engine, Generation};
use gristmill::run::{RUN_MESSAGES_MAX, Run, RunMessage};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use super::ground::{Ground, KEYS, MESSAGES, MILLION, PARTITIONS, PAYLOAD_BYTES, Setup};
use super::report::Report;

/// Messages in the buffer, as in (b).
const BUFFER: usize = 10_000;

/// Runs that the guest handles before and while it is measured.
const RUNS: (usize, usize) = (500, 5_000);

/// Rounds of filling and emptying the buffer.
const ROUNDS: usize = 100;

pub(crate) fn measure(ground: &Ground, report: &mut Report) {
    let budget = format!("buffer = {BUFFER}");
    let config = config(
        &ground.toml(&Setup { guest: "noop", topic: MILLION, budget: &budget, ..Setup::default() }),
        ground,
    );
    let (intake_cpu, intake) = intake(&config);
    let [push, take, settle] = buffer(&config);
    let (border, guest) = guest(&config);
    let commit = progress();
    let stages = [
        ("intake", "intake, CPU of its own thread", intake_cpu),
        ("buffer", "buffer and lane: push", push),
        ("take", "buffer and lane: take a run", take),
        ("border", "border, runs of 64", border),
        ("guest", "guest: handle-message of noop", guest),
        ("settle", "settle, progress left out", settle - commit),
        ("commit", "progress: deliver and finish", commit),
    ];
    for (_, what, ns) in stages {
        report.line("d", what, format!("{ns:.0} ns"));
    }
    let sum: f64 = stages.iter().map(|(_, _, ns)| ns).sum();
    report.line("d", "  sum", format!("{sum:.0} ns"));
    report.line("d", "  intake, wall clock (Kafka beside it)", format!("{intake:.0} ns"));
    let mut raw: BTreeMap<&str, f64> = stages.iter().map(|(key, _, ns)| (*key, *ns)).collect();
    raw.insert("intake_wall", intake);
    report.raw("d_ns_per_message", json!(raw));
}

fn config(toml: &str, ground: &Ground) -> Config {
    let whole = format!("[kafka]\nbrokers = [\"{}\"]\n{toml}", ground.kafka.bootstrap());
    let checked = check::parse(&whole, Path::new("gristmill.toml"), &|_| None);
    checked.unwrap_or_else(|problems| panic!("{problems:?}")).config
}

fn per_message(time: Duration, messages: u64) -> f64 {
    time.as_nanos() as f64 / messages as f64
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Drains the topic through the source alone. CPU of the thread and wall clock, in ns a message.
fn intake(config: &Config) -> (f64, f64) {
    let room = Room { messages: BUFFER, turn: BUFFER / 32, bytes: 16 << 20, empty: true };
    let source = KafkaSource::connect(&config.plugins[0], Arc::default()).expect("a source");
    let mut source: Box<dyn Source> = Box::new(source);
    let (mut messages, mut began) = (0, None);
    while messages < MESSAGES {
        if let Event::Batch(partition, batch) = source.next(room) {
            began.get_or_insert_with(|| (Instant::now(), thread_cpu(), batch.len() as u64));
            messages += batch.len() as u64;
            let last = batch.get(batch.len() - 1).offset();
            partition.progress().pass(last + 1);
        }
    }
    let (began, cpu_before, count) = began.expect("a first batch");
    let (cpu, wall) = (thread_cpu() - cpu_before, began.elapsed());
    source.close(Duration::from_secs(5));
    (per_message(cpu, messages - count), per_message(wall, messages - count))
}

/// A batch as one read of a partition brings it when all partitions have messages.
fn batch(partition: &Arc<Partition>, (round, count): (usize, usize)) -> Batch {
    let mut batch = Batch::new(partition.topic.clone(), partition.number, Instant::now());
    let payload = [b'x'; PAYLOAD_BYTES];
    for index in round * count..(round + 1) * count {
        let key = (index as u64 * PARTITIONS as u64 + partition.number as u64) % KEYS;
        batch.push(index as i64, Some(0), (Some(key.to_string().as_bytes()), Some(&payload)), []);
    }
    batch
}

/// Push (with noting what is delivered), take and settle (with finishing), in ns a message.
fn buffer(config: &Config) -> [f64; 3] {
    let plugin = &config.plugins[0];
    let bounds = Bounds { parked: plugin.failure.max_parked, span: plugin.failure.max_span };
    let mut buffer = Buffer::new(plugin.order, plugin.budget.buffer, plugin.budget.buffer_bytes, bounds);
    let partitions: Vec<_> = (0..PARTITIONS).map(|number| Partition::new(MILLION.into(), number)).collect();
    partitions.iter().for_each(|partition| buffer.assign(partition.clone()));
    let mut times = [Duration::ZERO; 3];
    for round in 0..ROUNDS {
        for partition in &partitions {
            let batch = batch(partition, (round, BUFFER / partitions.len()));
            let began = Instant::now();
            buffer.push(partition, Delivered::deliver(batch, partition.clone()));
            times[0] += began.elapsed();
        }
        while buffer.has_ready() {
            let mut run = Vec::with_capacity(RUN_MESSAGES_MAX);
            let began = Instant::now();
            buffer.take(RUN_MESSAGES_MAX, &mut run, |_| true);
            let taken = Instant::now();
            for message in run {
                buffer.settle(message.lane, message.delivery, End::Finished);
            }
            times[1] += taken - began;
            times[2] += taken.elapsed();
        }
    }
    assert_eq!(buffer.messages(0), 0, "all that came in went out");
    times.map(|time| per_message(time, (ROUNDS * BUFFER) as u64))
}

/// Handles runs with the real engine: what crossing costs and what the guest takes, in ns a message.
fn guest(config: &Config) -> (f64, f64) {
    let plugin = &config.plugins[0];
    let engine = Engine::new(&config.host, &config.plugins).expect("an engine");
    let wasm = std::fs::read(&plugin.component).expect("the guest is built");
    let generation = Generation::load(&engine, plugin, &wasm, Arc::default(), &Grants::default());
    let generation = generation.unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let partition = Partition::new(MILLION.into(), 0);
    let (mut wall, mut inside) = (Duration::ZERO, 0);
    runtime.block_on(async {
        let mut worker = generation.worker();
        for round in 0..RUNS.0 + RUNS.1 {
            let batch = batch(&partition, (round, RUN_MESSAGES_MAX));
            let deliveries = Delivered::deliver(batch, partition.clone()).enumerate();
            let messages =
                deliveries.map(|(lane, delivery)| RunMessage::new(lane as u64, delivery)).collect();
            let began = Instant::now();
            let run = worker.handle(Run::new(messages, Arc::default())).await;
            let took = began.elapsed();
            if round >= RUNS.0 {
                wall += took;
                inside += run.messages.iter().map(|message| message.handle_ns).sum::<u64>();
            }
            run.messages.into_iter().map(|message| message.delivery).for_each(Delivery::finish);
        }
        worker.stop().await;
    });
    let messages = (RUNS.1 * RUN_MESSAGES_MAX) as u64;
    let guest = per_message(Duration::from_nanos(inside), messages);
    (per_message(wall, messages) - guest, guest)
}

/// Delivering and finishing alone, each message under the lock as when it is answered, in ns a message.
fn progress() -> f64 {
    let partition = Partition::new(MILLION.into(), 0);
    let mut time = Duration::ZERO;
    for round in 0..ROUNDS {
        let began = Instant::now();
        partition.progress().begin_batch(began);
        let offsets = (round * BUFFER) as i64..((round + 1) * BUFFER) as i64;
        let seqs = partition.progress().deliver(offsets.start)..;
        for offset in offsets.clone().skip(1) {
            partition.progress().deliver(offset);
        }
        for (seq, _) in seqs.zip(offsets) {
            black_box(partition.progress().finish(seq));
        }
        time += began.elapsed();
    }
    per_message(time, (ROUNDS * BUFFER) as u64)
}
