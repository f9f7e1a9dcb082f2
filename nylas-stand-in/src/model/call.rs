//! A request to the stand-in.

use hyper::Method;
use hyper::body::Bytes;
use hyper::header::HeaderMap;
use serde::Serialize;
use serde_json::Value;

/// A request that was read whole.
pub struct Call {
    pub method: Method,
    pub path: String,
    pub segments: Vec<String>,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Call {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The first address in `to`, if the body has one.
    pub fn recipient(&self) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        Some(body.pointer("/to/0/email")?.as_str()?.to_owned())
    }
}

/// A request to the API, in the order of arrival.
#[derive(Clone, Debug, Serialize)]
pub struct SeenRequest {
    /// Its method.
    pub method: String,
    /// Its path with the query.
    pub path: String,
    /// The account in its path.
    pub grant_id: Option<String>,
    /// Its `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// The first address in its `to`.
    pub recipient: Option<String>,
    /// The answer's status. None if there is no answer.
    pub status: Option<u16>,
    /// Whether the answer was stored under the key.
    pub replayed: bool,
    /// When it came, on the stand-in's clock.
    pub at_ms: u64,
    /// Whether it had to wait, because too many others were open.
    pub waited: bool,
}
