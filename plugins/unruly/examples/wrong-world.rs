//! A component, but not a plugin: exports something else.

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package local:wrong-world;
        world plugin {
            export run: func() -> string;
        }
    ",
});

struct Plugin;
export!(Plugin);

impl Guest for Plugin {
    fn run() -> String {
        "not a plugin".into()
    }
}
