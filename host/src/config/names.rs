//! What may be a name: of a plugin, a topic, a group, a broker, an origin. Each check answers with what is wrong.

use super::limits::{GROUP_LENGTH_MAX, PLUGIN_NAME_LENGTH_MAX, TOPIC_LENGTH_MAX};
use super::problem::Report;
use super::tree::At;

/// Whether `name` may be a plugin's.
pub fn is_plugin(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    plain && (1..=PLUGIN_NAME_LENGTH_MAX).contains(&name.len())
}

/// Checks the name of one topic, by Kafka's rules.
pub fn check_topic(topic: &At<String>, report: &mut Report) {
    let name = topic.value.as_str();
    let what = if name.is_empty() || matches!(name, "." | "..") {
        "not a name that Kafka takes for a topic".to_owned()
    } else if name.len() > TOPIC_LENGTH_MAX {
        format!("a topic's name has at most {TOPIC_LENGTH_MAX} characters")
    } else if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) {
        "a topic's name has letters, digits, `.`, `_` and `-` only".to_owned()
    } else {
        return;
    };
    let problem = report.problem(&topic.place, what).found(format!("`\"{name}\"`"));
    if name.starts_with('^') {
        problem.hint("only `topics` takes regular expressions");
    }
}

/// Checks one of a plugin's `topics`: a name, or `^` and a regular expression.
pub fn check_subscription(topic: &At<String>, report: &mut Report) {
    match topic.value.strip_prefix('^') {
        None => check_topic(topic, report),
        Some("") => {
            report.problem(&topic.place, "a regular expression is missing after `^`").found("`\"^\"`");
        }
        // librdkafka brings its own expressions; it answers for the rest when it subscribes.
        Some(_) => {}
    }
}

/// Checks the name of a consumer group.
pub fn check_group(group: &At<String>, report: &mut Report) {
    if group.value.is_empty() || group.value.len() > GROUP_LENGTH_MAX {
        report.problem(&group.place, format!("a group's name has 1 to {GROUP_LENGTH_MAX} bytes"));
    }
}

/// Checks the address of one broker.
pub fn check_broker(broker: &At<String>, report: &mut Report) {
    if !is_broker(&broker.value) {
        report
            .problem(&broker.place, "expected the address of a broker such as `localhost:9092`")
            .found(format!("`\"{}\"`", broker.value))
            .hint("one address each, as in `[\"one:9092\", \"two:9092\"]`");
    }
}

/// `host`, `host:port` or `[address]:port`, each perhaps behind a protocol as in `SSL://host:port`.
fn is_broker(address: &str) -> bool {
    is_address(address.split_once("://").map_or(address, |(_, address)| address))
}

/// `host`, `host:port` or `[address]:port`.
pub(super) fn is_address(address: &str) -> bool {
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (address, None),
    };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let good_host = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_host(host),
    };
    good_host && port.is_none_or(is_port)
}

fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

fn is_port(port: &str) -> bool {
    port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Checks one origin of `allow.http`: scheme, host and perhaps a port, nothing behind.
pub fn check_origin(origin: &At<String>, report: &mut Report) {
    let address = origin.value.strip_prefix("https://").or_else(|| origin.value.strip_prefix("http://"));
    if !address.is_some_and(is_broker) {
        report
            .problem(&origin.place, "expected an origin such as `https://crm.example.com`")
            .found(format!("`\"{}\"`", origin.value))
            .hint("a scheme, a host and perhaps a port, without a path");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_and_plugins() {
        for good in ["localhost:9092", "kafka", "10.0.0.1:1", "[::1]:9092", "[::1]", "SSL://b-1.kafka:9094"] {
            assert!(is_broker(good), "{good}");
        }
        for bad in ["", ":9092", "a:0", "a:b", "a:70000", "a:1,b:2", "a b:1", "[::1", "::1", "a:9092/x"] {
            assert!(!is_broker(bad), "{bad}");
        }
        assert!(is_plugin("Enrich_2-x") && is_plugin(&"a".repeat(64)));
        assert!(!is_plugin("") && !is_plugin("a.b") && !is_plugin("é") && !is_plugin(&"a".repeat(65)));
    }
}
