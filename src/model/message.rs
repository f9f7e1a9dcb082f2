//! Queue messages.
//!
//! A message is JSON text: crate `worker` serializes structures into JavaScript maps, which the queue turns into `{}`
//! (workers-rs#1013).

use super::{
    account::AccountFault,
    id::SvixId,
    mail::{Content, Email},
    null_as_default,
    route::Route,
    time::UnixMillis,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// Cloudflare's limit is 128,000 bytes with about 100 of metadata
/// (<https://developers.cloudflare.com/queues/platform/limits/>).
pub const MESSAGE_BYTES_MAX: usize = 127_000;

/// One message of the queue.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    Mail(Box<QueuedMail>),
    /// A notification of Nylas', without what is private in it.
    Notification {
        text: String,
    },
    /// An alert for the operator. Alerts with the same `key` are the same alert; `body` is the JSON to post.
    Alert {
        key: String,
        body: Value,
    },
    /// A probe of `relayctl prove`: how long does a message wait?
    Probe {
        id: String,
        at: UnixMillis,
    },
    /// A reply for the agent: the JSON to post.
    HandOff {
        payload: Value,
    },
    HandBack(HandBack),
}

/// Templates are to be handed back to Clerk, because every account is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandBack {
    /// When that was decided.
    pub at: UnixMillis,
    /// What is wrong with the account that was tried last.
    pub fault: AccountFault,
    /// The mails that found it so. If one of them was sent since, an account is well again.
    pub mails: Vec<SvixId>,
}

/// Which of the two queues a message goes through. The consumer does not ask which one it came through, so that what an
/// older version put into the other one is processed, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Mails that somebody waits for: binding `OUTBOX`.
    Outbox,
    /// Notifications, hand-offs, forwards and alerts: binding `INBOX`.
    Inbox,
}

/// A mail in the queue, with the route it has followed so far.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedMail {
    pub email: Email,
    pub content: QueuedContent,
    pub queued_at: UnixMillis,
    /// The ledger names this mail as the oldest in the queue, or soon will.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "is_false"
    )]
    pub is_oldest: bool,
    #[serde(
        default,
        rename = "trail",
        deserialize_with = "null_as_default",
        skip_serializing_if = "Route::is_empty"
    )]
    pub route: Route,
}

/// Where the content of a queued mail is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueuedContent {
    /// In the message.
    Here(Content),
    /// In the ledger, because it is too large for a message.
    InLedger,
}

fn is_false(value: &bool) -> bool {
    !*value
}

impl QueuedMail {
    /// A forwarded reply has time; every other mail is one of Clerk's.
    pub fn lane(&self) -> Lane {
        match self.email.only_account {
            Some(_) => Lane::Inbox,
            None => Lane::Outbox,
        }
    }
}

impl Message {
    /// The queue that the message belongs into.
    pub fn lane(&self) -> Lane {
        match self {
            Self::Mail(mail) => mail.lane(),
            // It asks how long a code would wait.
            Self::Probe { .. } => Lane::Outbox,
            // The codes to come wait for it.
            Self::HandBack(_) => Lane::Outbox,
            Self::Notification { .. } | Self::HandOff { .. } | Self::Alert { .. } => Lane::Inbox,
        }
    }

    /// The message as JSON text. `None` if it cannot be serialized, which does not happen to these types.
    pub fn to_text(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }

    /// Reads a message. `None` for what this version of the relay does not know.
    pub fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// The body of a message as the queue delivers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Text, like every message that the relay queues.
    Text(String),
    /// Something else that somebody put into the queue: its type, and all of it as text.
    Foreign { kind: &'static str, text: String },
}

impl Body {
    /// The body if it is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Foreign { .. } => None,
        }
    }

    /// The body as a dead letter: whole, so that a person can see what it is.
    pub fn to_letter(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Foreign { kind, text } => {
                json!({"foreign": {"kind": kind, "body": text}}).to_string()
            }
        }
    }
}

/// One message as the queue delivers it.
pub struct Delivery<'a> {
    /// The queue's own id of the message.
    pub id: &'a str,
    pub body: &'a Body,
    /// Which delivery of the message this is, from 1.
    pub attempt: u32,
}

/// What to do with a queue message after it was processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Remove it from the queue.
    Acknowledge,
    /// Deliver it again after the delay.
    Retry(Duration),
}

#[cfg(test)]
mod tests;
