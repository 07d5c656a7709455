//! `[telemetry]`: where spans are sent, and of which traces.

use std::collections::BTreeMap;

use super::check::within;
use super::file;
use super::problem::Report;
use super::tree::At;
use super::value::Named;
use super::{Telemetry, limits, names};

/// What the collector is told that a host is which does not say.
const SERVICE_DEFAULT: &str = "gristmill";

/// Where spans go below what `otlp` says; OTLP's own path.
const TRACES_PATH: &str = "/v1/traces";

/// Headers that say how a request is written, which only its writer knows.
const HEADERS_OWNED: [&str; 6] =
    ["connection", "content-encoding", "content-length", "content-type", "host", "transfer-encoding"];

/// Checks the table. None when no spans are to be sent.
pub(super) fn check(written: Option<&file::Telemetry>, report: &mut Report) -> Option<Telemetry> {
    let written = written?;
    let sample = within(Some(&written.sample), &limits::SAMPLE, report).0;
    let headers = written.headers.value().map(|headers| headers_of(headers, report)).unwrap_or_default();
    if let Some(At { place, .. }) = written.service.given().filter(|service| service.value.is_empty()) {
        report.problem(place, "expected a name").found("`\"\"`");
    }
    note_unused(written, report);
    let otlp = written.otlp.given().filter(|otlp| !otlp.value.is_empty())?;
    let url = url(otlp, report)?;
    note_secrets(written, &url, report);
    let service = written.service.value().map_or(SERVICE_DEFAULT, String::as_str).to_owned();
    let keys = written.keys.value().is_some_and(|keys| keys.0);
    Some(Telemetry { url, headers, sample, service, keys })
}

/// The whole URL for one that may lack the path, unless it is none.
fn url(otlp: &At<String>, report: &mut Report) -> Option<String> {
    let At { value, place } = otlp;
    if parts(value).is_none() {
        let problem =
            report.problem(place, "expected the URL of a collector such as `http://localhost:4318`");
        // What stands before an `@` may be a secret.
        if !value.contains('@') {
            problem.found(format!("`\"{value}\"`"));
        }
        problem.hint(match value.split_once("://") {
            None => "begin with `http://` or `https://`",
            Some(("http" | "https", _)) => "a host, perhaps a port and a path; keys go into `headers`",
            Some(_) => "spans are sent by OTLP over HTTP: `http://` or `https://`",
        });
        return None;
    }
    let base = value.trim_end_matches('/');
    Some(if base.ends_with(TRACES_PATH) { base.to_owned() } else { format!("{base}{TRACES_PATH}") })
}

/// Scheme and address of a URL that is good.
fn parts(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let good_path = path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'"'));
    let good = matches!(scheme, "http" | "https") && names::is_address(address) && good_path;
    good.then_some((scheme, address))
}

fn headers_of(headers: &Named<String>, report: &mut Report) -> BTreeMap<String, String> {
    for (name, At { value, place }) in headers {
        // A value may be a secret: it is not shown.
        if !is_token(name) {
            report.problem(place, format!("`{name}` is not the name of a header")).hint("as in `api-key`");
        } else if HEADERS_OWNED.contains(&name.to_ascii_lowercase().as_str()) {
            report.problem(place, format!("the host sets `{name}` itself")).hint("remove it");
        } else if !value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            report.problem(place, "a header's value has letters, digits and signs of ASCII only");
        }
    }
    headers.iter().map(|(name, at)| (name.clone(), at.value.clone())).collect()
}

/// A name of HTTP's.
fn is_token(name: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_tchar)
}

fn note_unused(written: &file::Telemetry, report: &mut Report) {
    // Where it is there and empty, it is off for now.
    if !written.otlp.is_absent() {
        return;
    }
    let places = [
        written.headers.given().map(|at| &at.place),
        written.sample.given().map(|at| &at.place),
        written.service.given().map(|at| &at.place),
        written.keys.given().map(|at| &at.place),
    ];
    for place in places.into_iter().flatten() {
        let name = place.key.rsplit('.').next().unwrap_or(&place.key);
        report.note(place, format!("`{name}` has no effect without `otlp`"));
    }
}

fn note_secrets(written: &file::Telemetry, url: &str, report: &mut Report) {
    let is_here = |address: &str| {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        host == "localhost" || host == "[::1]" || host.starts_with("127.")
    };
    let in_the_clear = parts(url).is_some_and(|(scheme, address)| scheme == "http" && !is_here(address));
    if let Some(At { place, .. }) = written.headers.given().filter(|at| in_the_clear && !at.value.is_empty())
    {
        report.note(place, "the headers are sent unencrypted: a key in them asks for `https://` in `otlp`");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::check::{Checked, parse};
    use super::*;

    const PLUGIN: &str = "[plugins.p]\ncomponent = \"p.wasm\"\ntopics = [\"in\"]\n";

    fn checked(lines: &str) -> Result<Checked, String> {
        let text = format!("[telemetry]\n{lines}\n{PLUGIN}");
        let env = |name: &str| (name == "KEY").then(|| "s3cret".to_owned());
        parse(&text, Path::new("g.toml"), &env).map_err(|problems| problems.to_string())
    }

    fn telemetry(lines: &str) -> Option<Telemetry> {
        checked(lines).unwrap().config.telemetry
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let expected = Telemetry {
            url: "http://localhost:4318/v1/traces".to_owned(),
            headers: BTreeMap::new(),
            sample: 1.0,
            service: "gristmill".to_owned(),
            keys: false,
        };
        assert_eq!(telemetry("otlp = \"http://localhost:4318\""), Some(expected));
        assert_eq!(telemetry(""), None);
        assert_eq!(telemetry("otlp = \"\"\nsample = 0.1"), None);
    }

    #[test]
    fn what_is_said_holds() {
        let telemetry = telemetry(
            "otlp = \"https://c.example:4318/otlp/\"\nheaders = { api-key = \"${KEY}\" }\nsample = 0.25\n\
             service = \"mill\"\nkeys = true",
        );
        let telemetry = telemetry.unwrap();
        assert_eq!(telemetry.url, "https://c.example:4318/otlp/v1/traces");
        assert_eq!(telemetry.headers["api-key"], "s3cret");
        assert_eq!((telemetry.sample, telemetry.service.as_str(), telemetry.keys), (0.25, "mill", true));
        for (otlp, url) in [
            ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
            ("http://c/v1/traces", "http://c/v1/traces"),
            ("http://c:1/", "http://c:1/v1/traces"),
        ] {
            assert_eq!(self::telemetry(&format!("otlp = \"{otlp}\"")).unwrap().url, url);
        }
        assert_eq!(self::telemetry("otlp = \"http://c\"\nsample = 1").unwrap().sample, 1.0);
    }

    #[test]
    fn a_bad_url_is_told_with_its_place() {
        for bad in ["localhost:4318", "grpc://c:4317", "http://", "http://a b", "http://c:0/x"] {
            let told = checked(&format!("otlp = \"{bad}\"")).unwrap_err();
            let first = "g.toml:2:8: telemetry.otlp\n  expected the URL of a collector such as";
            assert!(told.starts_with(first) && told.contains(bad) && told.contains("hint"), "{told}");
        }
        let told = checked("otlp = \"http://u:s3cret@c\"").unwrap_err();
        assert!(told.contains("keys go into `headers`") && !told.contains("s3cret"), "{told}");
        assert!(checked("otlp = \"http://c/v1?key=x\"").unwrap_err().contains("keys go into `headers`"));
    }

    #[test]
    fn everything_else_that_is_wrong_is_told_and_no_secret_is_shown() {
        let told = checked(
            "otlp = \"http://localhost\"\nsample = 1.5\nservice = \"\"\nkey = true\n\
             headers = { \"a b\" = \"x\", Content-Type = \"y\", api-key = \"${KEY}\\n\" }",
        );
        let told = told.unwrap_err();
        for part in [
            "telemetry.sample\n  expected a value from `0` to `1`, found: `1.5`",
            "telemetry.service\n  expected a name",
            "unknown key `key`\n  hint: did you mean `keys`?",
            "`a b` is not the name of a header",
            "the host sets `Content-Type` itself",
            "a header's value has letters",
        ] {
            assert!(told.contains(part), "{part} is not in:\n{told}");
        }
        assert!(!told.contains("s3cret"), "{told}");
        let told = checked("sample = \"a lot\"").unwrap_err();
        assert!(told.contains("expected a number from `0` to `1`"), "{told}");
        assert!(checked("sample = nan").unwrap_err().contains("from `0` to `1`"));
    }

    #[test]
    fn what_is_probably_not_meant_is_noted() {
        let notes = |lines: &str| {
            let notes = checked(lines).unwrap().notes;
            notes.into_iter().map(|note| format!("{}: {}", note.key, note.what)).collect::<Vec<_>>()
        };
        assert_eq!(notes("sample = 0.5"), ["telemetry.sample: `sample` has no effect without `otlp`"]);
        let headers = "headers = { api-key = \"k\" }";
        assert_eq!(notes(&format!("otlp = \"http://c.example:4318\"\n{headers}")).len(), 1);
        for safe in ["https://c.example", "http://localhost:4318", "http://127.0.0.1:4318", "http://[::1]:1"]
        {
            assert_eq!(notes(&format!("otlp = \"{safe}\"\n{headers}")), Vec::<String>::new());
        }
    }
}
