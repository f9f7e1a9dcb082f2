//! Clerk: its events, signed by Svix' own library.

use crate::relay::{Relay, Response, SECRET};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Everything private in a test's event contains this, so that a leak can be found.
pub const MARKER: &str = "marker";

#[allow(clippy::disallowed_methods)]
pub fn now_seconds() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since_epoch.as_secs()).unwrap()
}

/// What this returns, and how long it took.
#[allow(clippy::disallowed_methods)]
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let done = work();
    (done, begun.elapsed())
}

/// An id as Svix makes one: a KSUID, which begins with the time. The process and the number make it unique.
fn svix_id(seconds: i64, number: u32) -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let since = u32::try_from(seconds - 1_400_000_000).unwrap();
    let mut bytes = [0_u8; 20];
    bytes[..4].copy_from_slice(&since.to_be_bytes());
    bytes[8..12].copy_from_slice(&std::process::id().to_be_bytes());
    bytes[16..].copy_from_slice(&number.to_be_bytes());
    let mut letters = [b'0'; 27];
    for letter in letters.iter_mut().rev() {
        let mut rest = 0_u32;
        for byte in &mut bytes {
            rest = rest * 256 + u32::from(*byte);
            *byte = u8::try_from(rest / 62).unwrap();
            rest %= 62;
        }
        *letter = DIGITS[rest as usize];
    }
    format!("msg_{}", str::from_utf8(&letters).unwrap())
}

/// An event and its Svix id.
#[derive(Clone)]
pub struct Event {
    pub id: String,
    pub to: String,
    pub json: Value,
}

impl Event {
    /// A new event of that template, to an address of its own.
    pub fn new(slug: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let to = format!("{MARKER}-{number}@Example.com");
        let id = svix_id(now_seconds(), number);
        let json = json!({
            "object": "event", "type": "email.created", "instance_id": "ins_1", "timestamp": now_seconds(),
            "event_attributes": {"http_request": {"client_ip": "0.0.0.0", "user_agent": "test"}},
            "data": {
                "id": format!("ema_{number}"), "object": "email", "slug": slug,
                "from_email_name": "notifications", "reply_to_email_name": null,
                "to_email_address": to, "email_address_id": "idn_1", "user_id": "user_1",
                "subject": format!("{MARKER} subject {number}\n"),
                "body": format!("<!DOCTYPE html><p>{MARKER}-code {number}</p>"),
                "body_plain": format!("{MARKER}-code {number}\n"), "status": "queued",
                "data": {"otp_code": format!("{MARKER}{number}")}, "delivered_by_clerk": false
            }
        });
        Self { id, to, json }
    }

    pub fn code() -> Self {
        Self::new("verification_code")
    }

    /// Changes a field of `data`.
    pub fn with(mut self, field: &str, value: Value) -> Self {
        self.json["data"][field] = value;
        self
    }

    /// Sets when it was made: that long ago.
    pub fn aged(self, seconds: i64) -> Self {
        let made_at = now_seconds() - seconds;
        let number = self.id.bytes().fold(1_u32, |number, byte| {
            number.wrapping_mul(31).wrapping_add(u32::from(byte))
        });
        let id = svix_id(made_at, number);
        let aged = Self { id, ..self };
        aged.stamped(made_at)
    }

    /// Sets the event's own time, and leaves its id's as it is.
    pub fn stamped(mut self, timestamp: i64) -> Self {
        self.json["timestamp"] = json!(timestamp);
        self
    }

    pub fn body(&self) -> Vec<u8> {
        self.json.to_string().into_bytes()
    }

    /// Delivers it as Svix does.
    pub fn deliver(&self, relay: &Relay) -> Response {
        self.deliver_under(relay, "")
    }

    /// Delivers it to one of several Workers.
    pub fn deliver_under(&self, relay: &Relay, prefix: &str) -> Response {
        let path = format!("{prefix}/api/webhooks/clerk");
        post(relay, &path, &self.id, &self.body(), SECRET, now_seconds())
    }
}

/// Delivers any body, signed with this secret at this time.
pub fn deliver(relay: &Relay, id: &str, body: &[u8], secret: &str, timestamp: i64) -> Response {
    post(relay, "/api/webhooks/clerk", id, body, secret, timestamp)
}

fn post(
    relay: &Relay,
    path: &str,
    id: &str,
    body: &[u8],
    secret: &str,
    timestamp: i64,
) -> Response {
    let signature = sign(id, body, secret, timestamp);
    let timestamp = timestamp.to_string();
    let headers = [
        ("Content-Type", "application/json"),
        ("Svix-Id", id),
        ("Svix-Timestamp", timestamp.as_str()),
        ("Svix-Signature", signature.as_str()),
    ];
    relay.post(path, &headers, body)
}

pub fn sign(id: &str, body: &[u8], secret: &str, timestamp: i64) -> String {
    let webhook = svix::webhooks::Webhook::new(secret).unwrap();
    webhook.sign(id, timestamp, body).unwrap()
}
