//! What the core needs of the world, as small traits.
//!
//! Each has two implementations: the Worker's (`platform`) and the simulator's. Every failure a
//! port reports is ambiguous unless it says otherwise: the thing may have happened.

// The Worker runs in one thread and its JavaScript handles are not `Send`; no caller needs the bound.
#![allow(async_fn_in_trait)]

use crate::{observe::Record, time::UnixMillis};
use std::time::Duration;

/// The time now.
pub trait Clock {
    fn now(&self) -> UnixMillis;
}

/// Randomness for jitter. Nothing secret depends on it.
pub trait Random {
    fn random(&self) -> u32;
}

/// The store could not do it, or did it and could not say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreError;

/// A key-value store without compare-and-set, whose reads may be stale (Workers KV:
/// <https://developers.cloudflare.com/kv/concepts/how-kv-works/>).
pub trait Store {
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError>;
    /// Keeps `value` for `lifetime`, which is at least 60 seconds.
    async fn put(&self, key: &str, value: &str, lifetime: Duration) -> Result<(), StoreError>;
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueError {
    /// No queue is bound: the relay runs in its simple form.
    NotBound,
    /// The queue refused the message, or took it and could not say so.
    Refused,
}

/// The producer's end of the outbox: at least once, in any order.
pub trait Queue {
    /// Returns once the message is durable.
    async fn send(&self, text: &str, delay: Duration) -> Result<(), QueueError>;
}

/// One request to Nylas. It holds the key and the mail, so it has no `Debug`.
pub struct HttpRequest {
    pub method: HttpMethod,
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<String>,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// No complete answer within the time given.
    Timeout,
    /// No connection, or one that was lost.
    Network,
}

/// The outbound request. Redirects are not followed.
pub trait Http {
    /// `timeout` covers everything, the reading of the body included.
    async fn send(
        &self,
        request: HttpRequest,
        timeout: Duration,
    ) -> Result<HttpResponse, HttpError>;
}

/// Unpacking of what comes compressed.
pub trait Gunzip {
    /// `None`: it is not gzip, or more than `bytes_max` bytes come out.
    async fn gunzip(&self, packed: &[u8], bytes_max: usize) -> Option<Vec<u8>>;
}

/// What this instance remembers, for as long as it lives.
pub trait Memory {
    /// Whether it hears of this for the first time.
    fn is_news(&self, what: &str) -> bool;
}

/// Where log records go.
pub trait Log {
    fn log(&self, record: &Record);
}

/// All of them: what one entry point hands to the core.
pub trait Ports: Clock + Random + Store + Queue + Http + Gunzip + Memory + Log {}

impl<T: Clock + Random + Store + Queue + Http + Gunzip + Memory + Log> Ports for T {}
