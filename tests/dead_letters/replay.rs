//! Dead letters that are sent back: once, in whatever order, at a rate, and never marked before Kafka has them.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::World;
use crate::world::host::binary;
use crate::world::kafka::{End, Kafka, Record};
use crate::world::until;

#[test]
fn one_letter_goes_back_as_it_was_and_only_once() {
    let world = World::new(1);
    world.put((0..3).map(|offset| world.letter(offset, "rejected")));
    let out = world.run(&["replay", "0/1"]).ok();
    assert_eq!(out, format!("replayed 1 letter to `{}`\n", world.from));
    let back = world.came_back();
    assert_eq!(back.len(), 1);
    assert_eq!(
        (back[0].key.as_deref(), back[0].text()),
        (Some(&b"key1"[..]), "{\"customer\":\"c1\"}".to_owned())
    );
    assert_eq!(back[0].headers, [("trace".to_owned(), Some(b"t1".to_vec()))]);
    assert_eq!(world.listed(&[]), ["0/0", "0/2"]);
    assert_eq!(world.listed(&["--replayed"]), ["0/1"]);
    assert_eq!(world.listed(&["--all"]), ["0/0", "0/1", "0/2"]);

    let out = world.run(&["replay", "0/1"]).ok();
    assert_eq!(out, "replayed 0 letters; passed over 1 replayed before (`--again` replays them too)\n");
    assert_eq!(world.count(), 1);
    world.run(&["replay", "0/1", "--again"]).ok();
    assert_eq!(world.count(), 2);

    let said = world.run(&["replay", "0/0", "0/9"]);
    assert_eq!((said.code, world.count()), (Some(1), 3));
    assert!(said.out.contains("there is no letter at `0/9`"), "{}", said.out);
}

#[test]
fn all_letters_go_back_once_in_whatever_order() {
    let world = World::new(3);
    world.put((0..300).map(|offset| world.letter(offset, "rejected").on_partition(offset as i32 % 3)));
    // Out of order, with holes; then what is left.
    world.run(&["replay", "2/99", "0/50", "0/51", "1/7"]).ok();
    world.run(&["replay", "--key", "key3"]).ok();
    assert_eq!(world.count(), 5);
    let out = world.run(&["replay", "--all"]).ok();
    let passed = "; passed over 5 replayed before (`--again` replays them too)\n";
    assert_eq!(out, format!("replayed 295 letters to `{}`{passed}", world.from));
    let keys: std::collections::BTreeSet<_> =
        world.came_back().into_iter().map(|stored| stored.key).collect();
    assert_eq!((keys.len(), world.count()), (300, 300));
    assert_eq!(world.listed(&[]), [""; 0]);
    let group = format!("gristmill-replay-{}", world.dead);
    assert_eq!(world.kafka.committed(&group, &world.dead), [Some(100); 3]);

    // What comes later is not marked.
    world.put([world.letter(300, "rejected").on_partition(1)]);
    assert_eq!(world.listed(&[]), ["1/100"]);
    world.run(&["replay", "--all", "--yes"]).ok();
    assert_eq!(world.count(), 301);
}

#[test]
fn offsets_without_letters_are_in_nobodys_way() {
    let world = World::new(1);
    world.kafka.produce_transaction(&world.dead, End::Commit, [world.letter(0, "a")]);
    world.kafka.produce_transaction(&world.dead, End::Abort, [world.letter(1, "b"), world.letter(2, "b")]);
    world.kafka.produce_transaction(&world.dead, End::Commit, [world.letter(3, "c")]);
    assert_eq!(world.listed(&[]), ["0/0", "0/5"]);
    world.run(&["replay", "--all"]).ok();
    assert_eq!(world.count(), 2);
    let group = format!("gristmill-replay-{}", world.dead);
    let ends: Vec<Option<i64>> = world.kafka.end_offsets(&world.dead).into_iter().map(Some).collect();
    assert_eq!(world.kafka.committed(&group, &world.dead), ends);
    assert_eq!(world.listed(&[]), [""; 0]);
}

#[test]
fn a_dry_run_sends_and_marks_nothing() {
    let world = World::new(1);
    world.put([world.letter(0, "a"), world.letter(1, "b")]);
    let out = world.run(&["replay", "--reason", "b", "--dry-run"]).ok();
    let (dead, from) = (&world.dead, &world.from);
    assert_eq!(out, format!("{dead}/0/1 -> {from}\nwould replay 1 letter to `{from}`\n"));
    assert_eq!((world.count(), world.listed(&["--replayed"]).len()), (0, 0));
}

#[test]
fn what_gristmill_did_not_write_goes_only_where_it_is_told() {
    let world = World::new(1);
    world.put([Record::new("k", "p").with_header("own", "h")]);
    let said = world.run(&["replay", "0/0"]);
    assert_eq!(said.code, Some(1), "{}", said.out);
    let says = "passed over 1 record not written by gristmill (`--to` says where to)";
    assert!(said.out.contains(says), "{}", said.out);
    assert!(world.run(&["replay", "--all"]).ok().contains(says));
    world.run(&["replay", "--all", "--to", &world.from]).ok();
    let back = world.came_back();
    assert_eq!((back.len(), back[0].header("own")), (1, Some("h".to_owned())));
    let said = world.run(&["replay", "--all", "--again", "--to", &world.dead]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("where they are"), "{}", said.err);
}

#[test]
fn a_rate_is_kept_and_pacing_is_even() {
    let world = World::new(1);
    world.put((0..6).map(|offset| world.letter(offset, "rejected")));
    let began = Instant::now();
    world.run(&["replay", "--all", "--rate", "5/s"]).ok();
    assert!(began.elapsed() >= Duration::from_secs(1), "took {:?}", began.elapsed());
    let mut times: Vec<i64> = world.came_back().iter().filter_map(|stored| stored.timestamp).collect();
    times.sort_unstable();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 150), "{times:?}");
}

#[test]
fn topics_that_are_not_there_are_named_and_nothing_is_sent() {
    let world = World::new(1);
    let brokers = world.kafka.bootstrap();
    for arguments in [&["list"][..], &["show", "0/0"], &["replay", "--all"]] {
        let said = world.run_bare(&[arguments, &["--topic", "nowhere", "--brokers", &brokers]].concat());
        assert_eq!(said.code, Some(1));
        let says = format!("error: there is no topic `nowhere` at `{brokers}`; see `topic` under");
        assert!(said.err.starts_with(&says), "{}", said.err);
    }
    world.put([world.letter(0, "a"), world.letter(1, "b").with_header("gristmill-topic", "nowhere-else")]);
    let said = world.run(&["replay", "--all"]);
    assert_eq!((said.code, world.count()), (Some(1), 0));
    assert!(said.err.contains("there is no topic `nowhere-else` to send letters back to"), "{}", said.err);
    assert_eq!(world.listed(&["--replayed"]), [""; 0]);
    world.run(&["replay", "--all", "--to", &world.from]).ok();
    assert_eq!(world.count(), 2);
}

#[test]
fn marks_that_another_tool_wrote_stop_a_replay_unless_it_is_meant() {
    let world = World::new(1);
    world.put((0..3).map(|offset| world.letter(offset, "rejected")));
    let group = format!("gristmill-replay-{}", world.dead);
    world.kafka.commit_with(&group, &world.dead, (0, 1), "written by hand");
    let said = world.run(&["replay", "--all"]);
    assert_eq!((said.code, world.count()), (Some(1), 0), "{}", said.err);
    assert!(said.err.contains("partition 0 cannot be read: it was written by another tool"), "{}", said.err);
    assert_eq!(world.listed(&[]), ["0/1", "0/2"]);
    world.run(&["replay", "0/2", "--again"]).ok();
    assert_eq!((world.count(), world.listed(&[])), (1, vec!["0/1".to_owned()]));
}

#[test]
fn a_broker_that_dies_meanwhile_is_an_error_and_nothing_is_marked_that_was_not_confirmed() {
    let mut kafka = Kafka::start();
    for topic in ["dead", "orders"] {
        kafka.create_topic(topic, 1);
    }
    let world = World::new(1);
    let letter = |offset| Record { partition: None, ..world.letter(offset, "a") };
    kafka.produce("dead", (0..200).map(|offset| letter(offset).with_header("gristmill-topic", "orders")));
    let toml = format!(
        "[kafka]\nbrokers = [{:?}]\noptions.\"message.timeout.ms\" = 5000\n\
         [plugins.enrich]\ncomponent = \"enrich.wasm\"\ntopics = [\"in\"]\n",
        kafka.bootstrap()
    );
    std::fs::write(world.dir.path().join("gristmill.toml"), toml).expect("the config can be written");
    let replay = Command::new(binary())
        .args(["dead-letters", "replay", "--all", "--topic", "dead", "--rate", "20/s"])
        .current_dir(world.dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be started");
    let came = until(Duration::from_secs(30), || (kafka.end_offsets("orders")[0] > 30).then_some(()));
    assert!(came.is_some(), "nothing was replayed");
    kafka.kill();
    let output = replay.wait_with_output().expect("the replay ends");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(69), "{err}");
    kafka.restart();
    let confirmed = kafka.end_offsets("orders")[0];
    let marked = kafka.committed("gristmill-replay-dead", "dead")[0].expect("some are marked");
    assert!(marked <= confirmed && marked > 0, "{marked} of {confirmed} are marked");
}
