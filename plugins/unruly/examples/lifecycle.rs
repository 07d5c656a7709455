//! Says on stdout when it starts and stops, and forwards in between. Config: `start` and `stop`, each `ok`, `trap` or
//! `hang`; `start` also `fail`.

use std::sync::atomic::{AtomicU64, Ordering};

use bindings::exports::gristmill::plugin::handler::{Failure, Guest as Handler, Message, Output};
use bindings::exports::gristmill::plugin::lifecycle::Guest as Lifecycle;
use bindings::wasi::config::store;

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package local:lifecycle;
            world plugin {
                include gristmill:plugin/processor@0.1.0;
                export gristmill:plugin/lifecycle@0.1.0;
                import wasi:config/store@0.2.0-rc.1;
            }
        ",
        generate_all,
    });
}

struct Plugin;
bindings::export!(Plugin with_types_in bindings);

static HANDLED: AtomicU64 = AtomicU64::new(0);

impl Lifecycle for Plugin {
    fn start() -> Result<(), String> {
        match setting("start").as_str() {
            "fail" => return Err("asked to fail by config `start`".into()),
            "trap" => unruly::trap(),
            "hang" => unruly::hang(),
            _ => println!("started"),
        }
        Ok(())
    }

    fn stop() {
        match setting("stop").as_str() {
            "trap" => unruly::trap(),
            "hang" => unruly::hang(),
            _ => println!("stopped after {} messages", HANDLED.load(Ordering::Relaxed)),
        }
    }
}

impl Handler for Plugin {
    fn handle_message(message: Message) -> Result<Vec<Output>, Failure> {
        HANDLED.fetch_add(1, Ordering::Relaxed);
        let Message { key, payload, headers, .. } = message;
        Ok(vec![Output { topic: None, key, payload, headers }])
    }
}

fn setting(key: &str) -> String {
    store::get(key).ok().flatten().unwrap_or_default()
}
