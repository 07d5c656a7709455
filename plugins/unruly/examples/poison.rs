//! Does what its payload says. The words of `fail`, and `ok`, `trap`, `loop`, `hang`, `panic`, `exit`, `oom`,
//! `recurse`, `flood:LINES`, `many:OUTPUTS`, `huge:BYTES`, `sleep:MS`, `spin:MS`, `to:TOPIC`, `drop`. Any word can stand
//! in `until:N:word`; what stands behind a space is ignored; an unknown word is as good as `ok`.

use std::time::{Duration, Instant};

use unruly::{Handled, Message, Output, wish};

unruly::guest!(handle);

fn handle(message: Message) -> Handled {
    let (word, argument) = wish(&message);
    let number = |default: u64| argument.parse().unwrap_or(default);
    match word.as_str() {
        "trap" => unruly::trap(),
        "loop" => unruly::spin(),
        "hang" => unruly::hang(),
        "panic" => panic!("asked for"),
        "exit" => std::process::exit(number(0) as i32),
        "oom" => unruly::eat_memory(),
        "recurse" => return unruly::answer(message, unruly::recurse(0).to_string()),
        "flood" => unruly::flood(number(100_000)),
        "many" => return unruly::many(number(100_000) as usize),
        "huge" => return unruly::huge(number(100_000_000) as usize),
        "sleep" => std::thread::sleep(Duration::from_millis(number(5))),
        "spin" => {
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(number(5)) {}
        }
        "to" => {
            let Message { key, payload, headers, .. } = message;
            return Ok(vec![Output { topic: Some(argument), key, payload, headers }]);
        }
        "drop" => return Ok(vec![]),
        _ => {}
    }
    unruly::fail(message)
}
