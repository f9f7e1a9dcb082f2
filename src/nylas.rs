//! One request to Nylas, one typed outcome back.
//!
//! The send is `POST /v3/grants/{grant_id}/messages/send`
//! (<https://developer.nylas.com/docs/reference/api/messages/send-message/>). What an answer means is
//! decided on the status first, then on `error.type` with any `api.` prefix stripped, because Nylas'
//! own documents write it both ways; and on words of the message only for what has no type of its own.

use crate::{
    cleaning::has,
    clerk::{Content, Email},
    config::{Config, GrantId, Secret},
    delivery::Trail,
    json::{FromJson, field, optional},
    ledger::push_hex,
    ports::{Clock, Http, HttpError, HttpMethod, HttpRequest, HttpResponse},
    time::UnixMillis,
    webhook::SvixId,
};
use serde::Serialize;
use serde_json::Value;
use std::{cell::Cell, time::Duration};

/// The scheme and host requests go to, without a trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiBase(String);

impl ApiBase {
    /// https anywhere; http on loopback only, because the key travels with every request.
    pub fn parse(text: &str) -> Option<Self> {
        let base = text.strip_suffix('/').unwrap_or(text);
        let (is_https, authority) = scheme_of(base)?;
        is_origin(is_https, authority).then(|| Self(base.to_owned()))
    }
}

/// Whether it is https, and what follows the scheme. `None`: it is neither https nor http.
fn scheme_of(url: &str) -> Option<(bool, &str)> {
    match url.strip_prefix("https://") {
        Some(rest) => Some((true, rest)),
        None => url.strip_prefix("http://").map(|rest| (false, rest)),
    }
}

/// Whether what is private may go there: https anywhere, http on loopback only.
fn is_origin(is_https: bool, authority: &str) -> bool {
    let is_host = !authority.is_empty()
        && authority.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']')
        });
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    };
    let is_loopback = matches!(name, "127.0.0.1" | "localhost" | "[::1]");
    is_host && (is_https || is_loopback)
}

/// Whether the text is an address something private may be posted to.
pub(crate) fn is_endpoint(url: &str) -> bool {
    let Some((is_https, rest)) = scheme_of(url) else {
        return false;
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    is_origin(is_https, authority)
        && rest
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

/// A mailbox' own address and display name: what `From` must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    pub email: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl FromJson for Identity {
    fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            email: field(value, "email")?,
            name: optional(value, "name")?,
        })
    }
}

/// The key under which Nylas keeps the outcome of a send for one hour, per grant.
///
/// Generation 0 is the Svix id itself. Later generations exist because Nylas keeps errors, too: a
/// kept error makes its key useless. `:` cannot occur in a [`SvixId`], so no two mails share a key.
pub fn idempotency_key(id: &SvixId, generation: u32) -> String {
    match generation {
        0 => id.to_string(),
        _ => format!("{id}:{generation}"),
    }
}

/// What Nylas called the mail it took. Its schema requires neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SentMail {
    pub message_id: Option<String>,
    pub thread_id: Option<String>,
    /// 202: Nylas queued it itself, or may have. Should it fail after all, `message.send_failed` says so.
    pub is_queued: bool,
}

/// Why an account cannot send, whatever the mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountFault {
    /// The key or the grant is not accepted.
    Unauthorized,
    /// No such grant, or not in this region.
    Gone,
    /// Refused by rule, scope or abuse restriction.
    Forbidden,
    /// Blocked by an administrator or for reputation; sending paused.
    Paused,
    /// The sender's domain is not verified.
    DomainNotVerified,
    /// The mails of the day are used up; resets at midnight UTC.
    DailyQuota,
}

impl AccountFault {
    pub fn reason(self) -> &'static str {
        match self {
            Self::Unauthorized => "account_unauthorized",
            Self::Gone => "account_gone",
            Self::Forbidden => "account_forbidden",
            Self::Paused => "account_paused",
            Self::DomainNotVerified => "account_domain_not_verified",
            Self::DailyQuota => "account_daily_quota",
        }
    }
}

/// What one send came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// Nylas has it: 200, 201, or 202 for one it queued itself.
    Sent(SentMail),
    /// The same key is being worked on.
    InFlight,
    /// The key was used with other bytes.
    KeyConflict,
    /// Not now.
    Throttled { retry_after: Option<Duration> },
    /// It may have been sent, or not.
    Ambiguous { reason: &'static str },
    /// This mail will not be sent, now or later.
    Rejected { reason: &'static str },
    /// Nothing is wrong with the mail.
    AccountAtFault(AccountFault),
}

impl SendOutcome {
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Sent(_) => "accepted_by_nylas",
            Self::InFlight => "nylas_in_flight",
            Self::KeyConflict => "nylas_key_conflict",
            Self::Throttled { .. } => "nylas_throttled",
            Self::Ambiguous { reason } | Self::Rejected { reason } => reason,
            Self::AccountAtFault(fault) => fault.reason(),
        }
    }
}

/// An outcome, and whether it is news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendAnswer {
    pub outcome: SendOutcome,
    /// `Idempotent-Response: true`: Nylas repeated what it answered before and did nothing now.
    /// Whoever asks with the same key within the hour gets the same.
    pub replayed: bool,
}

/// Is there a mail with this Svix id in the mailbox?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindOutcome {
    Found(SentMail),
    NotFound,
    /// The account does not answer questions at all: gone, blocked or forbidden.
    Refused,
    /// No usable answer.
    Unknown,
}

/// What a question to a mailbox about its messages came to.
pub enum ReadOutcome {
    /// The whole answer: `data`, and `next_cursor` where there is more.
    Answered(Value),
    /// No such message, or no such grant.
    Gone,
    /// No usable answer.
    Unknown,
}

/// What a mailbox says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityOutcome {
    Known(Identity),
    AccountAtFault(AccountFault),
    Unknown,
}

/// What Nylas said last, for the log: a status, its error type and its request id, which its
/// support asks for. Never its message, which may quote the mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastAnswer {
    pub status: Option<u16>,
    pub error_type: Option<String>,
    pub request_id: Option<String>,
}

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

#[derive(Serialize)]
struct SendRequest<'a> {
    to: [Address<'a>; 1],
    from: [Address<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<[Address<'a>; 1]>,
    subject: &'a str,
    body: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_plaintext: bool,
    metadata: Metadata<'a>,
    custom_headers: [CustomHeader; 1],
}

#[derive(Serialize)]
struct Address<'a> {
    email: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

/// `key1` is one of the five names Nylas indexes for `metadata_pair`.
#[derive(Serialize)]
struct Metadata<'a> {
    key1: &'a str,
}

#[derive(Serialize)]
struct CustomHeader {
    name: &'static str,
    value: &'static str,
}

/// The body of a send, byte for byte the same for the same mail and mailbox, because Nylas compares.
fn send_body(email: &Email, content: &Content, identity: &Identity) -> Option<String> {
    let reply_to = email.reply_to.clone().or_else(|| {
        let (_, domain) = identity.email.rsplit_once('@')?;
        let local_part = email.reply_to_local_part.as_ref()?;
        Some(format!("{local_part}@{domain}"))
    });
    let (body, is_plaintext) = match content {
        Content::Html(html) => (html, false),
        Content::Text(text) => (text, true),
    };
    let request = SendRequest {
        to: [Address {
            email: &email.to,
            name: None,
        }],
        // Always: the API refuses an Agent Account's send without it, whatever its schema says.
        from: [Address {
            email: &identity.email,
            name: identity.name.as_deref(),
        }],
        reply_to: reply_to
            .as_deref()
            .map(|email| [Address { email, name: None }]),
        subject: &email.subject,
        body,
        is_plaintext,
        metadata: Metadata {
            key1: email.svix_id.as_str(),
        },
        // RFC 3834: no out-of-office notice in answer to a sign-in code.
        custom_headers: [CustomHeader {
            name: "Auto-Submitted",
            value: "auto-generated",
        }],
    };
    serde_json::to_string(&request).ok()
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

    /// Asks the mailbox to send the mail, under the key of that generation.
    pub async fn send(
        &self,
        grant_id: &GrantId,
        identity: &Identity,
        email: &Email,
        content: &Content,
        generation: u32,
    ) -> SendAnswer {
        let fresh = |outcome| SendAnswer {
            outcome,
            replayed: false,
        };
        let Some(body) = send_body(email, content, identity) else {
            return fresh(SendOutcome::Rejected {
                reason: "mail_not_serializable",
            });
        };
        let response = self
            .request(
                HttpMethod::Post,
                format!("/v3/grants/{}/messages/send", grant_id.as_str()),
                Some(idempotency_key(&email.svix_id, generation)),
                Some(body),
            )
            .await;
        match response {
            Ok(response) => SendAnswer {
                replayed: response
                    .header("idempotent-response")
                    .is_some_and(|value| value.trim().eq_ignore_ascii_case("true")),
                outcome: classify_send(&response),
            },
            Err(HttpError::Timeout) => fresh(SendOutcome::Ambiguous {
                reason: "nylas_timeout",
            }),
            Err(HttpError::Network) => fresh(SendOutcome::Ambiguous {
                reason: "nylas_unreachable",
            }),
        }
    }

    /// Looks for the mail in the mailbox by the metadata it was sent with; for what failed on the way
    /// it does not count.
    pub async fn find(&self, grant_id: &GrantId, email: &Email, trail: &Trail) -> FindOutcome {
        // `metadata_pair` cannot be combined with other filters.
        let path = format!(
            "/v3/grants/{}/messages?metadata_pair=key1:{}",
            grant_id.as_str(),
            email.svix_id
        );
        match self.request(HttpMethod::Get, path, None, None).await {
            Ok(response) => classify_find(&response, email, trail),
            Err(_) => FindOutcome::Unknown,
        }
    }

    /// A message with its headers.
    pub async fn message(&self, grant_id: &GrantId, message_id: &str) -> ReadOutcome {
        let path = format!("/{}?fields=include_headers", escape(message_id));
        self.read_messages(grant_id, &path).await
    }

    /// The newest messages of a thread.
    pub async fn thread(&self, grant_id: &GrantId, thread_id: &str) -> ReadOutcome {
        let path = format!("?thread_id={}&limit=20", escape(thread_id));
        self.read_messages(grant_id, &path).await
    }

    /// A page of what came in after a moment, newest first.
    pub async fn received_after(
        &self,
        grant_id: &GrantId,
        after: UnixMillis,
        page_token: Option<&str>,
    ) -> ReadOutcome {
        let mut path = format!("?received_after={}&limit=50", after.seconds());
        // Not the bodies.
        path.push_str("&select=id,grant_id,thread_id,from,folders,metadata,date");
        if let Some(token) = page_token {
            path.push_str("&page_token=");
            path.push_str(&escape(token));
        }
        self.read_messages(grant_id, &path).await
    }

    /// How many mails went out from this address since then, counted to `at_most` and a page beyond.
    pub async fn sent_since(
        &self,
        grant_id: &GrantId,
        address: &str,
        since: UnixMillis,
        at_most: u64,
    ) -> Option<u64> {
        const PAGES_MAX: u32 = 10;
        let mut count = 0_u64;
        let mut token = String::new();
        for _ in 0..PAGES_MAX {
            let path = format!(
                "?received_after={}&from={}&limit=200&select=id{token}",
                since.seconds(),
                escape(address)
            );
            let ReadOutcome::Answered(page) = self.read_messages(grant_id, &path).await else {
                return None;
            };
            let messages = page.get("data")?.as_array()?.len();
            count = count.saturating_add(u64::try_from(messages).unwrap_or_default());
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(next) if !next.is_empty() && count < at_most => {
                    token = format!("&page_token={}", escape(next));
                }
                _ => break,
            }
        }
        Some(count)
    }

    /// The application's webhooks.
    pub async fn webhooks(&self) -> ReadOutcome {
        self.read("/v3/webhooks".to_owned()).await
    }

    async fn read_messages(&self, grant_id: &GrantId, what: &str) -> ReadOutcome {
        let path = format!("/v3/grants/{}/messages{what}", grant_id.as_str());
        self.read(path).await
    }

    async fn read(&self, path: String) -> ReadOutcome {
        match self.request(HttpMethod::Get, path, None, None).await {
            Ok(response) if response.status == 200 => {
                match serde_json::from_slice(response.body.as_bytes()) {
                    Ok(answer) => ReadOutcome::Answered(answer),
                    Err(_) => ReadOutcome::Unknown,
                }
            }
            Ok(response) if matches!(response.status, 404 | 410) => ReadOutcome::Gone,
            _ => ReadOutcome::Unknown,
        }
    }

    /// The mailbox' own address and name.
    pub async fn identity(&self, grant_id: &GrantId) -> IdentityOutcome {
        let path = format!("/v3/grants/{}", grant_id.as_str());
        let Ok(response) = self.request(HttpMethod::Get, path, None, None).await else {
            return IdentityOutcome::Unknown;
        };
        match response.status {
            200 => {
                let body = parse(&response.body);
                let data = body.get("data").unwrap_or(&Value::Null);
                let field = |name: &str| {
                    data.get(name)
                        .and_then(Value::as_str)
                        .filter(|value| !value.is_empty() && !value.chars().any(char::is_control))
                        .map(str::to_owned)
                };
                if data.get("blocked").and_then(Value::as_bool) == Some(true) {
                    return IdentityOutcome::AccountAtFault(AccountFault::Paused);
                }
                if field("grant_status").as_deref() == Some("invalid") {
                    return IdentityOutcome::AccountAtFault(AccountFault::Unauthorized);
                }
                match field("email").filter(|email| email.contains('@')) {
                    Some(email) => IdentityOutcome::Known(Identity {
                        email,
                        name: field("name"),
                    }),
                    None => IdentityOutcome::Unknown,
                }
            }
            401 => IdentityOutcome::AccountAtFault(AccountFault::Unauthorized),
            403 => IdentityOutcome::AccountAtFault(AccountFault::Forbidden),
            404 => IdentityOutcome::AccountAtFault(AccountFault::Gone),
            423 => IdentityOutcome::AccountAtFault(AccountFault::Paused),
            _ => IdentityOutcome::Unknown,
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

    async fn request(
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
            url: format!("{}{path}", self.base.0),
            headers,
            body,
        };
        let started = self.ports.now();
        let response = self
            .ports
            .send(request, self.timeout.min(self.time_left()))
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
            },
            Err(_) => LastAnswer::default(),
        });
        response
    }
}

/// The first address in a list of `{"email", "name"?}`.
pub(crate) fn address_of<'a>(message: &'a Value, field: &str) -> Option<&'a str> {
    message.get(field)?.get(0)?.get("email")?.as_str()
}

/// Whether a word is among others, whatever its case.
pub(crate) fn is_listed(word: &str, words: &[&str]) -> bool {
    words.iter().any(|listed| listed.eq_ignore_ascii_case(word))
}

/// For the path or the query of an address.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => {
                escaped.push('%');
                push_hex(&mut escaped, &[byte]);
            }
        }
    }
    escaped
}

fn parse(body: &str) -> Value {
    serde_json::from_slice(body.as_bytes()).unwrap_or(Value::Null)
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
fn error_of(body: &Value) -> (String, String) {
    let error = body.get("error").unwrap_or(body);
    let text = |field: &str| error.get(field).and_then(Value::as_str).unwrap_or_default();
    let error_type = text("type");
    let error_type = error_type.strip_prefix("api.").unwrap_or(error_type);
    let error_type = if is_token(error_type) { error_type } else { "" };
    (error_type.to_owned(), text("message").to_ascii_lowercase())
}

fn sent_mail(message: &Value) -> SentMail {
    let id = |field: &str| {
        message
            .get(field)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .filter(|id| id.len() <= 512)
    };
    SentMail {
        message_id: id("id"),
        thread_id: id("thread_id"),
        is_queued: false,
    }
}

fn classify_send(response: &HttpResponse) -> SendOutcome {
    let body = parse(&response.body);
    let (error_type, message) = error_of(&body);
    let says = |words: &[&str]| words.iter().any(|word| has(&message, word));
    // Refusals of the account that come with a status of the mail's.
    let fault = || {
        if error_type.starts_with("token.") || error_type == "authentication_error" {
            Some(AccountFault::Unauthorized)
        } else if says(&["domain is not verified", "domain not verified"]) {
            Some(AccountFault::DomainNotVerified)
        } else if says(&["paused", "suspended"]) {
            Some(AccountFault::Paused)
        } else if says(&["daily"]) && says(&["limit", "quota"]) {
            Some(AccountFault::DailyQuota)
        } else {
            None
        }
    };
    match response.status {
        200..=202 => SendOutcome::Sent(SentMail {
            is_queued: response.status == 202,
            ..sent_mail(body.get("data").unwrap_or(&Value::Null))
        }),
        401 => SendOutcome::AccountAtFault(AccountFault::Unauthorized),
        403 => SendOutcome::AccountAtFault(fault().unwrap_or(AccountFault::Forbidden)),
        // Nothing in a send can be missing but the grant.
        404 => SendOutcome::AccountAtFault(AccountFault::Gone),
        408 => SendOutcome::Ambiguous {
            reason: "nylas_timeout",
        },
        409 if error_type == "invalid_idempotent_request" => SendOutcome::KeyConflict,
        // Of the two kinds of 409 the one that costs nothing but a few seconds is assumed.
        409 => SendOutcome::InFlight,
        423 => SendOutcome::AccountAtFault(AccountFault::Paused),
        429 => match fault() {
            Some(fault) => SendOutcome::AccountAtFault(fault),
            None => SendOutcome::Throttled {
                retry_after: response
                    .header("retry-after")
                    .and_then(|seconds| seconds.trim().parse().ok())
                    .map(Duration::from_secs),
            },
        },
        400..=499 => match fault() {
            Some(fault) => SendOutcome::AccountAtFault(fault),
            None => SendOutcome::Rejected {
                reason: match response.status {
                    402 => "nylas_refused_recipient",
                    413 => "nylas_too_large",
                    422 => "nylas_provider_refused",
                    _ => "nylas_refused_mail",
                },
            },
        },
        _ => SendOutcome::Ambiguous {
            reason: "nylas_error",
        },
    }
}

fn classify_find(response: &HttpResponse, email: &Email, trail: &Trail) -> FindOutcome {
    match response.status {
        200 => {}
        403 | 404 | 423 => return FindOutcome::Refused,
        _ => return FindOutcome::Unknown,
    }
    let body = parse(&response.body);
    let Some(messages) = body.get("data").and_then(Value::as_array) else {
        return FindOutcome::Unknown;
    };
    // Should the filter ever be ignored, other mails must not pass for this one.
    let is_this = |message: &&Value| match message.get("metadata") {
        Some(Value::Object(metadata)) => {
            metadata.get("key1").and_then(Value::as_str) == Some(email.svix_id.as_str())
        }
        _ => message
            .get("to")
            .and_then(Value::as_array)
            .is_some_and(|to| {
                to.iter()
                    .filter_map(|address| address.get("email").and_then(Value::as_str))
                    .any(|address| address.eq_ignore_ascii_case(&email.to))
            }),
    };
    let found = messages
        .iter()
        .filter(is_this)
        .map(|message| SentMail {
            is_queued: true,
            ..sent_mail(message)
        })
        .find(|mail| !trail.has_failed(mail.message_id.as_deref()));
    match found {
        Some(mail) => FindOutcome::Found(mail),
        None => FindOutcome::NotFound,
    }
}

#[cfg(test)]
mod tests;
