//! Tells what the host remembers of earlier attempts: fails as `fail` does, and when it is done outputs the attempt's
//! number, with the header `previous-error` (without a value when there was none).

use unruly::{Handled, Header, Message, wish};

unruly::guest!(handle);

fn handle(mut message: Message) -> Handled {
    match wish(&message).0.as_str() {
        "trap" => unruly::trap(),
        "retry" | "reject" => return unruly::fail(message),
        _ => {}
    }
    let value = message.previous_error.take().map(String::into_bytes);
    message.headers.push(Header { name: "previous-error".into(), value });
    let attempt = message.attempt.to_string();
    unruly::answer(message, attempt)
}
