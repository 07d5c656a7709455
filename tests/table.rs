//! The table of figures: the host beside a bare librdkafka drain, on a real Apache Kafka, in one run. `make bench`
//! makes it; `make bench ONLY=b,h` makes some rows of it.
//!
//! - `bench`: the rows, and what they have in common
//! - `world`: brokers and hosts, as for the tests

mod bench;
#[expect(dead_code, reason = "the tests need more of the world than the table does")]
mod world;

fn main() {
    // Whoever runs all targets as tests does not wait minutes for figures that a busy machine would spoil.
    if std::env::args().any(|argument| argument == "--bench") {
        bench::run(&bench::Rows::from_args(std::env::args()));
    } else {
        println!("the table of figures is made by `make bench`");
    }
}
