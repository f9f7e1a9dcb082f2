//! The HTTP client: one request to Nylas within its time, counted for the log.

use crate::{
    config::{ApiBase, Config},
    model::{log::LastAnswer, secret::Secret, time::UnixMillis},
    ports::{Clock, Http, HttpError, HttpMethod, HttpRequest, HttpResponse},
};
use serde_json::Value;
use std::{cell::Cell, fmt::Write, time::Duration};

/// The client. It counts what it does, for the log.
pub struct Nylas<'a, P> {
    ports: &'a P,
    base: &'a ApiBase,
    api_key: &'a Secret,
    /// No request goes on after it.
    deadline: UnixMillis,
    /// The longest one request may take.
    timeout: Duration,
    spent: Cell<Duration>,
    calls: Cell<u32>,
    last: Cell<LastAnswer>,
}

impl<'a, P: Http + Clock> Nylas<'a, P> {
    /// A client whose requests all end before `deadline` and take no longer than `timeout` each.
    pub fn new(ports: &'a P, config: &'a Config, deadline: UnixMillis, timeout: Duration) -> Self {
        Self {
            ports,
            base: &config.nylas_api_base,
            api_key: &config.nylas_api_key,
            deadline,
            timeout,
            spent: Cell::default(),
            calls: Cell::default(),
            last: Cell::default(),
        }
    }

    /// Whether there is time for another request worth making.
    pub fn has_time(&self) -> bool {
        const WORTHWHILE: Duration = Duration::from_millis(200);
        self.time_left() >= WORTHWHILE
    }

    /// Time spent waiting for Nylas, so far.
    pub fn spent(&self) -> Duration {
        self.spent.get()
    }

    /// Requests made, so far.
    pub fn calls(&self) -> u32 {
        self.calls.get()
    }

    /// What the last answer said.
    pub fn last(&self) -> LastAnswer {
        let last = self.last.take();
        self.last.set(last.clone());
        last
    }

    fn time_left(&self) -> Duration {
        self.deadline.since(self.ports.now())
    }

    pub(super) async fn request(
        &self,
        method: HttpMethod,
        path: String,
        key: Option<String>,
        body: Option<String>,
    ) -> Result<HttpResponse, HttpError> {
        let mut headers = vec![
            ("Authorization", format!("Bearer {}", self.api_key.reveal())),
            ("Accept", "application/json".to_owned()),
        ];
        if body.is_some() {
            // Without a charset: Nylas refused it with one ("only JSON and multipart supported").
            headers.push(("Content-Type", "application/json".to_owned()));
        }
        if let Some(key) = key {
            headers.push(("Idempotency-Key", key));
        }
        let request = HttpRequest {
            method,
            url: format!("{}{path}", self.base.as_str()),
            headers,
            body,
        };
        let started = self.ports.now();
        let response = self
            .ports
            .fetch(request, self.timeout.min(self.time_left()))
            .await;
        self.spent.set(
            self.spent
                .get()
                .saturating_add(self.ports.now().since(started)),
        );
        self.calls.set(self.calls.get().saturating_add(1));
        self.last.set(match &response {
            Ok(response) => LastAnswer {
                status: Some(response.status),
                error_type: (response.status >= 300)
                    .then(|| error_of(&parse(&response.body)).0)
                    .filter(|error_type| !error_type.is_empty()),
                request_id: response
                    .header("x-request-id")
                    .map(str::to_owned)
                    .filter(|id| is_token(id)),
                error: None,
            },
            Err(error) => LastAnswer {
                error: Some(error.as_str()),
                ..LastAnswer::default()
            },
        });
        response
    }
}

/// For the path or the query of an address.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            // Writing to a String cannot fail.
            _ => _ = write!(escaped, "%{byte:02X}"),
        }
    }
    escaped
}

pub(super) fn parse(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or(Value::Null)
}

/// Safe to log: short, and made of what identifiers are made of.
fn is_token(text: &str) -> bool {
    (1..=80).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

/// `error.type` without `api.`, and the message in lower case. Some errors stand without the
/// `error` around them.
pub(super) fn error_of(body: &Value) -> (String, String) {
    let error = body.get("error").unwrap_or(body);
    let text = |field: &str| error.get(field).and_then(Value::as_str).unwrap_or_default();
    let error_type = text("type");
    let error_type = error_type.strip_prefix("api.").unwrap_or(error_type);
    let error_type = if is_token(error_type) { error_type } else { "" };
    (error_type.to_owned(), text("message").to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_logged_of_an_error_is_an_identifier() {
        let body = json!({"error": {"type": "jane@example.com said: 123456", "message": "m"}});
        assert_eq!(error_of(&body).0, "");
    }
}
