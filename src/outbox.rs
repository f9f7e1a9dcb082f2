//! What travels through the queue, and when it comes back.
//!
//! A message is JSON text: crate `worker` serializes structures into JavaScript maps, which the
//! queue turns into `{}` (workers-rs#1013).

use crate::{
    clerk::{Content, Email},
    delivery::Trail,
    json::{FromJson, field, optional},
    time::{HOUR, MINUTE, UnixMillis, millis},
};
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// Cloudflare's limit is 128,000 bytes with about 100 of metadata
/// (<https://developers.cloudflare.com/queues/platform/limits/>).
pub const MESSAGE_BYTES_MAX: usize = 127_000;

/// The free plan drops a message after 24 hours and a message has 100 retries; one that waited this
/// long is put into the queue anew.
pub const RENEW_AFTER: Duration = HOUR.saturating_mul(12);

const DELAY_MIN: Duration = Duration::from_secs(2);
const DELAY_MAX: Duration = MINUTE.saturating_mul(15);

/// One message of the outbox.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    Mail(Box<QueuedMail>),
    /// A notification of Nylas', without what is private in it.
    Notification {
        text: String,
    },
    /// Something for the operator: what makes it the same alert again, and the JSON that is posted.
    Alert {
        key: String,
        body: Value,
    },
    /// A reply for the agent: the JSON it is sent.
    HandOff {
        payload: Value,
    },
}

/// A mail on its way.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct QueuedMail {
    pub email: Email,
    pub content: QueuedContent,
    pub queued_at: UnixMillis,
    #[serde(skip_serializing_if = "Trail::is_empty")]
    pub trail: Trail,
}

/// The content itself, or word that it is in the ledger because it is too large to travel.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QueuedContent {
    Here(Content),
    InLedger,
}

impl Message {
    pub fn to_text(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }

    /// `None` for what this version of the relay cannot read.
    pub fn from_text(text: &str) -> Option<Self> {
        let value = serde_json::from_slice::<Value>(text.as_bytes()).ok()?;
        if let Some(mail) = value.get("mail") {
            return Some(Self::Mail(Box::new(QueuedMail::from_json(mail)?)));
        }
        if let Some(hand_off) = value.get("hand_off") {
            let payload = hand_off.get("payload")?.clone();
            return Some(Self::HandOff { payload });
        }
        if let Some(alert) = value.get("alert") {
            return Some(Self::Alert {
                key: field(alert, "key")?,
                body: alert.get("body")?.clone(),
            });
        }
        let text = field(value.get("notification")?, "text")?;
        Some(Self::Notification { text })
    }
}

impl FromJson for QueuedMail {
    fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            email: field(value, "email")?,
            content: field(value, "content")?,
            queued_at: field(value, "queued_at")?,
            trail: optional(value, "trail")?.unwrap_or_default(),
        })
    }
}

impl FromJson for QueuedContent {
    fn from_json(value: &Value) -> Option<Self> {
        match value.as_str() {
            Some("in_ledger") => Some(Self::InLedger),
            _ => field(value, "here").map(Self::Here),
        }
    }
}

/// The same for what is no mail: from ten seconds, twice as long each time, to a quarter of an hour.
pub fn patient_delay(attempt: u32) -> Duration {
    let doubled = 1_u32
        .checked_shl(attempt.saturating_sub(1))
        .unwrap_or(u32::MAX);
    Duration::from_secs(10)
        .saturating_mul(doubled)
        .min(DELAY_MAX)
}

/// How often that is tried: for 22 hours, because the free plan drops a message after 24.
pub const PATIENT_TRIES: u32 = 95;

/// How long to wait before the next try: three quarters of the mail's age, so that tries thin out as
/// hope does (2 s at first, then 1.75 times as long each time), with a fifth of jitter either way, at
/// least as long as Nylas asked for (`at_least`), at most 15 minutes, and with a last try five
/// seconds before the mail expires.
pub fn retry_delay(
    email: &Email,
    now: UnixMillis,
    at_least: Option<Duration>,
    random: u32,
) -> Duration {
    let age_ms = millis(email.age(now));
    let base_ms = (age_ms / 4).saturating_mul(3);
    let jitter_percent = u64::from(random % 41).saturating_add(80);
    let delay = Duration::from_millis(base_ms.saturating_mul(jitter_percent) / 100)
        .max(at_least.unwrap_or_default())
        .clamp(DELAY_MIN, DELAY_MAX);
    const LAST_TRY: Duration = Duration::from_secs(5);
    const SECOND: Duration = Duration::from_secs(1);
    let left = email.expires_at().since(now);
    delay.min(left.saturating_sub(LAST_TRY).max(SECOND))
}

#[cfg(test)]
mod tests;
