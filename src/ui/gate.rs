//! Who is let in: requests that only read, that mean this machine, and that know the token.

use std::fmt;

use hyper::{Method, Request, header::HOST};
use p256::elliptic_curve::rand_core::{OsRng, RngCore};
use subtle::ConstantTimeEq;

/// A random word of 128 bits that only who started the server knows.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A fresh one, from the system's randomness.
    pub fn fresh() -> Self {
        let mut bytes = [0; 16];
        OsRng.fill_bytes(&mut bytes);
        Self(hex::encode(bytes))
    }

    /// Compared in constant time: how long it takes tells nothing of where the difference is.
    fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }

    /// The word. It opens the pages, so it belongs on the terminal of whoever started the server and nowhere else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It wants to change something.
    Method,
    /// It was meant for another host: a name that was made to lead here.
    Host,
    /// It does not know the token.
    Token,
}

impl Refusal {
    /// What the browser shows; it names nothing of the project.
    pub fn message(self) -> &'static str {
        match self {
            Self::Method => "Nothing can be changed from here: only GET and HEAD are answered.\n",
            Self::Host => {
                "This server answers to 127.0.0.1 and localhost only. Open the address that `stagewright ui` printed.\n"
            }
            Self::Token => {
                "The address lacks the token, or has that of an earlier start. Open the whole address that `stagewright ui` \
                 printed in its terminal.\n"
            }
        }
    }
}

/// What a server lets in.
#[derive(Debug, Clone)]
pub struct Gate {
    token: Token,
    port: u16,
}

impl Gate {
    /// The gate of a server on a port.
    pub fn new(token: Token, port: u16) -> Self {
        Self { token, port }
    }

    /// Address of the first page.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}/{}/", self.port, self.token.reveal())
    }

    /// The path behind the token, without a slash at its beginning; none for the token without a slash behind it.
    pub fn admit<'a, B>(&self, request: &'a Request<B>) -> Result<Option<&'a str>, Refusal> {
        if !self.is_meant(request) {
            return Err(Refusal::Host);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(Refusal::Method);
        }
        let path = request.uri().path().strip_prefix('/').unwrap_or_default();
        let (token, rest) = path.split_once('/').map_or((path, None), |(token, rest)| (token, Some(rest)));
        if self.token.is(token) { Ok(rest) } else { Err(Refusal::Token) }
    }

    fn is_meant<B>(&self, request: &Request<B>) -> bool {
        let mut hosts = request.headers().get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let Ok(host) = host.to_str() else { return false };
        // A request to a proxy names its host in its first line too.
        request.uri().authority().is_none_or(|authority| authority.as_str() == host) && self.is_here(host)
    }

    fn is_here(&self, host: &str) -> bool {
        let (name, port) = host.rsplit_once(':').unwrap_or((host, "80"));
        ["127.0.0.1", "localhost"].contains(&name) && port == self.port.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn gate() -> Gate {
        Gate::new(Token("0123456789abcdef".to_owned()), 8620)
    }

    fn ask(method: &str, uri: &str, hosts: &[&str]) -> Result<Option<String>, Refusal> {
        let mut request = Request::builder().method(method).uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let request = request.body(()).unwrap();
        gate().admit(&request).map(|rest| rest.map(str::to_owned))
    }

    #[test]
    fn only_the_token_opens() {
        let here = ["127.0.0.1:8620"];
        assert_eq!(ask("GET", "/0123456789abcdef/", &here), Ok(Some(String::new())));
        assert_eq!(ask("HEAD", "/0123456789abcdef/run/x?y", &here), Ok(Some("run/x".to_owned())));
        assert_eq!(ask("GET", "/0123456789abcdef", &here), Ok(None));
        for wrong in [
            "/",
            "/x",
            "/0123456789abcde/",
            "/0123456789abcdeg/",
            "/0123456789abcdef0/",
            "//",
            "/favicon.ico",
        ] {
            assert_eq!(ask("GET", wrong, &here), Err(Refusal::Token), "{wrong}");
        }
        let (one, other) = (Token::fresh(), Token::fresh());
        assert!(one.is(one.reveal()) && !one.is(other.reveal()));
        assert_eq!(one.reveal().len(), 32);
        assert!(!format!("{one:?}").contains(one.reveal()));
    }

    #[test]
    fn only_reading_is_answered() {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"] {
            let uri = if method == "CONNECT" { "127.0.0.1:8620" } else { "/0123456789abcdef/" };
            assert_eq!(ask(method, uri, &["127.0.0.1:8620"]), Err(Refusal::Method), "{method}");
        }
    }

    #[test]
    fn a_name_that_was_made_to_lead_here_does_not_count() {
        let path = "/0123456789abcdef/";
        assert_eq!(ask("GET", path, &["localhost:8620"]), Ok(Some(String::new())));
        for host in [
            "evil.example:8620",
            "127.0.0.1:1",
            "127.0.0.1",
            "localhost",
            "127.0.0.1.evil.example:8620",
            "[::1]:8620",
            "",
        ] {
            assert_eq!(ask("GET", path, &[host]), Err(Refusal::Host), "{host}");
        }
        assert_eq!(ask("GET", path, &[]), Err(Refusal::Host));
        assert_eq!(ask("GET", path, &["127.0.0.1:8620", "127.0.0.1:8620"]), Err(Refusal::Host));
        let proxied = "http://evil.example:8620/0123456789abcdef/";
        assert_eq!(ask("GET", proxied, &["127.0.0.1:8620"]), Err(Refusal::Host));
    }
}
