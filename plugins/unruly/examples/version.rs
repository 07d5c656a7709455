//! Puts its version before each payload. Which version it is, and what is wrong with it, stands in its data, where a test
//! writes it: so one file makes as many different components as a test wants.

use std::time::Duration;

use unruly::{Handled, Message};

/// Eight digits, and what is wrong: `n` nothing, `t` it traps, `s` it is slow, `l` it leaks, `f` it rejects.
static MARK: [u8; 27] = *b"<<version 00000000 mode n>>";

/// Bytes that a leaking version keeps of each message.
const LEAK_BYTES: usize = 16 * 1024 * 1024;

unruly::guest!(handle);

fn handle(message: Message) -> Handled {
    // Read at run time, whatever the compiler knows of it.
    let mark = std::hint::black_box(&MARK);
    match mark[24] {
        b't' => unruly::trap(),
        b's' => std::thread::sleep(Duration::from_millis(50)),
        b'l' => std::mem::forget(std::hint::black_box(Vec::<u8>::with_capacity(LEAK_BYTES))),
        b'f' => return Err(unruly::Failure::Reject("this version rejects everything".into())),
        _ => {}
    }
    let mut payload = mark[10..18].to_vec();
    payload.push(b' ');
    payload.extend_from_slice(message.payload.as_deref().unwrap_or_default());
    unruly::answer(message, payload)
}
