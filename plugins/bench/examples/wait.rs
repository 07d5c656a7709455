//! Waits, then sends nothing: a slow service, and nothing else. Config: `wait_ms` ("5").

use std::sync::OnceLock;
use std::time::Duration;

use bench::{Failure, Guest, Message, Output, store};

struct Plugin;
bench::bindings::export!(Plugin with_types_in bench::bindings);

impl Guest for Plugin {
    fn handle_message(_: Message) -> Result<Vec<Output>, Failure> {
        static WAIT: OnceLock<Result<Duration, String>> = OnceLock::new();
        let wait = WAIT.get_or_init(wait).clone().map_err(Failure::Reject)?;
        std::thread::sleep(wait);
        Ok(vec![])
    }
}

fn wait() -> Result<Duration, String> {
    let text =
        store::get("wait_ms").map_err(|error| format!("config `wait_ms` cannot be read: {error:?}"))?;
    let text = text.unwrap_or_else(|| "5".into());
    let ms = text.parse().map_err(|_| format!("config `wait_ms` is not a whole number: `{text}`"))?;
    Ok(Duration::from_millis(ms))
}
