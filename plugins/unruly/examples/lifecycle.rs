//! Says on stdout when it starts and stops, and forwards in between. Config: `start` and `stop`, each `ok`, `trap` or
//! `hang`; `start` also `fail`.

use std::sync::atomic::{AtomicU64, Ordering};

use bindings::exports::gristmill::plugin::handler::Guest as Handler;
use bindings::exports::gristmill::plugin::lifecycle::Guest as Lifecycle;
use unruly::{Handled, Message, setting};

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
        with: {
            "gristmill:plugin/types@0.1.0": unruly::bindings::gristmill::plugin::types,
            "wasi:config/store@0.2.0-rc.1": unruly::bindings::wasi::config::store,
        },
    });
}

struct Plugin;
bindings::export!(Plugin with_types_in bindings);

static HANDLED: AtomicU64 = AtomicU64::new(0);

impl Lifecycle for Plugin {
    fn start() -> Result<(), String> {
        match setting("start").unwrap_or_default().as_str() {
            "fail" => return Err("asked to fail by config `start`".into()),
            "trap" => unruly::trap(),
            "hang" => unruly::hang(),
            _ => println!("started"),
        }
        Ok(())
    }

    fn stop() {
        match setting("stop").unwrap_or_default().as_str() {
            "trap" => unruly::trap(),
            "hang" => unruly::hang(),
            _ => println!("stopped after {} messages", HANDLED.load(Ordering::Relaxed)),
        }
    }
}

impl Handler for Plugin {
    fn handle_message(message: Message) -> Handled {
        HANDLED.fetch_add(1, Ordering::Relaxed);
        unruly::forward(message)
    }
}
