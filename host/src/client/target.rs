//! Which host is asked: its URL and token, and where both come from, to be told when they do not work.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ureq::http::Uri;

/// A host's admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What stands before `/api`, without a slash at its end.
    pub url: String,
    /// Who says so, as it reads behind "from".
    pub url_from: String,
    /// The bearer token, if there is one.
    pub token: Option<Token>,
    /// Where to put a token that is missing, as it reads behind "set".
    pub token_place: String,
}

/// A bearer token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The token itself.
    pub secret: String,
    /// Who says so, as it reads behind "from".
    pub from: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token from {}", self.from)
    }
}

impl Target {
    /// The URL of a listener on this machine.
    pub fn url_of(listen: SocketAddr) -> String {
        let ip = match listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        format!("http://{}", SocketAddr::new(ip, listen.port()))
    }

    /// The URL that a user typed. `http://` may be left out.
    ///
    /// # Errors
    ///
    /// What would be right, when it is no URL of a host.
    pub fn read_url(text: &str) -> Result<String, String> {
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let expected =
            || "expected a URL such as `http://127.0.0.1:9650` or `https://host/gristmill`".to_owned();
        let url: Uri = whole.parse().map_err(|_| expected())?;
        let is_http = matches!(url.scheme_str(), Some("http" | "https"));
        let has_host = url.host().is_some_and(|host| !host.is_empty());
        if !is_http || !has_host || url.query().is_some() || whole.contains(['@', '#']) {
            return Err(expected());
        }
        Ok(whole.trim_end_matches('/').to_owned())
    }

    /// What a host says to this target's token, for people.
    pub(super) fn unauthorized(&self) -> String {
        match &self.token {
            Some(token) => format!(
                "the host at `{}` does not accept the token from {}\n  hint: it is the `token` under [admin] in the \
                 gristmill.toml that the host runs with",
                self.url, token.from
            ),
            None => format!(
                "the host at `{}` asks for a token, and there is none\n  hint: set {}",
                self.url, self.token_place
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_reached_on_this_machine() {
        let url = |listen: &str| Target::url_of(listen.parse().unwrap());
        assert_eq!(url("127.0.0.1:9650"), "http://127.0.0.1:9650");
        assert_eq!(url("0.0.0.0:80"), "http://127.0.0.1:80");
        assert_eq!(url("[::]:9650"), "http://[::1]:9650");
        assert_eq!(url("10.0.0.7:9650"), "http://10.0.0.7:9650");
    }

    #[test]
    fn urls_are_taken_as_people_type_them() {
        for (typed, url) in [
            ("http://127.0.0.1:9650", "http://127.0.0.1:9650"),
            ("127.0.0.1:9650", "http://127.0.0.1:9650"),
            ("mill.internal", "http://mill.internal"),
            ("[::1]:9650", "http://[::1]:9650"),
            ("https://mill.internal/gristmill/", "https://mill.internal/gristmill"),
        ] {
            assert_eq!(Target::read_url(typed).as_deref(), Ok(url));
        }
        for typed in ["", "http://", "ftp://host", "http://a b", "http://me:secret@host", "http://host/?a=b"]
        {
            assert!(Target::read_url(typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn a_token_is_never_shown() {
        let token = Token { secret: "hunter2".to_owned(), from: "GRISTMILL_TOKEN".to_owned() };
        let target = Target {
            url: "http://h".to_owned(),
            url_from: "--admin".to_owned(),
            token: Some(token),
            token_place: String::new(),
        };
        assert!(!format!("{target:?}").contains("hunter2"));
        assert!(target.unauthorized().contains("GRISTMILL_TOKEN"));
        assert!(!target.unauthorized().contains("hunter2"));
    }
}
