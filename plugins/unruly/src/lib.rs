//! What the unruly guests share: the bindings, one function for each way to misbehave, and the words by which a
//! payload asks for one.

#[allow(missing_docs, reason = "generated from ../../wit")]
pub mod bindings {
    wit_bindgen::generate!({
        world: "local:unruly/plugin",
        path: ["../../wit", "wit"],
        generate_all,
        pub_export_macro: true,
    });
}

use std::hint::black_box;
use std::time::Duration;

pub use bindings::exports::gristmill::plugin::handler::{Failure, Guest, Message, Output};
pub use bindings::gristmill::plugin::types::{Header, Retry};
use bindings::wasi::config::store;

/// What `handle-message` returns.
pub type Handled = Result<Vec<Output>, Failure>;

/// A guest made of one function from message to what became of it.
#[macro_export]
macro_rules! guest {
    ($handle:expr) => {
        struct Plugin;
        $crate::bindings::export!(Plugin with_types_in $crate::bindings);

        impl $crate::Guest for Plugin {
            fn handle_message(message: $crate::Message) -> $crate::Handled {
                $handle(message)
            }
        }
    };
}

/// Handled, and sent on as it came.
pub fn forward(message: Message) -> Handled {
    let Message { key, payload, headers, .. } = message;
    Ok(vec![Output { topic: None, key, payload, headers }])
}

/// Handled, and sent on with another payload.
pub fn answer(message: Message, payload: impl Into<Vec<u8>>) -> Handled {
    forward(Message { payload: Some(payload.into()), ..message })
}

/// What the payload of a message asks for: its first word, as `word` or `word:argument`. `until:3:trap` asks for `trap`
/// before the third attempt, then for `ok`. Whatever stands behind a space is ignored: it keeps payloads apart.
pub fn wish(message: &Message) -> (String, String) {
    let payload = String::from_utf8_lossy(message.payload.as_deref().unwrap_or_default()).into_owned();
    let mut wish = payload.split(' ').next().unwrap_or_default();
    if let Some((attempt, then)) = wish.strip_prefix("until:").and_then(|rest| rest.split_once(':')) {
        let is_over = attempt.parse().is_ok_and(|attempt: u32| message.attempt >= attempt);
        wish = if is_over { "ok" } else { then };
    }
    let (word, argument) = wish.split_once(':').unwrap_or((wish, ""));
    (word.to_owned(), argument.to_owned())
}

/// `retry`, `retry:MS` and `reject`, `reject:REASON`; every other wish is handled.
pub fn fail(message: Message) -> Handled {
    let (word, argument) = wish(&message);
    match word.as_str() {
        "retry" => {
            let reason = format!("asked for at attempt {}", message.attempt);
            Err(Failure::Retry(Retry { reason, after_ms: argument.parse().ok() }))
        }
        "reject" if argument.is_empty() => Err(Failure::Reject("asked for".into())),
        "reject" => Err(Failure::Reject(argument)),
        _ => forward(message),
    }
}

/// Executes `unreachable`.
pub fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

/// Computes for ever.
pub fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Waits in a host call for an hour.
pub fn hang() {
    std::thread::sleep(Duration::from_secs(3600));
}

/// Takes memory until there is none; the allocator then aborts.
pub fn eat_memory() -> ! {
    let mut eaten = Vec::new();
    loop {
        eaten.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Calls itself until the stack ends.
pub fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 32]);
    let deeper = if frame[0] == u64::MAX { 0 } else { recurse(depth + 1) };
    deeper + frame[1]
}

/// Panics with a message of about a megabyte.
pub fn panic_at_length() -> ! {
    panic!("{}", "a long story ".repeat(80_000));
}

/// Prints so many lines, half of them as errors.
pub fn flood(lines: u64) {
    for line in 0..lines / 2 {
        println!("{line}: nobody asked for this");
        eprintln!("{line}: nor for this");
    }
}

/// So many outputs of 100 bytes.
pub fn many(outputs: usize) -> Handled {
    let output = Output { topic: None, key: None, payload: Some(vec![b'x'; 100]), headers: vec![] };
    Ok(vec![output; outputs])
}

/// One output of so many bytes.
pub fn huge(bytes: usize) -> Handled {
    Ok(vec![Output { topic: None, key: None, payload: Some(vec![b'x'; bytes]), headers: vec![] }])
}

/// A setting of this plugin; none when it is not set or cannot be read.
pub fn setting(key: &str) -> Option<String> {
    store::get(key).ok().flatten()
}

/// A number among the settings, or the default when it is not set.
pub fn number(key: &str, default: u64) -> u64 {
    setting(key).and_then(|text| text.parse().ok()).unwrap_or(default)
}
