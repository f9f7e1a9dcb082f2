//! What the core needs of the world, as small traits.
//!
//! Each has two implementations: the Worker's (`platform`) and the simulator's. A failure that a port reports is
//! ambiguous unless its kind says otherwise: the thing may have happened. Errors say what kind of failure it was and
//! nothing that could be private, so they may be logged.

// The Worker runs in one thread and its JavaScript handles are not `Send`; no caller needs the bound.
#![allow(async_fn_in_trait)]

use crate::model::{log::Record, time::UnixMillis};
use std::{error::Error, fmt, time::Duration};

/// The time now.
pub trait Clock {
    fn now(&self) -> UnixMillis;
}

/// Waiting.
pub trait Timer {
    async fn sleep(&self, length: Duration);
}

/// Randomness for jitter. Nothing secret depends on it.
pub trait Random {
    fn random(&self) -> u32;
}

/// Why the store failed (<https://developers.cloudflare.com/kv/platform/limits/>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// No namespace is bound.
    NotBound,
    /// The operations of the day are used up, as on the free plan.
    DailyLimit,
    /// 429: more than one write a second to one key.
    RateLimited,
    /// The key or the value is too large, or has no text.
    TooLarge,
    /// Anything else. It may have been done.
    Failed,
}

impl StoreError {
    /// As it is logged.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotBound => "not_bound",
            Self::DailyLimit => "daily_limit",
            Self::RateLimited => "rate_limited",
            Self::TooLarge => "too_large",
            Self::Failed => "failed",
        }
    }
}

/// Why the queue did not take a message (<https://developers.cloudflare.com/queues/platform/limits/>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueError {
    /// No queue is bound: the relay runs in its simple form.
    NotBound,
    /// The operations of the day are used up, as on the free plan.
    DailyLimit,
    /// 429: too many messages a second, or the backlog is full.
    RateLimited,
    /// The message is too large.
    TooLarge,
    /// Anything else. It may have been taken.
    Failed,
}

impl QueueError {
    /// As it is logged.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotBound => "not_bound",
            Self::DailyLimit => "daily_limit",
            Self::RateLimited => "rate_limited",
            Self::TooLarge => "too_large",
            Self::Failed => "failed",
        }
    }
}

/// Why there is no answer to a request. Whether the request arrived is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// No complete answer within the time given.
    Timeout,
    /// The connection was lost.
    ConnectionLost,
    /// No connection: name not found, refused, TLS failure; or anything else.
    Unreachable,
}

impl HttpError {
    /// As it is logged.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::ConnectionLost => "connection_lost",
            Self::Unreachable => "unreachable",
        }
    }
}

macro_rules! errors {
    ($($name:ident: $what:literal),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}: {}", $what, self.as_str())
            }
        }

        impl Error for $name {}
    )*};
}

errors!(StoreError: "the store", QueueError: "the queue", HttpError: "the request");

/// A key-value store without compare-and-set, whose reads may be stale (Workers KV:
/// <https://developers.cloudflare.com/kv/concepts/how-kv-works/>).
pub trait Store {
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError>;
    /// Reads several keys at once: one wait. The values come in the order of the keys.
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, StoreError>;
    /// Keeps `value` for `ttl`, which is at least 60 seconds.
    async fn put(&self, key: &str, value: &str, ttl: Duration) -> Result<(), StoreError>;
    async fn delete(&self, key: &str) -> Result<(), StoreError>;
    /// Up to a thousand keys that begin with `prefix`, in their order.
    async fn list(&self, prefix: &str) -> Result<Listed, StoreError>;
}

/// A part of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Keys, and values shorter than [`LISTED_BYTES_MAX`].
    pub entries: Vec<(String, Option<String>)>,
    /// Whether there is no more.
    pub is_complete: bool,
}

/// A value this short is listed with its key: it is kept beside it as metadata, which KV limits to
/// 1024 bytes of JSON, in which each of its bytes may take two.
pub const LISTED_BYTES_MAX: usize = 500;

/// The producer's end of the queue: at least once, in any order.
pub trait Queue {
    /// Returns once the message is durable.
    async fn send_to_queue(&self, text: &str, delay: Duration) -> Result<(), QueueError>;
}

/// One request. It holds the key and the mail, so it has no `Debug`.
pub struct HttpRequest {
    pub method: HttpMethod,
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<String>,
    pub when_late: WhenLate,
}

/// What becomes of a request whose answer is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenLate {
    /// It is aborted: nothing is lost but an answer.
    Abort,
    /// It goes on without anybody waiting for it. A send must never be aborted: what a server does with a request whose
    /// client went away is not known, and one that frees its idempotency key and goes on sending makes two mails of
    /// one.
    LetGo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpMethod {
    Get,
    Post,
}

/// One answer, read to its end. It may quote the mail, so it has no `Debug`.
pub struct HttpResponse {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl HttpResponse {
    /// The value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(candidate, _)| candidate == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The outbound request. Redirects are not followed.
pub trait Http {
    /// `timeout` covers everything, the reading of the body included. Without one the answer is waited for as long as
    /// the runtime lets the Worker live.
    async fn fetch(
        &self,
        request: HttpRequest,
        timeout: Option<Duration>,
    ) -> Result<HttpResponse, HttpError>;
}

/// Unpacking of what comes compressed.
pub trait Gunzip {
    /// `None`: it is not gzip, or more than `bytes_max` bytes come out.
    async fn gunzip(&self, packed: &[u8], bytes_max: usize) -> Option<Vec<u8>>;
}

/// What this instance remembers, for as long as it lives.
pub trait Memory {
    /// Whether the instance hears of this for the first time.
    fn first_seen(&self, what: &str) -> bool;
    /// What was remembered under this name, unless it is too old.
    fn recall(&self, name: &str) -> Option<String>;
    /// Remembers a text under a name for that long, or for less.
    fn remember(&self, name: &str, text: &str, ttl: Duration);
}

/// Where log records go.
pub trait Log {
    fn log(&self, record: &Record);
}

/// All of them: what one entry point hands to the core.
pub trait Ports: Clock + Timer + Random + Store + Queue + Http + Gunzip + Memory + Log {}

impl<T: Clock + Timer + Random + Store + Queue + Http + Gunzip + Memory + Log> Ports for T {}
