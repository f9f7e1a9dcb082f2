//! What travels through the queue.
//!
//! A message is JSON text: crate `worker` serializes structures into JavaScript maps, which the queue turns into `{}`
//! (workers-rs#1013).

use super::{
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
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedMail {
    pub email: Email,
    pub content: QueuedContent,
    pub queued_at: UnixMillis,
    #[serde(
        default,
        rename = "trail",
        deserialize_with = "null_as_default",
        skip_serializing_if = "Route::is_empty"
    )]
    pub route: Route,
}

/// The content itself, or word that it is in the ledger because it is too large to travel.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueuedContent {
    Here(Content),
    InLedger,
}

impl Message {
    /// `None` for what has no JSON, which no message of ours is.
    pub fn to_text(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }

    /// `None` for what this version of the relay cannot read.
    pub fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// What a message holds when it comes out of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Text, as every message of the relay.
    Text(String),
    /// Something else that was put into the queue: what kind it is, and all of it as text.
    Foreign { kind: &'static str, text: String },
}

impl Body {
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Foreign { .. } => None,
        }
    }

    /// As it is kept among the dead letters: whole, so that a person can see what it is.
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

/// What becomes of a queue message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Done with.
    Acknowledge,
    /// Again, after the delay.
    Retry(Duration),
}

#[cfg(test)]
mod tests;
