//! A plugin that imports what nobody provides: `nobody:provides/this`.

use exports::gristmill::plugin::handler::{Failure, Guest, Message, Output};
use nobody::provides::this;

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package local:unprovided;
        world plugin {
            include gristmill:plugin/processor@0.1.0;
            import nobody:provides/this@1.0.0;
        }
        package nobody:provides@1.0.0 {
            interface this {
                answer: func() -> u32;
            }
        }
    ",
    generate_all,
});

struct Plugin;
export!(Plugin);

impl Guest for Plugin {
    fn handle_message(message: Message) -> Result<Vec<Output>, Failure> {
        let payload = Some(this::answer().to_string().into_bytes());
        Ok(vec![Output { topic: None, key: message.key, payload, headers: message.headers }])
    }
}
