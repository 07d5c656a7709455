//! The main job from end to end: messages in, outputs out, progress committed.

use crate::world::host::{Site, plugin};
use crate::world::kafka::{Isolation, Kafka};

#[test]
fn messages_come_out_enriched_and_are_committed() {
    let kafka = Kafka::shared();
    let (from, to) = (Kafka::unique("orders"), Kafka::unique("enriched"));
    kafka.create_topic(&from, 4);
    kafka.create_topic(&to, 2);
    kafka.produce(
        &from,
        (0..500).map(|i| (i.to_string(), r#"{"customer":"c","items":[{"quantity":2,"unit_cents":50}]}"#)),
    );
    let site = Site::new(
        &kafka.bootstrap(),
        &format!(
            "[plugins.enrich]\ncomponent = {:?}\ntopics = [\"{from}\"]\noutput = \"{to}\"\ngroup = \"{from}\"\n",
            plugin("enrich")
        ),
    );
    let host = site.start();
    host.wait_ready();
    host.wait_handled("enrich", 500);
    assert_eq!(host.stop(), 0);
    let outputs = kafka.consume_all(&to, Isolation::ReadCommitted);
    assert_eq!(outputs.len(), 500);
    let committed: Vec<i64> = kafka.committed(&from, &from).into_iter().flatten().collect();
    assert_eq!(committed, kafka.end_offsets(&from));
}
