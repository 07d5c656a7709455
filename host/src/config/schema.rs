//! The JSON Schema of `gristmill.toml`, made from the types that read it, so that editors complete and explain keys.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::file::{self, File};
use super::limits::{Bytes, Count, Share, Time};
use super::tree::{At, Field};
use super::value::{Listen, Options, Switch};
use super::{Rate, Start};

/// Where a string may hold any variable, an editor cannot know what will stand there.
const VARIABLE: &str = r"\$\{";
const DURATION: &str = r"^[0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d)$|\$\{";
const SIZE: &str = r"^[0-9]+(\.[0-9]+)?\s*(B|kB|KiB|MB|MiB|GB|GiB)$|^[0-9]+$|\$\{";
const RATE: &str = r"^[0-9]+(\.[0-9]+)?[kM]?\s*/\s*(s|min|h|day)$|\$\{";
const START: &str = r"^(earliest|latest)$|^[0-9]{4}-[0-9]{2}-[0-9]{2}|\$\{";

/// The JSON Schema (draft 2020-12) of `gristmill.toml`.
pub fn json_schema() -> serde_json::Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<File>();
    schema.insert("title".to_owned(), "gristmill.toml".into());
    schema.to_value()
}

/// The JSON Schema of a budget that is changed while the host runs: any of its keys. There is nothing to fill in, so what
/// an editor has to let through because of variables is refused, and `null` lifts the rate.
pub fn budget_patch() -> serde_json::Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<file::Budget>().to_value();
    if let Some(table) = schema.as_object_mut() {
        table.retain(|key, _| ["type", "properties", "additionalProperties"].contains(&key.as_str()));
        table.insert(
            "description".to_owned(),
            "Any of the keys of a budget; what is left out stays as it is.".into(),
        );
    }
    let mut keys = schema.get_mut("properties").and_then(serde_json::Value::as_object_mut);
    if let Some(keys) = &mut keys {
        // Whether changes are kept is the config's alone.
        keys.remove("keep");
    }
    for (key, says) in keys.into_iter().flatten() {
        let Some(says) = says.as_object_mut() else { continue };
        says.remove("default");
        let pattern = says.remove("pattern");
        match pattern.as_ref().and_then(serde_json::Value::as_str) {
            Some(VARIABLE) => drop(says.insert("type".to_owned(), "integer".into())),
            Some(pattern) => drop(says.insert("pattern".to_owned(), without_variable(pattern).into())),
            None => {}
        }
        if key == "rate" {
            says.insert("type".to_owned(), serde_json::json!(["string", "null"]));
        }
    }
    schema
}

/// A pattern that lets no variable through.
fn without_variable(pattern: &str) -> String {
    pattern.replace(&format!("|{VARIABLE}"), "")
}

/// Gives single values a schema that stands where they are used.
macro_rules! inline {
    ($($type:ty => $schema:tt)*) => {$(
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

inline! {
    Switch => { "type": ["boolean", "string"], "pattern": VARIABLE }
    Count => { "type": ["integer", "string"], "minimum": 0, "pattern": VARIABLE }
    Share => { "type": ["number", "string"], "minimum": 0, "maximum": 1, "pattern": VARIABLE }
    Time => { "type": "string", "pattern": DURATION }
    Bytes => { "type": ["integer", "string"], "minimum": 0, "pattern": SIZE }
    Rate => { "type": "string", "pattern": RATE }
    Start => { "type": "string", "pattern": START }
    Listen => { "type": "string" }
    Options => {
        "type": "object",
        "additionalProperties": { "type": ["string", "integer", "number", "boolean", "object"] }
    }
}

/// What a key says is what its value says.
macro_rules! transparent {
    ($($wrapper:ident)*) => {$(
        impl<T: JsonSchema> JsonSchema for $wrapper<T> {
            fn inline_schema() -> bool {
                T::inline_schema()
            }

            fn schema_name() -> Cow<'static, str> {
                T::schema_name()
            }

            fn schema_id() -> Cow<'static, str> {
                T::schema_id()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                T::json_schema(generator)
            }
        }
    )*};
}

transparent! { At Field }

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::{check, file};
    use super::*;

    /// The schema of a table of the file by its path, wherever the generator put it.
    fn table<'s>(schema: &'s Value, path: &[&str]) -> &'s Value {
        path.iter().fold(schema, |table, key| {
            let below = if *key == "*" { &table["additionalProperties"] } else { &table["properties"][key] };
            match below["$ref"].as_str() {
                Some(link) => schema.pointer(link.trim_start_matches('#')).unwrap(),
                None => below,
            }
        })
    }

    #[test]
    fn schema_and_parser_know_the_same_keys() {
        let schema = json_schema();
        let tables: [(&[&str], &[&str]); 11] = [
            (&[], file::File::KEYS),
            (&["kafka"], file::Kafka::KEYS),
            (&["host"], file::Host::KEYS),
            (&["admin"], file::Admin::KEYS),
            (&["telemetry"], file::Telemetry::KEYS),
            (&["plugins", "*"], file::Plugin::KEYS),
            (&["plugins", "*", "budget"], file::Budget::KEYS),
            (&["plugins", "*", "retry"], file::Retry::KEYS),
            (&["plugins", "*", "failure"], file::Failure::KEYS),
            (&["plugins", "*", "batchers", "*"], file::Batcher::KEYS),
            (&["plugins", "*", "allow"], file::Allow::KEYS),
        ];
        for (path, keys) in tables {
            let table = table(&schema, path);
            let mut known = keys.to_vec();
            known.sort_unstable();
            let mut listed: Vec<&str> =
                table["properties"].as_object().unwrap().keys().map(String::as_str).collect();
            listed.sort_unstable();
            assert_eq!(listed, known, "{path:?}");
            assert_eq!(table["additionalProperties"], false, "{path:?}");
            for (key, says) in table["properties"].as_object().unwrap() {
                assert!(says["description"].is_string(), "{path:?} {key}");
            }
        }
        let mut required = table(&schema, &["plugins", "*"])["required"].as_array().unwrap().clone();
        required.sort_unstable_by_key(ToString::to_string);
        assert_eq!(required, ["component", "topics"]);
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    }

    #[test]
    fn a_change_of_a_budget_may_say_what_is_taken_and_no_variable() {
        let schema = budget_patch();
        let keys: Vec<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        let mut known = file::Budget::KEYS.to_vec();
        known.retain(|key| *key != "keep");
        known.sort_unstable();
        assert_eq!(keys, known);
        assert_eq!(schema["additionalProperties"], false);
        let key = |key: &str| schema["properties"][key].clone();
        assert_eq!(
            (&key("concurrency")["type"], &key("concurrency")["maximum"]),
            (&"integer".into(), &10_000.into())
        );
        assert_eq!(key("rate")["type"], serde_json::json!(["string", "null"]));
        assert_eq!(key("timeout")["pattern"], r"^[0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d)$");
        assert_eq!(key("memory")["type"], serde_json::json!(["integer", "string"]));
        assert_eq!(key("scope")["enum"], serde_json::json!(["instance", "group"]));
        let text = schema.to_string();
        assert!(!text.contains(r"\$\{") && !text.contains("default"), "{text}");
    }

    /// Writes every default of a table as TOML.
    fn defaults(schema: &Value, path: &[&str]) -> String {
        let properties = table(schema, path)["properties"].as_object().unwrap();
        let lines =
            properties.iter().filter_map(|(key, says)| Some(format!("{key} = {}\n", says.get("default")?)));
        lines.collect()
    }

    #[test]
    fn the_schemas_defaults_are_those_that_hold() {
        let schema = json_schema();
        let least = "[plugins.p]\ncomponent = \"p\"\ntopics = [\"t\"]\n";
        let written = format!(
            "{least}{}[plugins.p.budget]\n{}[kafka]\n{}[host]\n{}[admin]\n{}[telemetry]\n{}",
            defaults(&schema, &["plugins", "*"]),
            defaults(&schema, &["plugins", "*", "budget"]),
            defaults(&schema, &["kafka"]),
            defaults(&schema, &["host"]),
            defaults(&schema, &["admin"]),
            defaults(&schema, &["telemetry"]),
        );
        let config = |text: &str| {
            let checked = check::parse(text, std::path::Path::new("g.toml"), &|_| None);
            format!("{:?}", checked.map(|checked| checked.config))
        };
        let plain = config(least);
        assert!(plain.starts_with("Ok("), "{plain}");
        assert_eq!(config(&written), plain);
        assert!(written.contains("timeout = \"30s\"") && written.contains("listen = "), "{written}");
    }
}
