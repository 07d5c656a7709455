//! What the guests for measuring share: the bindings, generated once.

#[allow(missing_docs, reason = "generated from ../../wit")]
pub mod bindings {
    wit_bindgen::generate!({
        world: "local:bench/plugin",
        path: ["../../wit", "wit"],
        generate_all,
        pub_export_macro: true,
    });
}

pub use bindings::exports::gristmill::plugin::handler::{Failure, Guest, Message, Output};
pub use bindings::wasi::config::store;
