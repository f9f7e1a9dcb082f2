//! The HTTP client: makes requests to Nylas within their time limits, and counts them for the log.

use crate::{
    config::{ApiBase, Config},
    model::{
        log::LastAnswer,
        secret::Secret,
        time::{MINUTE, UnixMillis},
    },
    ports::{Clock, Http, HttpError, HttpMethod, HttpRequest, HttpResponse, WhenLate},
};
use serde_json::Value;
use std::{cell::Cell, fmt::Write, time::Duration};

/// How long the consumer waits for a send. Nylas gives up a send after 120 s and asks clients to wait for at least 150
/// (<https://developer.nylas.com/docs/v3/email/send-email/>).
pub const SEND_TIMEOUT: Duration = Duration::from_secs(150);

/// How long the requests of one handler may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// All requests begin within this time, and reads end within it.
    pub budget: Duration,
    /// The longest that a read may take.
    pub timeout: Duration,
    /// The longest that a send is waited for. `None`: as long as the runtime keeps the Worker alive, which is 30 s
    /// after a webhook's answer (<https://developers.cloudflare.com/workers/runtime-apis/context/#waituntil>).
    pub send_timeout: Option<Duration>,
}

impl Limits {
    /// For work in the background that sends nothing: a minute, and up to `timeout` for each answer.
    pub const fn of_reads(timeout: Duration) -> Self {
        Self {
            budget: MINUTE,
            timeout,
            send_timeout: None,
        }
    }
}

/// The client for one webhook or one queue message.
pub struct Nylas<'a, P> {
    ports: &'a P,
    base: &'a ApiBase,
    api_key: &'a Secret,
    limits: Limits,
    /// When the budget ends.
    deadline: UnixMillis,
    spent: Cell<Duration>,
    calls: Cell<u32>,
    last: Cell<LastAnswer>,
}

impl<'a, P: Http + Clock> Nylas<'a, P> {
    /// A client whose budget begins at `started`.
    pub fn new(ports: &'a P, config: &'a Config, started: UnixMillis, limits: Limits) -> Self {
        Self {
            ports,
            base: &config.nylas_api_base,
            api_key: &config.nylas_api_key,
            limits,
            deadline: started.plus(limits.budget),
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

    /// The status, error type and request id of the last answer.
    pub fn last(&self) -> LastAnswer {
        let last = self.last.take();
        self.last.set(last.clone());
        last
    }

    fn time_left(&self) -> Duration {
        self.deadline.since(self.ports.now())
    }

    /// Makes one request. One with a body is a send; any other is a read.
    ///
    /// # Errors
    /// Why there is no answer.
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
            // Without a charset: with one, Nylas refuses the request ("only JSON and multipart supported").
            headers.push(("Content-Type", "application/json".to_owned()));
        }
        if let Some(key) = key {
            headers.push(("Idempotency-Key", key));
        }
        let started = self.ports.now();
        let is_send = body.is_some();
        let (timeout, when_late) = if is_send {
            (self.limits.send_timeout, WhenLate::LetGo)
        } else {
            let left = self.limits.timeout.min(self.time_left());
            if left.is_zero() {
                return Err(HttpError::Timeout);
            }
            (Some(left), WhenLate::Abort)
        };
        let request = HttpRequest {
            method,
            url: format!("{}{path}", self.base.as_str()),
            headers,
            body,
            when_late,
        };
        let response = self.ports.fetch(request, timeout).await;
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

/// Percent-encodes a text for the path or the query of a URL.
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

/// The body of an answer as JSON; null if it is none.
pub(super) fn parse(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or(Value::Null)
}

/// Whether a JSON text has so many values that it would take many times its length in memory. What strangers write
/// decides how long its lists are: a mail of tiny headers has a hundred thousand. A page of messages has a few
/// thousand.
pub(super) fn is_bulky(text: &str) -> bool {
    const VALUES_MAX: usize = 20_000;
    let (mut values, mut is_text, mut is_escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => is_text = !is_text,
            b',' | b'[' | b'{' if !is_text => values = values.saturating_add(1),
            _ => {}
        }
    }
    values > VALUES_MAX
}

/// Whether a text is safe to log: short, and made of letters, digits, `_`, `-` and `.` only.
fn is_token(text: &str) -> bool {
    (1..=80).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

/// The error type without its `api.` prefix, and the message in lower case. Some errors of Nylas' are not inside an
/// `error` object.
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
    fn values_are_counted_and_what_is_within_texts_is_none() {
        let header = json!({"name": "a", "value": "b"});
        assert!(!is_bulky(&json!(vec![&header; 5_000]).to_string()));
        assert!(is_bulky(&json!(vec![&header; 10_000]).to_string()));
        let text = r#"[{,\""#.repeat(20_000);
        assert!(!is_bulky(&json!([text, "\\"]).to_string()));
    }

    #[test]
    fn what_is_logged_of_an_error_is_an_identifier() {
        let body = json!({"error": {"type": "jane@example.com said: 123456", "message": "m"}});
        assert_eq!(error_of(&body).0, "");
    }
}
