//! A record as one line of JSON: its fields by their WIT names; bytes as a string where they are UTF-8, else
//! `{"base64": "…"}`; absent or null is none. What is done with a line is the business of who reads it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use crate::message::{HeaderRef, MessageRef};
use crate::outcome::OutputRecord;

/// A header's name and value.
pub type Header = (String, Option<Vec<u8>>);

/// A record as a line has it; what the line leaves out is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The topic that a message was read from, or that an output goes to.
    pub topic: Option<String>,
    /// The partition of the topic.
    pub partition: Option<i32>,
    /// The offset in the partition.
    pub offset: Option<i64>,
    /// Milliseconds since the Unix epoch.
    pub timestamp: Option<i64>,
    /// The key; none and empty differ.
    pub key: Option<Vec<u8>>,
    /// The payload; none (a tombstone) and empty differ.
    pub payload: Option<Vec<u8>>,
    /// Names and values, in their order.
    pub headers: Vec<Header>,
}

/// A message with everything that is known of it.
pub fn message(message: MessageRef<'_>) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("topic".into(), message.topic().into());
    object.insert("partition".into(), message.partition().into());
    object.insert("offset".into(), message.offset().into());
    object.insert("timestamp".into(), message.timestamp().into());
    object.insert("key".into(), bytes(message.key()));
    object.insert("payload".into(), bytes(message.payload()));
    object.insert("headers".into(), message.headers().map(header).collect());
    object
}

/// An output.
pub fn output(output: &OutputRecord) -> Value {
    let headers = output.headers.iter();
    let headers: Value =
        headers.map(|(name, value)| header(HeaderRef { name, value: value.as_deref() })).collect();
    json!({
        "topic": output.topic,
        "key": bytes(output.key.as_deref()),
        "payload": bytes(output.payload.as_deref()),
        "headers": headers,
    })
}

/// A key, payload or header's value.
pub fn bytes(bytes: Option<&[u8]>) -> Value {
    match bytes.map(std::str::from_utf8) {
        None => Value::Null,
        Some(Ok(text)) => text.into(),
        Some(Err(_)) => json!({ "base64": BASE64.encode(bytes.unwrap_or_default()) }),
    }
}

/// A header; bytes of its name that are not UTF-8 become U+FFFD, as a guest sees them.
fn header(header: HeaderRef<'_>) -> Value {
    json!({ "name": String::from_utf8_lossy(header.name), "value": bytes(header.value) })
}

/// Reads the record that `value` is. Fields that a record does not have are left to the caller.
///
/// # Errors
///
/// Which field is wrong, and what was expected of it.
pub fn read(value: &Value) -> Result<Line, String> {
    let object = value.as_object().ok_or_else(|| expected("a JSON object", value))?;
    let field = |name: &str| object.get(name).unwrap_or(&Value::Null);
    let named = |name: &'static str| move |what: String| format!("`{name}`: {what}");
    let topic = field("topic");
    let partition = whole(field("partition")).map_err(named("partition"))?;
    Ok(Line {
        topic: read_text(topic).map_err(named("topic"))?,
        partition: partition
            .map(|number| i32::try_from(number).map_err(|_| expected("a partition's number", &number.into())))
            .transpose()
            .map_err(named("partition"))?,
        offset: whole(field("offset")).map_err(named("offset"))?,
        timestamp: whole(field("timestamp")).map_err(named("timestamp"))?,
        key: read_bytes(field("key")).map_err(named("key"))?,
        payload: read_bytes(field("payload")).map_err(named("payload"))?,
        headers: read_headers(field("headers")).map_err(named("headers"))?,
    })
}

/// Reads a key, payload or header's value.
///
/// # Errors
///
/// What was expected instead.
pub fn read_bytes(value: &Value) -> Result<Option<Vec<u8>>, String> {
    let coded = match value {
        Value::Null => return Ok(None),
        Value::String(text) => return Ok(Some(text.clone().into_bytes())),
        Value::Object(object) if object.len() == 1 => object.get("base64").and_then(Value::as_str),
        _ => None,
    };
    let coded = coded.ok_or_else(|| expected("a string, {\"base64\": \"…\"} or null", value))?;
    BASE64.decode(coded).map(Some).map_err(|error| format!("`{coded}` is not base64: {error}"))
}

fn read_headers(value: &Value) -> Result<Vec<Header>, String> {
    let headers = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(headers) => headers,
        _ => return Err(expected("an array of {\"name\": …, \"value\": …}", value)),
    };
    let read = |header: &Value| {
        let name = header.get("name").and_then(Value::as_str);
        let name = name.ok_or_else(|| expected("{\"name\": …, \"value\": …}", header))?;
        Ok((name.to_owned(), read_bytes(header.get("value").unwrap_or(&Value::Null))?))
    };
    headers.iter().map(read).collect()
}

fn read_text(value: &Value) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(expected("a string", value)),
    }
}

fn whole(value: &Value) -> Result<Option<i64>, String> {
    match value {
        Value::Null => Ok(None),
        _ => value.as_i64().map(Some).ok_or_else(|| expected("a whole number", value)),
    }
}

fn expected(what: &str, found: &Value) -> String {
    format!("expected {what}, found: `{found}`")
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::message::Batch;

    #[test]
    fn a_message_is_written_and_read_back() {
        let headers = [("trace", Some(&b"\xff\x00"[..])), ("gone", None), ("trace", Some(b"again"))];
        let mut batch = Batch::new("orders".into(), 3, Instant::now());
        let refs = headers.map(|(name, value)| HeaderRef { name: name.as_bytes(), value });
        batch.push(7, Some(12), (Some("k\u{fc}".as_bytes()), Some(b"\xfe")), refs);
        let written = Value::Object(message(batch.get(0)));
        assert_eq!(
            written,
            json!({
                "topic": "orders", "partition": 3, "offset": 7, "timestamp": 12, "key": "kü",
                "payload": {"base64": "/g=="},
                "headers": [{"name": "trace", "value": {"base64": "/wA="}}, {"name": "gone", "value": null},
                            {"name": "trace", "value": "again"}],
            })
        );
        let line = read(&written).unwrap();
        assert_eq!((line.topic.as_deref(), line.partition, line.offset), (Some("orders"), Some(3), Some(7)));
        assert_eq!((line.timestamp, line.key), (Some(12), Some("kü".into())));
        assert_eq!(line.payload, Some(vec![0xfe]));
        assert_eq!(line.headers, headers.map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec))));
    }

    #[test]
    fn an_output_is_written_and_read_back() {
        for (key, payload) in
            [(None, Some(vec![])), (Some(vec![]), None), (Some(vec![0xff]), Some(b"{}".to_vec()))]
        {
            let headers = vec![(b"a".to_vec(), Some(vec![0xc0])), (b"b".to_vec(), None)];
            let record = OutputRecord { topic: Some("out".into()), key, payload, headers };
            let line = read(&output(&record)).unwrap();
            let back = OutputRecord {
                topic: line.topic,
                key: line.key,
                payload: line.payload,
                headers: line.headers.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect(),
            };
            assert_eq!(back, record);
        }
    }

    #[test]
    fn what_is_left_out_is_none_and_what_is_wrong_is_named() {
        assert_eq!(read(&json!({})), Ok(Line::default()));
        assert_eq!(read(&json!({"payload": {"base64": ""}})).unwrap().payload, Some(vec![]));
        for (wrong, says) in [
            (json!([]), "expected a JSON object, found: `[]`"),
            (json!({"key": 7}), "`key`: expected a string, {\"base64\": \"…\"} or null, found: `7`"),
            (json!({"payload": {"base64": "*"}}), "`payload`: `*` is not base64"),
            (json!({"partition": 1_i64 << 40}), "`partition`: expected a partition's number"),
            (json!({"headers": [{"value": "x"}]}), "`headers`: expected {\"name\": …, \"value\": …}"),
        ] {
            let error = read(&wrong).unwrap_err();
            assert!(error.starts_with(says), "{error}");
        }
    }
}
