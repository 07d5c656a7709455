//! Completes an order: reads its items, adds what they cost with tax, and sends it on under the same key.
//!
//! In:  `{"id": "A-17", "customer": "Ada", "items": [{"sku": "pen", "quantity": 3, "unit_cents": 250}]}`
//! Out: the same object with `net_cents`, `tax_cents`, `total_cents`, `currency` and, if configured, `greeting`.
//!
//! Config: `tax_percent` ("20"), `currency` ("EUR"), `greeting` (none; "hello" becomes "hello, Ada").

use std::sync::OnceLock;

use exports::gristmill::plugin::handler::{Failure, Guest as Handler, Message, Output};
use exports::gristmill::plugin::lifecycle::Guest as Lifecycle;
use gristmill::plugin::types::Retry;
use serde_json::{Map, Value};
use wasi::config::store;

wit_bindgen::generate!({ world: "local:enrich/plugin", path: ["../../wit", "wit"], generate_all });

struct Enrich;
export!(Enrich);

impl Lifecycle for Enrich {
    /// A wrong setting stops the plugin from starting, instead of spoiling every message.
    fn start() -> Result<(), String> {
        settings().map(drop)
    }

    fn stop() {}
}

impl Handler for Enrich {
    fn handle_message(message: Message) -> Result<Vec<Output>, Failure> {
        let settings = settings().map_err(|reason| Failure::Retry(Retry { reason, after_ms: None }))?;
        // A bad order stays bad however often it is tried: reject it, and say where it is bad. A tombstone deletes
        // the order, so it deletes the completed one too.
        let payload = match &message.payload {
            Some(bytes) => Some(complete(bytes, settings).map_err(Failure::Reject)?),
            None => None,
        };
        Ok(vec![Output { topic: None, key: message.key, payload, headers: message.headers }])
    }
}

fn complete(payload: &[u8], settings: &Settings) -> Result<Vec<u8>, String> {
    let mut order: Map<String, Value> =
        serde_json::from_slice(payload).map_err(|error| format!("not a JSON object: {error}"))?;
    let net = net_cents(&order)?;
    let tax = net.checked_mul(settings.tax_percent).ok_or("the tax is more than can be counted")? / 100;
    let total = net.checked_add(tax).ok_or("the total is more than can be counted")?;

    if let Some(greeting) = &settings.greeting {
        let customer = order.get("customer").and_then(Value::as_str).unwrap_or("customer");
        order.insert("greeting".into(), format!("{greeting}, {customer}").into());
    }
    order.insert("net_cents".into(), net.into());
    order.insert("tax_cents".into(), tax.into());
    order.insert("total_cents".into(), total.into());
    order.insert("currency".into(), settings.currency.as_str().into());
    Ok(Value::Object(order).to_string().into_bytes())
}

fn net_cents(order: &Map<String, Value>) -> Result<u64, String> {
    let items = order.get("items").and_then(Value::as_array).ok_or("`items` is missing or not a list")?;
    let mut net = 0_u64;
    for (index, item) in items.iter().enumerate() {
        let number = |field: &str| {
            item.get(field)
                .and_then(Value::as_u64)
                .ok_or_else(|| format!("`items[{index}].{field}` is missing or not a whole number"))
        };
        net = number("quantity")?
            .checked_mul(number("unit_cents")?)
            .and_then(|cents| net.checked_add(cents))
            .ok_or_else(|| format!("`items[{index}]` costs more than can be counted"))?;
    }
    Ok(net)
}

struct Settings {
    tax_percent: u64,
    currency: String,
    greeting: Option<String>,
}

/// The settings, read once: they do not change while an instance lives.
fn settings() -> Result<&'static Settings, String> {
    static SETTINGS: OnceLock<Settings> = OnceLock::new();
    if let Some(settings) = SETTINGS.get() {
        return Ok(settings);
    }
    let tax_percent = match setting("tax_percent")? {
        Some(text) => {
            text.parse().map_err(|_| format!("config `tax_percent` is not a whole number: `{text}`"))?
        }
        None => 20,
    };
    let currency = setting("currency")?.unwrap_or_else(|| "EUR".into());
    let greeting = setting("greeting")?;
    Ok(SETTINGS.get_or_init(|| Settings { tax_percent, currency, greeting }))
}

fn setting(key: &str) -> Result<Option<String>, String> {
    store::get(key).map_err(|error| format!("config `{key}` cannot be read: {error:?}"))
}
