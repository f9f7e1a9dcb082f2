//! Outgoing requests. Each has a time limit, and each failure is explained in words.

use crate::{clock::Stopwatch, failure::Failure};
use serde_json::Value;
use std::{io, net::IpAddr, time::Duration};

/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A client with one time limit for everything from connecting to the last byte.
#[derive(Clone, Debug)]
pub struct Http {
    agent: ureq::Agent,
    limit: Duration,
}

/// A request.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// `GET`, `POST`, `PUT`, `DELETE`.
    pub method: &'static str,
    /// The whole address.
    pub url: String,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// The body, if any.
    pub body: Option<Vec<u8>>,
    /// Hangs up after that time, in place of the client's own limit.
    pub limit: Option<Duration>,
}

impl Ask {
    /// A GET of that address.
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            method: "GET",
            url: url.into(),
            ..Self::default()
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a bearer token.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// Sets the method and a JSON body.
    pub fn json(mut self, method: &'static str, body: &Value) -> Self {
        self.method = method;
        self.body = Some(body.to_string().into_bytes());
        self.header("content-type", "application/json")
    }
}

/// An answer of any status.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub code: u16,
    /// Header names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// From connecting to the last byte.
    pub took_ms: f64,
    /// Where the key came from that was asked with, if that is known.
    pub key_from: Option<String>,
}

impl Reply {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The member `status` of a relay's answer.
    pub fn status(&self) -> String {
        text(&self.json(), "/status").to_owned()
    }
}

/// The text at that place, or an empty one.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The list at that place, or an empty one.
pub fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

impl Http {
    /// A client whose requests end after that time.
    pub fn new(limit: Duration) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // A redirect would send the secrets in the headers to another address.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(limit))
            .user_agent(concat!("relayctl/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        Self { agent, limit }
    }

    /// Makes the request. The error says why there is no answer; it names the host and nothing secret.
    pub fn call(&self, ask: &Ask) -> Result<Reply, Failure> {
        let watch = Stopwatch::start();
        let answered = match (ask.method, &ask.body) {
            ("GET", _) => with_headers(self.agent.get(&ask.url), ask).call(),
            ("DELETE", None) => with_headers(self.agent.delete(&ask.url), ask).call(),
            ("DELETE", Some(body)) => with_headers(self.agent.delete(&ask.url), ask)
                .force_send_body()
                .send(body.as_slice()),
            ("PUT", body) => with_headers(self.agent.put(&ask.url), ask)
                .send(body.as_deref().unwrap_or_default()),
            ("PATCH", body) => with_headers(self.agent.patch(&ask.url), ask)
                .send(body.as_deref().unwrap_or_default()),
            (_, body) => with_headers(self.agent.post(&ask.url), ask)
                .send(body.as_deref().unwrap_or_default()),
        };
        let mut answer = answered.map_err(|error| self.explain(&ask.url, &error))?;
        let body = answer
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_vec()
            .map_err(|error| self.explain(&ask.url, &error))?;
        let headers = answer
            .headers()
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            })
            .collect();
        Ok(Reply {
            code: answer.status().as_u16(),
            headers,
            body,
            took_ms: watch.elapsed_ms(),
            key_from: None,
        })
    }

    fn explain(&self, url: &str, error: &ureq::Error) -> Failure {
        let host = host(url);
        match error {
            ureq::Error::Timeout(_) => Failure::new(
                format!("{host} did not answer within {} s", self.limit.as_secs()),
                "check the address and the network; --timeout SECONDS waits longer",
            ),
            ureq::Error::HostNotFound => Failure::new(
                format!("there is no host {host}"),
                "check the spelling of the address and the name service",
            ),
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => Failure::usage(
                format!("{} is not an address", without_query(url)),
                "write it as https://host or http://127.0.0.1:port",
            ),
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Failure::new(
                    format!("nothing listens at {host}"),
                    "start what should answer there (`make dev` for a relay on this machine), or name another address",
                )
            }
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => Failure::new(
                format!("{host} did not answer within {} s", self.limit.as_secs()),
                "check the address and the network; --timeout SECONDS waits longer",
            ),
            error => Failure::new(
                format!("{host} could not be asked: {error}"),
                "check the address and the network; a proxy goes into HTTPS_PROXY",
            ),
        }
    }
}

fn with_headers<Kind>(
    mut request: ureq::RequestBuilder<Kind>,
    ask: &Ask,
) -> ureq::RequestBuilder<Kind> {
    for (name, value) in &ask.headers {
        request = request.header(name, value);
    }
    match ask.limit {
        None => request,
        limit => request.config().timeout_global(limit).build(),
    }
}

/// Host and port of an address.
pub fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    rest.get(..end).unwrap_or(rest)
}

/// Whether the address is on this machine. It is read as the client reads it. Beside the host it has a port and nothing
/// else: a user name is there to look like a host.
pub fn is_loopback(url: &str) -> bool {
    let Ok(url) = url.parse::<ureq::http::Uri>() else {
        return false;
    };
    let Some(authority) = url.authority() else {
        return false;
    };
    let host = authority.host();
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let is_local = host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    let rest = authority.as_str().strip_prefix(host);
    let is_plain = rest.is_some_and(|rest| {
        rest.is_empty()
            || rest
                .strip_prefix(':')
                .is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
    });
    is_local && is_plain
}

/// Whether something private may be sent there: https anywhere, http on this machine only; no user name.
pub fn is_private(url: &str) -> bool {
    let is_https = url.starts_with("https://") && !host(url).contains('@');
    is_https || (url.starts_with("http://") && is_loopback(url))
}

fn without_query(url: &str) -> &str {
    url.split_once('?').map_or(url, |(start, _)| start)
}

/// Whether what follows the host, if anything does, is a port.
fn has_good_port(host: &str) -> bool {
    let after_brackets = host.rsplit_once(']').map_or(host, |(_, rest)| rest);
    after_brackets
        .rsplit_once(':')
        .is_none_or(|(_, port)| port.parse::<u16>().is_ok())
}

/// Refuses what is no address, and says what is wrong with it.
pub fn check_url(url: &str) -> Result<(), Failure> {
    let Some((scheme, rest)) = url.split_once("://") else {
        let scheme = if is_loopback(&format!("http://{url}")) {
            "http"
        } else {
            "https"
        };
        return Err(Failure::usage(
            format!("\"{url}\" is not an address: https:// is missing"),
            format!("did you mean {scheme}://{url} ?"),
        ));
    };
    let problem = if !["http", "https"].contains(&scheme) {
        format!("{scheme}:// is not https:// or http://")
    } else if rest.contains(char::is_whitespace) {
        "there is a space in it".to_owned()
    } else if host(url).is_empty() {
        "it names no host".to_owned()
    } else if url.parse::<ureq::http::Uri>().is_err() || !has_good_port(host(url)) {
        format!("{} is no host and port", host(url))
    } else {
        return Ok(());
    };
    Err(Failure::usage(
        format!("\"{}\" is not an address: {problem}", without_query(url)),
        "write it as https://host or http://127.0.0.1:port",
    ))
}

/// The same of an address that need not be given.
pub fn check_given(url: Option<&str>) -> Result<(), Failure> {
    url.filter(|url| !url.is_empty()).map_or(Ok(()), check_url)
}

/// The relay's address without the path of a route, so that a user may give either.
pub fn relay_base(url: &str) -> &str {
    let url = url.trim().trim_end_matches('/');
    [
        "/api/webhooks/clerk",
        "/api/webhooks/nylas",
        "/health",
        "/api/admin",
        "/admin",
    ]
    .iter()
    .find_map(|path| url.strip_suffix(path))
    .unwrap_or(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_what_is_on_this_machine_and_not_what_looks_like_it() {
        for here in [
            "http://127.0.0.1",
            "http://127.0.0.1:8787/api",
            "http://127.8.9.1:1",
            "http://localhost:8787",
            "http://LocalHost/",
            "http://[::1]:8787/",
            "https://localhost",
        ] {
            assert!(is_loopback(here), "{here}");
        }
        for elsewhere in [
            "",
            "http://",
            "http://127.0.0.1@evil.example",
            "http://127.0.0.1:80@evil.example/",
            "http://localhost@evil.example",
            "http://evil@127.0.0.1",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil",
            "http://127.0.0.1.evil.example:8787",
            "http://127.evil.example",
            "http://localhosts",
            "http://[::1].evil.example",
            "http://[::2]",
            "http://10.0.0.1",
            "http://evil.example/127.0.0.1",
            "http://evil.example?localhost",
            "http://evil.example#@localhost",
            "http://evil.example\\@localhost",
        ] {
            assert!(!is_loopback(elsewhere), "{elsewhere}");
            assert!(!is_private(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn what_is_no_address_is_told_why() {
        for (url, why, fix) in [
            (
                "relay.example",
                "https:// is missing",
                "https://relay.example ?",
            ),
            (
                "localhost:8787",
                "https:// is missing",
                "http://localhost:8787 ?",
            ),
            ("ftp://relay.example", "ftp:// is not", "https://host"),
            ("https://", "names no host", "https://host"),
            ("https://relay example", "a space", "https://host"),
            ("http://127.0.0.1:port", "no host and port", "https://host"),
        ] {
            let failure = check_url(url).unwrap_err();
            assert!(failure.message.contains(why), "{url}: {failure}");
            assert!(failure.fix.contains(fix), "{url}: {failure}");
            assert_eq!(failure.exit_code(), 2);
        }
        for good in [
            "https://relay.example",
            "http://127.0.0.1:8787/admin",
            "http://[::1]:1",
        ] {
            assert_eq!(check_url(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn what_is_private_goes_by_https_or_stays_here() {
        for private in ["https://relay.example/x", "http://127.0.0.1:8787"] {
            assert!(is_private(private), "{private}");
        }
        for open in [
            "http://relay.example",
            "ftp://127.0.0.1",
            "127.0.0.1",
            "https://127.0.0.1@evil.example",
        ] {
            assert!(!is_private(open), "{open}");
        }
    }
}
