//! Tells whether instances are reused: outputs how many messages this instance has handled, with its random name in
//! the header `instance`.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use unruly::{Handled, Header, Message};

unruly::guest!(handle);

fn handle(mut message: Message) -> Handled {
    static HANDLED: AtomicU64 = AtomicU64::new(0);
    static NAME: OnceLock<String> = OnceLock::new();
    // The seed of a hash map is the random number that the standard library offers.
    let name = NAME.get_or_init(|| format!("{:016x}", RandomState::new().hash_one(0)));
    message.headers.push(Header { name: "instance".into(), value: Some(name.clone().into_bytes()) });
    let count = HANDLED.fetch_add(1, Ordering::Relaxed) + 1;
    unruly::answer(message, count.to_string())
}
