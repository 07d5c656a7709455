//! The dashboard: one page, put together from the files beside this one when it is first asked for.
//!
//! Everything is inside it, so that a browser asks nobody but this host, and it may run and show only what is named here
//! by its digest: were a message's text ever to become markup, it would still do nothing. What the page shows it asks for
//! itself; it holds no data, and so may be given to whoever has no token yet.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::config::limits::{self, Bytes as Size, Count, Limit, Time};
use crate::config::units;

const INDEX: &str = include_str!("dashboard/index.html");
const STYLE: &str = include_str!("dashboard/style.css");

/// From the ground up: a file uses only what stands in those before it.
const SCRIPTS: [&str; 20] = [
    include_str!("dashboard/text.js"),
    include_str!("dashboard/dom.js"),
    include_str!("dashboard/history.js"),
    include_str!("dashboard/chart.js"),
    include_str!("dashboard/host.js"),
    include_str!("dashboard/ask.js"),
    include_str!("dashboard/words.js"),
    include_str!("dashboard/flow.js"),
    include_str!("dashboard/graphs.js"),
    include_str!("dashboard/overview.js"),
    include_str!("dashboard/budget.js"),
    include_str!("dashboard/versions.js"),
    include_str!("dashboard/swap.js"),
    include_str!("dashboard/trial.js"),
    include_str!("dashboard/parked.js"),
    include_str!("dashboard/where.js"),
    include_str!("dashboard/letters.js"),
    include_str!("dashboard/details.js"),
    include_str!("dashboard/plugin.js"),
    include_str!("dashboard/main.js"),
];

static PAGE: LazyLock<Page> = LazyLock::new(Page::new);

/// The page, with what a browser is told of it.
pub(super) fn page() -> Response {
    (PAGE.headers.clone(), PAGE.html.clone()).into_response()
}

struct Page {
    html: Bytes,
    headers: HeaderMap,
}

impl Page {
    fn new() -> Self {
        let script = SCRIPTS.join("\n");
        let html = INDEX
            .replace("{{style}}", STYLE)
            .replace("{{facts}}", &facts().to_string().replace('<', "\\u003c"))
            .replace("{{script}}", &script);
        Self { html: html.into(), headers: headers(&policy(&script, STYLE)) }
    }
}

fn headers(policy: &str) -> HeaderMap {
    // It is ASCII, so that it always fits; were it not, the browser would be allowed nothing at all.
    let policy = HeaderValue::from_str(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    let fixed = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let mut headers: HeaderMap =
        fixed.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers
}

/// What the page may do: run this script, look like this, talk to this host. `data:` is for its icon.
fn policy(script: &str, style: &str) -> String {
    let digest = |text: &str| format!("'sha256-{}'", BASE64.encode(Sha256::digest(text)));
    [
        "default-src 'none'".to_owned(),
        format!("script-src {}", digest(script)),
        format!("style-src {}", digest(style)),
        "connect-src 'self'".to_owned(),
        "img-src data:".to_owned(),
        "base-uri 'none'".to_owned(),
        "form-action 'none'".to_owned(),
        "frame-ancestors 'none'".to_owned(),
        "require-trusted-types-for 'script'".to_owned(),
    ]
    .join("; ")
}

/// What the page knows of budgets before it asks the host to change one, from the one home of the ranges.
fn facts() -> Value {
    let whole = |limit: &Limit<Count>| range(limit.min.0 as f64, limit.max.0 as f64, limit.to_string());
    let time =
        |limit: &Limit<Time>| range(limit.min.0.as_secs_f64(), limit.max.0.as_secs_f64(), limit.to_string());
    let size = |limit: &Limit<Size>| range(limit.min.0 as f64, limit.max.0 as f64, limit.to_string());
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "budget": {
            "concurrency": whole(&limits::CONCURRENCY),
            "burst": whole(&limits::BURST),
            "buffer": whole(&limits::BUFFER),
            "buffer_bytes": size(&limits::BUFFER_BYTES),
            "timeout": time(&limits::TIMEOUT),
            "cpu": time(&limits::CPU),
            "memory": size(&limits::MEMORY),
        },
        "words": { "rate": units::RATE, "duration": units::DURATION, "size": units::SIZE },
    })
}

/// A range in the page's units, which are seconds and bytes, and in words.
fn range(min: f64, max: f64, words: String) -> Value {
    json!({ "min": min, "max": max, "range": words })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands between `from` and `to`, which are there once.
    fn between<'t>(text: &'t str, from: &str, to: &str) -> &'t str {
        let (_, rest) = text.split_once(from).unwrap();
        let (inner, rest) = rest.split_once(to).unwrap();
        assert!(!rest.contains(from));
        inner
    }

    fn html() -> String {
        String::from_utf8(PAGE.html.to_vec()).unwrap()
    }

    #[test]
    fn what_the_browser_may_run_is_what_stands_in_the_page() {
        let html = html();
        let script = between(&html, "<script type=\"module\">", "</script>");
        let style = between(&html, "<style>", "</style>");
        let said = PAGE.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert_eq!(said, policy(script, style));
        assert!(said.starts_with("default-src 'none'; script-src 'sha256-"), "{said}");
        assert!(!said.contains("unsafe"), "{said}");
    }

    #[test]
    fn the_page_asks_nobody_but_its_host() {
        let html = html();
        // The name of SVG is no address: nobody fetches it.
        let addresses = html.replace("http://www.w3.org/2000/svg", "");
        for outside in ["http:", "https:", "//cdn", "@import", "url(", " src=", "integrity="] {
            assert!(!addresses.contains(outside), "the page holds `{outside}`");
        }
        assert!(!html.contains("{{"), "a place in the page was not filled");
    }

    #[test]
    fn data_never_becomes_markup() {
        for markup in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"]
        {
            assert!(!SCRIPTS.iter().any(|script| script.contains(markup)), "a script holds `{markup}`");
        }
    }

    #[test]
    fn the_ranges_are_those_of_the_config() {
        let html = html();
        let facts = between(&html, "<script type=\"application/json\" id=\"facts\">", "</script>");
        let facts: Value = serde_json::from_str(facts).unwrap();
        assert_eq!(facts["budget"]["concurrency"]["range"], "from `1` to `10000`");
        assert_eq!(facts["budget"]["cpu"]["min"], 0.005);
        assert_eq!(facts["budget"]["buffer_bytes"]["max"], 4_294_967_296.0);
        assert_eq!(facts["words"]["rate"], units::RATE);
    }
}
