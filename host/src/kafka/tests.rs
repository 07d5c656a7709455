//! The room against an embedded cluster, through its traits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::native::produce;
use super::producer::Produced;
use super::{Embedded, KafkaOutput, KafkaSource, missing_topics, reachable};
use crate::ack::{Delivered, Delivery, Partition};
use crate::config::{Budget, Instances, Kafka, Order, Plugin, Start};
use crate::edge::{Ended, Event, Output, Receipts, Refused, Room, Source};
use crate::message::HeaderRef;
use crate::metrics::PluginMetrics;
use crate::outcome::OutputRecord;

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);

const PLENTY: Room = Room { messages: 4_096, turn: 1, bytes: 1 << 24, empty: true };
const NONE: Room = Room { messages: 0, turn: 1, bytes: 0, empty: false };

/// A plugin that reads `topics`.
pub(super) fn plugin(brokers: &str, topics: &[&str]) -> Plugin {
    let name: Arc<str> = "enrich".into();
    Plugin {
        component: "enrich.wasm".into(),
        topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
        group: format!("gristmill-{name}"),
        name,
        start: Start::Earliest,
        order: Order::Key,
        output: None,
        drain: Duration::from_secs(20),
        config: BTreeMap::new(),
        instances: Instances::Reused,
        kafka: Kafka {
            brokers: vec![brokers.to_owned()],
            create_topics: false,
            options: Embedded::options(),
        },
        budget: Budget {
            concurrency: 10,
            rate: None,
            burst: 1,
            scope: crate::config::Scope::Instance,
            buffer: 100,
            buffer_bytes: 1 << 24,
            timeout: Duration::from_secs(30),
            cpu: Duration::from_secs(1),
            memory: 1 << 27,
            keep: false,
        },
        retry: crate::config::Retry::default(),
        failure: crate::config::Failure::default(),
        canary: crate::config::Canary::default(),
        delivery: crate::config::Delivery::AtLeastOnce,
        batchers: Vec::new(),
        allow_produce: Vec::new(),
    }
}

/// A cluster with topic `orders`, and a producer that chooses partitions.
struct World {
    kafka: Embedded,
    producer: BaseProducer,
    metrics: Arc<PluginMetrics>,
}

impl World {
    fn new(partitions: i32) -> Self {
        let kafka = Embedded::start(1).unwrap();
        kafka.create_topic("orders", partitions).unwrap();
        let producer = ClientConfig::new()
            .set("bootstrap.servers", kafka.bootstrap())
            .set("message.max.bytes", "4000000")
            .create()
            .unwrap();
        Self { kafka, producer, metrics: Arc::default() }
    }

    fn plugin(&self) -> Plugin {
        plugin(self.kafka.bootstrap(), &["orders"])
    }

    fn source(&self) -> Box<KafkaSource> {
        Box::new(KafkaSource::connect(&self.plugin(), self.metrics.clone()).unwrap())
    }

    fn put(&self, partition: i32, key: Option<&[u8]>, payload: Option<&[u8]>, headers: &[HeaderRef<'_>]) {
        let record = Produced { topic: c"orders", partition: Some(partition), key, payload };
        produce(&self.producer, record, headers.iter().copied(), ()).unwrap();
    }

    fn put_many(&self, partition: i32, payloads: impl Iterator<Item = usize>) {
        payloads.for_each(|payload| self.put(partition, None, Some(payload.to_string().as_bytes()), &[]));
        self.flush();
    }

    fn flush(&self) {
        self.producer.flush(PATIENCE).unwrap();
    }

    fn committed(&self, partition: i32) -> Offset {
        let group = &self.plugin().group;
        let asker: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.kafka.bootstrap())
            .set("group.id", group)
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition("orders", partition);
        let committed = asker.committed_offsets(list, PATIENCE).unwrap();
        committed.elements()[0].offset()
    }
}

/// Asks until `found` returns something.
fn until<T>(source: &mut KafkaSource, room: Room, mut found: impl FnMut(Event) -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let event = source.next(room);
        let shown = format!("{event:?}");
        if let Some(found) = found(event) {
            return found;
        }
        assert!(Instant::now() < deadline, "nothing was found; the last event was {shown:.300}");
    }
}

fn assigned(source: &mut KafkaSource) -> Vec<Arc<Partition>> {
    until(source, NONE, |event| match event {
        Event::Assigned(partitions) => (!partitions.is_empty()).then_some(partitions),
        Event::Batch(..) => panic!("a batch without room"),
        _ => None,
    })
}

/// Takes `count` messages, each noted as delivered.
fn take(source: &mut KafkaSource, room: Room, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.extend(until(source, room, |event| match event {
            Event::Batch(partition, batch) => Some(Delivered::deliver(batch, partition).collect::<Vec<_>>()),
            _ => None,
        }));
    }
    taken
}

#[test]
fn a_message_arrives_as_it_was_sent() {
    let world = World::new(1);
    let header = |name, value| HeaderRef { name, value };
    let headers =
        [header(&b"\xff\xfe"[..], Some(&b"v"[..])), header(b"none", None), header(b"empty", Some(b""))];
    world.put(0, Some(b""), None, &headers);
    world.put(0, None, Some(b""), &[]);
    world.put(0, Some(b"k"), Some(b"p"), &[]);
    world.flush();
    let mut source = world.source();
    let taken = take(&mut source, PLENTY, 3);
    let contents: Vec<_> =
        taken.iter().map(|taken| (taken.message().key(), taken.message().payload())).collect();
    let (empty, k, p) = (Some(&b""[..]), Some(&b"k"[..]), Some(&b"p"[..]));
    assert_eq!(contents, [(empty, None), (None, empty), (k, p)]);
    assert_eq!(taken[0].message().headers().collect::<Vec<_>>(), headers);
    assert!(taken[0].message().timestamp().is_some_and(|ms| ms > 1_600_000_000_000));
    assert_eq!(taken[1].message().headers().len(), 0);
}

#[test]
fn a_full_partition_does_not_starve_another_and_each_keeps_its_order() {
    let world = World::new(2);
    world.put_many(0, 0..2_000);
    world.put_many(1, 0..10);
    let mut source = world.source();
    assigned(&mut source);
    // Both queues have something before the first message is taken.
    until(&mut source, NONE, |_| (0..2).all(|number| source_end(&world, number)).then_some(()));
    let room = Room { messages: 20, ..PLENTY };
    let taken = take(&mut source, room, 200);
    let of = |number| taken.iter().filter(move |taken| taken.message().partition() == number);
    assert_eq!(of(1).count(), 10, "the small partition had its turn among the first 200");
    for number in [0, 1] {
        let offsets: Vec<_> = of(number).map(|taken| taken.message().offset()).collect();
        assert_eq!(offsets, (0..offsets.len() as i64).collect::<Vec<_>>());
    }
}

fn source_end(world: &World, number: i32) -> bool {
    let partitions = world.metrics.partitions();
    partitions.get(&("orders".to_owned(), number)).is_some_and(|gauges| gauges.lag_messages > Some(0))
}

#[test]
fn room_in_bytes_is_strict_and_what_does_not_fit_is_kept() {
    let world = World::new(1);
    let large = vec![b'x'; 1_000_000];
    world.put(0, None, Some(b"small"), &[]);
    world.put(0, None, Some(&large), &[]);
    world.put(0, None, Some(b"after"), &[]);
    world.flush();
    let mut source = world.source();
    let tight = Room { messages: 100, turn: 1, bytes: 10_000, empty: false };
    assert_eq!(take(&mut source, tight, 1).len(), 1);
    // The large one is at hand but does not fit, and nothing overtakes it.
    let waited = Instant::now();
    until(&mut source, tight, |event| {
        assert!(!matches!(event, Event::Batch(..)));
        (waited.elapsed() > Duration::from_millis(300)).then_some(())
    });
    let alone = take(&mut source, Room { empty: true, ..tight }, 1);
    assert_eq!((alone.len(), alone[0].message().payload().map(<[u8]>::len)), (1, Some(1_000_000)));
    assert_eq!(take(&mut source, tight, 1)[0].message().payload(), Some(&b"after"[..]));
}

#[test]
fn without_room_nothing_is_taken_and_the_bell_ends_the_wait() {
    let world = World::new(1);
    world.put_many(0, 0..10);
    let mut source = world.source();
    assigned(&mut source);
    until(&mut source, NONE, |event| {
        assert!(!matches!(event, Event::Batch(..)));
        source_end(&world, 0).then_some(())
    });
    let bell = source.bell();
    let rings = std::thread::spawn(move || bell.ring());
    until(&mut source, NONE, |event| matches!(event, Event::Nothing).then_some(()));
    rings.join().unwrap();
    assert_eq!(take(&mut source, PLENTY, 10).len(), 10);
}

#[test]
fn what_was_finished_does_not_come_again_after_close() {
    let world = World::new(1);
    world.put_many(0, 0..10);
    let mut source = world.source();
    let mut taken = take(&mut source, PLENTY, 10);
    let unfinished = taken.split_off(6);
    taken.into_iter().for_each(Delivery::finish);
    source.close(PATIENCE);
    assert!(world.metrics.partitions().is_empty(), "gauges of partitions that are not ours would lie");
    drop(unfinished);
    assert_eq!(world.committed(0), Offset::Offset(6));
    let mut source = world.source();
    let again = take(&mut source, PLENTY, 4);
    assert_eq!(again[0].message().offset(), 6);
}

#[test]
fn progress_is_committed_and_shown_while_running() {
    let world = World::new(1);
    world.put_many(0, 0..10);
    let mut source = world.source();
    take(&mut source, PLENTY, 10).into_iter().take(7).for_each(Delivery::finish);
    let shown = |world: &World| world.metrics.partitions().values().next().copied().unwrap_or_default();
    until(&mut source, NONE, |_| (shown(&world).committed_offset == Some(7)).then_some(()));
    until(&mut source, NONE, |_| (shown(&world).lag_messages == Some(3)).then_some(()));
    until(&mut source, NONE, |_| (world.committed(0) == Offset::Offset(7)).then_some(()));
}

#[test]
fn a_new_group_that_starts_late_begins_once_and_for_all() {
    let world = World::new(1);
    world.put_many(0, 0..10);
    let late = Plugin { start: Start::Latest, ..world.plugin() };
    let mut source = Box::new(KafkaSource::connect(&late, world.metrics.clone()).unwrap());
    assigned(&mut source);
    source.close(PATIENCE);
    // These come while nobody reads, and belong to the group all the same.
    world.put_many(0, 10..12);
    let mut source = KafkaSource::connect(&late, world.metrics.clone()).unwrap();
    assert_eq!(take(&mut source, PLENTY, 2)[0].message().offset(), 10);
}

#[test]
fn a_revoked_partition_is_given_up_only_when_released() {
    let world = World::new(2);
    (0..2).for_each(|number| world.put_many(number, 0..10));
    let mut first = world.source();
    let taken = take(&mut first, PLENTY, 20);
    let mut second = world.source();
    let revoked = until(&mut first, PLENTY, |event| {
        second.next(NONE);
        if let Event::Revoked(partitions) = event { Some(partitions) } else { None }
    });
    assert_eq!(revoked.len(), 1);
    assert!(revoked[0].is_revoked());
    // What is in flight ends only now, and counts.
    let number = revoked[0].number;
    taken.into_iter().take_while(|taken| taken.message().offset() < 10).for_each(|taken| {
        if taken.message().partition() == number && taken.message().offset() < 4 {
            taken.finish();
        }
    });
    until(&mut first, PLENTY, |event| {
        assert!(!matches!(second.next(NONE), Event::Assigned(partitions) if !partitions.is_empty()));
        matches!(event, Event::Nothing).then_some(())
    });
    first.release(&revoked);
    let next = until(&mut second, PLENTY, |event| {
        first.next(NONE);
        if let Event::Batch(_, batch) = event { Some(batch) } else { None }
    });
    assert_eq!((next.get(0).partition(), next.get(0).offset()), (number, 4));
    assert!(!world.metrics.partitions().is_empty());
    first.close(PATIENCE);
    second.close(PATIENCE);
}

#[test]
fn the_lag_of_a_partition_that_is_not_read_stays_fresh() {
    let world = World::new(1);
    world.put_many(0, 0..3_000);
    let mut source = world.source();
    assigned(&mut source);
    until(&mut source, NONE, |_| source_end(&world, 0).then_some(()));
    // The queue is full, so no fetch tells of these.
    world.put_many(0, 0..500);
    let shown = |world: &World| world.metrics.partitions().values().next().copied().unwrap_or_default();
    until(&mut source, NONE, |_| (shown(&world).lag_messages == Some(3_500)).then_some(()));
}

#[test]
fn the_classic_protocols_work_too() {
    for strategy in ["cooperative-sticky", "range"] {
        let world = World::new(2);
        world.put_many(1, 0..10);
        let mut plugin = world.plugin();
        let classic = [("group.protocol", "classic"), ("partition.assignment.strategy", strategy)];
        plugin.kafka.options.extend(classic.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let mut source = Box::new(KafkaSource::connect(&plugin, world.metrics.clone()).unwrap());
        take(&mut source, PLENTY, 10).into_iter().for_each(Delivery::finish);
        source.close(PATIENCE);
        assert_eq!(world.committed(1), Offset::Offset(10), "{strategy}");
    }
}

#[test]
fn a_member_that_was_thrown_out_loses_its_partitions_and_joins_again() {
    let world = World::new(2);
    let mut plugin = world.plugin();
    plugin.kafka.options.insert("max.poll.interval.ms".to_owned(), "1000".to_owned());
    let mut first = KafkaSource::connect(&plugin, world.metrics.clone()).unwrap();
    let before = assigned(&mut first);
    assert_eq!(before.len(), 2);
    // Nobody asks the first for anything, until the group has given its partitions to another.
    let mut second = world.source();
    let mut taken_over = 0;
    until(&mut second, NONE, |event| {
        if let Event::Assigned(partitions) = event {
            taken_over += partitions.len();
        }
        (taken_over == 2).then_some(())
    });
    let lost = until(&mut first, NONE, |event| {
        second.next(NONE);
        if let Event::Lost(partitions) = event { Some(partitions) } else { None }
    });
    assert_eq!(lost.len(), 2);
    second.close(PATIENCE);
    assigned(&mut first);
}

#[test]
fn a_cluster_that_goes_away_is_told_and_its_return_too() {
    let world = World::new(1);
    let mut source = world.source();
    assigned(&mut source);
    world.kafka.set_up(false).unwrap();
    until(&mut source, PLENTY, |event| matches!(event, Event::Trouble(Some(_))).then_some(()));
    world.kafka.set_up(true).unwrap();
    until(&mut source, PLENTY, |event| matches!(event, Event::Trouble(None)).then_some(()));
    world.put_many(0, 0..1);
    take(&mut source, PLENTY, 1);
}

#[test]
fn closing_is_bounded_without_a_cluster() {
    let mut plugin = plugin("127.0.0.1:1", &["orders"]);
    plugin.kafka.options.clear();
    let mut source = Box::new(KafkaSource::connect(&plugin, Arc::default()).unwrap());
    until(&mut source, PLENTY, |event| matches!(event, Event::Trouble(Some(_))).then_some(()));
    let begun = Instant::now();
    source.close(Duration::from_secs(1));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn outputs_are_confirmed_as_they_are_or_refused_with_a_reason() {
    let world = World::new(1);
    let plugin = Plugin { output: Some("orders".to_owned()), ..world.plugin() };
    let output = KafkaOutput::connect(&plugin).unwrap();
    let headers = vec![(b"a".to_vec(), None), (b"b\0".to_vec(), Some(Vec::new()))];
    let good = OutputRecord { key: Some(Vec::new()), headers, ..OutputRecord::default() };
    let large = OutputRecord { payload: Some(vec![0; 1_100_000]), ..OutputRecord::default() };
    let receipts = Receipts::new();
    let elsewhere = OutputRecord { topic: Some("or\0ders".to_owned()), ..good.clone() };
    for (index, record) in [good, large, elsewhere].into_iter().enumerate() {
        let receipt = receipts.receipt(index as u32);
        output.hand_over(Ended { mark: None, records: vec![record], receipt }).await;
    }
    let refused = receipts.settled().await;
    assert_eq!(refused.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 2]);
    let Refused::Failed { why, lasting: true } = &refused[0].1 else { panic!("{refused:?}") };
    assert!(why.contains("message.max.bytes"), "{why}");
    let mut source = world.source();
    let taken = take(&mut source, PLENTY, 1);
    let message = taken[0].message();
    assert_eq!((message.key(), message.payload()), (Some(&b""[..]), None));
    let values: Vec<_> = message.headers().map(|header| header.value).collect();
    assert_eq!(values, [None, Some(&b""[..])]);
}

#[test]
fn missing_topics_are_named_and_not_made() {
    let world = World::new(1);
    let kafka = world.plugin().kafka;
    reachable(&kafka, PATIENCE).unwrap();
    for _ in 0..2 {
        let missing = missing_topics(&kafka, &["orders", "invoices"], PATIENCE).unwrap();
        assert_eq!(missing, ["invoices"]);
    }
    let nowhere = Kafka { brokers: vec!["127.0.0.1:1".to_owned()], ..kafka };
    assert!(reachable(&nowhere, Duration::from_millis(200)).is_err());
}
