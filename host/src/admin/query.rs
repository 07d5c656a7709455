//! The query of a request: its parameters by name, none twice and none that is not known, so that a slip of the pen does
//! not do something else than what was meant.

use std::borrow::Cow;
use std::str::FromStr;

use serde_json::Value;

use super::problem::Problem;
use crate::config::tree::{list, nearest};

/// A parameter that a route knows.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// What it is for.
    pub(super) says: &'static str,
    /// The JSON Schema of its value.
    pub(super) shape: fn() -> Value,
}

/// The parameters of one request.
#[derive(Debug)]
pub(super) struct Query<'q>(Vec<(&'static str, Cow<'q, [u8]>)>);

impl<'q> Query<'q> {
    /// Reads what stands behind the `?` of an address.
    pub(super) fn read(raw: Option<&'q str>, known: &[Parameter]) -> Result<Self, Problem> {
        let names = || known.iter().map(|parameter| parameter.name);
        let mut parameters: Vec<(&'static str, Cow<'q, [u8]>)> = Vec::new();
        for pair in raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name);
            let name = String::from_utf8_lossy(&name);
            let Some(name) = names().find(|other| *other == name) else {
                let hint = match nearest(&name, names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known here: {}", list(names())),
                };
                return Err(Problem::bad(format!("unknown parameter `{name}`")).hint(hint));
            };
            if parameters.iter().any(|(other, _)| *other == name) {
                return Err(Problem::bad(format!("the parameter `{name}` stands here twice")));
            }
            parameters.push((name, decode(value)));
        }
        Ok(Self(parameters))
    }

    /// The bytes of a parameter; none if it is not there.
    pub(super) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(other, _)| *other == name).map(|(_, value)| &**value)
    }

    /// The text of a parameter.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Problem> {
        let text = self.bytes(name).map(std::str::from_utf8).transpose();
        text.map_err(|_| Problem::bad(format!("the parameter `{name}` is not UTF-8")))
    }

    /// A parameter that `T` understands; `expected` says what that is.
    pub(super) fn parsed<T: FromStr>(&self, name: &str, expected: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let wrong = |_| Problem::bad(format!("`{name}`: expected {expected}, found: `{text}`"));
        text.parse().map(Some).map_err(wrong)
    }

    /// A parameter that is `true` or `false`, or has its default.
    pub(super) fn switch(&self, name: &str, default: bool) -> Result<bool, Problem> {
        Ok(self.parsed(name, "`true` or `false`")?.unwrap_or(default))
    }
}

/// Percent signs and pluses as forms have them. What is no such sign stands for itself, as in `5%`.
fn decode(text: &str) -> Cow<'_, [u8]> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        return Cow::Owned(percent_encoding::percent_decode_str(&spaced).collect());
    }
    percent_encoding::percent_decode_str(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Parameter; 3] = [
        Parameter { name: "canary", says: "", shape: || Value::Null },
        Parameter { name: "shadow", says: "", shape: || Value::Null },
        Parameter { name: "key", says: "", shape: || Value::Null },
    ];

    fn read(raw: &str) -> Result<Query<'_>, String> {
        Query::read(Some(raw), &KNOWN).map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn parameters_are_read_as_forms_write_them() {
        let query = read("canary=5%&shadow=true&key=a%20b+c%FF%00").unwrap();
        assert_eq!(query.text("canary").unwrap(), Some("5%"));
        assert!(query.switch("shadow", false).unwrap());
        assert_eq!(query.bytes("key"), Some(&b"a b c\xFF\0"[..]));
        assert!(query.text("key").is_err());
        let nothing = Query::read(None, &KNOWN).unwrap();
        assert!(nothing.bytes("key").is_none() && nothing.switch("key", true).unwrap());
        assert_eq!(read("key=&&").unwrap().bytes("key"), Some(&b""[..]));
    }

    #[test]
    fn what_is_not_known_or_stands_twice_is_refused() {
        assert!(read("canry=5").unwrap_err().contains("did you mean `canary`?"));
        assert!(read("zzz").unwrap_err().contains("known here: `canary`, `shadow`, `key`"));
        assert!(read("key=a&key=b").unwrap_err().contains("twice"));
        let said = format!("{:?}", read("shadow=1").unwrap().switch("shadow", false).unwrap_err());
        assert!(said.contains("`shadow`: expected `true` or `false`, found: `1`"), "{said}");
    }
}
