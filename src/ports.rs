//! What the relay needs of the outside world, as small traits.
//!
//! Each has two implementations: the Worker's (`platform`) and the simulator's. An operation that failed may have
//! happened all the same, unless the kind of error rules it out. An error is a kind of failure and holds no data, so
//! it may be logged.

// The Worker runs in one thread and its JavaScript handles are not `Send`; no caller needs the bound.
#![allow(async_fn_in_trait)]

use crate::model::{log::Record, message::Lane, time::UnixMillis};
use std::{error::Error, fmt, time::Duration};

/// The clock.
pub trait Clock {
    /// The time now.
    fn now(&self) -> UnixMillis;
}

/// Timers.
pub trait Timer {
    /// Waits for that long.
    async fn sleep(&self, length: Duration);
}

/// Randomness for jitter. Nothing secret depends on it.
pub trait Random {
    /// The next random number.
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
    /// The key or the value is too large, or the value has no JSON form.
    TooLarge,
    /// Anything else. The operation may have happened.
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

/// Why a message could not be queued (<https://developers.cloudflare.com/queues/platform/limits/>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueError {
    /// No queue is bound. The relay works without one: it then asks Clerk to send the webhook again.
    NotBound,
    /// The operations of the day are used up, as on the free plan.
    DailyLimit,
    /// 429: too many messages a second, or the backlog is full.
    RateLimited,
    /// The message is too large.
    TooLarge,
    /// Anything else. The message may be in the queue.
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
    /// No connection (unknown name, refused, TLS failure), or any other failure.
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
    /// The value of a key. `None`: there is none, or it is not visible here yet.
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError>;
    /// Reads several keys in one operation. The values come in the order of the keys.
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, StoreError>;
    /// Writes a value that expires after `ttl`, which is at least 60 seconds: KV accepts no shorter one.
    async fn put(&self, key: &str, value: &str, ttl: Duration) -> Result<(), StoreError>;
    /// Removes a key. It is no error if there is none.
    async fn delete(&self, key: &str) -> Result<(), StoreError>;
    /// The first thousand keys that begin with `prefix`, in lexicographic order.
    async fn list(&self, prefix: &str) -> Result<Listed, StoreError>;
    /// As `put`, with another text in its place where the key is listed.
    async fn put_listed(
        &self,
        key: &str,
        value: &str,
        listed: &str,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let _ = listed;
        self.put(key, value, ttl).await
    }
}

/// The keys that a listing found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Each key, with what is listed of it: its value, or what [`Store::put_listed`] said in its place. `None`: neither
    /// [fits](is_listable), or an older version wrote it.
    pub entries: Vec<(String, Option<String>)>,
    /// Whether these are all the keys with the prefix.
    pub is_complete: bool,
}

/// Whether a text is listed with its key. It is the key's metadata, which KV limits to 1024 bytes of JSON
/// (<https://developers.cloudflare.com/kv/platform/limits/>).
pub fn is_listable(text: &str) -> bool {
    let escaped = text.bytes().filter(|byte| matches!(byte, b'"' | b'\\'));
    let length = text.len().saturating_add(escaped.count());
    length <= 1000 && !text.contains(char::is_control)
}

/// The producer's ends of the two queues: at least once, in any order.
pub trait Queue {
    /// Returns once the message is durable. Where only the queue of sign-in mails is bound, everything goes through it.
    async fn send_to_queue(
        &self,
        lane: Lane,
        text: &str,
        delay: Duration,
    ) -> Result<(), QueueError>;
}

/// One request. It holds the API key and the mail, so it has no `Debug`.
pub struct HttpRequest {
    pub method: HttpMethod,
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<String>,
    pub when_late: WhenLate,
}

/// What happens to a request whose answer does not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenLate {
    /// It is aborted. For reads: only the answer is lost.
    Abort,
    /// It goes on, and nobody waits for it. For sends: Nylas does not say what happens to a request whose client went
    /// away. If Nylas freed the idempotency key and went on sending, the retry would be a second mail.
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
    /// The body was longer than [`ANSWER_BYTES_MAX`]. It was not read to its end, and `body` is empty.
    pub is_truncated: bool,
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

/// The longest body of an answer that is read. An instance has 128 MB for everything that it does at the same time, and
/// a mail may have fifty.
pub const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The outbound request. Redirects are not followed.
pub trait Http {
    /// Makes a request and reads its answer to the end, or to [`ANSWER_BYTES_MAX`].
    ///
    /// `timeout` covers all of that. Without one the relay waits for as long as the runtime keeps the Worker alive.
    async fn fetch(
        &self,
        request: HttpRequest,
        timeout: Option<Duration>,
    ) -> Result<HttpResponse, HttpError>;
}

/// Decompression.
pub trait Gunzip {
    /// `None`: the input is not gzip, or it decompresses to more than `bytes_max` bytes.
    async fn gunzip(&self, packed: &[u8], bytes_max: usize) -> Option<Vec<u8>>;
}

/// The memory of one instance of the Worker. It is gone when the instance ends.
pub trait Memory {
    /// Whether this is the first call with this text in the instance.
    fn first_seen(&self, what: &str) -> bool;
    /// The text that was remembered under this name, unless it expired.
    fn recall(&self, name: &str) -> Option<String>;
    /// Remembers a text for `ttl`. The instance may forget it sooner.
    fn remember(&self, name: &str, text: &str, ttl: Duration);
}

/// Where log records go.
pub trait Log {
    /// Writes one record.
    fn log(&self, record: &Record);
}

/// Why a connection to a mail server failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketError {
    /// No connection (unknown name, refused).
    Unreachable,
    /// No encryption: the handshake failed, or the certificate is not the server's.
    NotEncrypted,
    /// The connection was lost.
    Lost,
}

impl SocketError {
    /// As it is logged.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::NotEncrypted => "not_encrypted",
            Self::Lost => "lost",
        }
    }
}

errors!(SocketError: "the connection");

/// When a connection becomes encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// From its first byte (implicit TLS).
    Implicit,
    /// When asked for by [`Socket::start_tls`]; plain until then.
    StartTls,
}

/// A connection to a mail server. Dropping it closes it, without waiting.
pub trait Socket {
    /// The next bytes. None: the server closed the connection.
    async fn read(&mut self) -> Result<Vec<u8>, SocketError>;
    /// Hands all the bytes to the network. After an error some may have gone out.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), SocketError>;
    /// Encrypts from here on, for the host that was connected to. A failed handshake may show only at the next read.
    async fn start_tls(&mut self) -> Result<(), SocketError>;
}

/// Connections to mail servers.
pub trait Sockets {
    type Socket: Socket;
    /// Connects. A failure may show only at the first read.
    async fn connect(
        &self,
        host: &str,
        port: u16,
        encryption: Encryption,
    ) -> Result<Self::Socket, SocketError>;
}

/// All the ports. Every handler gets them as one value.
pub trait Ports:
    Clock + Timer + Random + Store + Queue + Http + Gunzip + Memory + Log + Sockets
{
}

impl<T: Clock + Timer + Random + Store + Queue + Http + Gunzip + Memory + Log + Sockets> Ports
    for T
{
}
