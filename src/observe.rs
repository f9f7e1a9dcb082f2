//! One structured log record per event, with nothing secret in it.
//!
//! A record is made of ids, slugs, numbers and fixed words: there is no field that could hold an
//! address, a subject, a body, a code or a key.

use crate::{
    clerk::Slug,
    config::{GrantId, Problem},
    nylas::LastAnswer,
    webhook::SvixId,
};
use serde::Serialize;

/// The relay's version, as in `Cargo.toml`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How loud a record is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    #[default]
    Info,
    /// Something is in the way; the relay goes on by itself.
    Warning,
    /// A mail is lost, or will be, unless somebody acts.
    Error,
}

/// What a record is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A request of Clerk's.
    #[default]
    ClerkWebhook,
    /// A message of the outbox.
    Outbox,
    /// A message of the dead-letter queue.
    DeadLetter,
    /// An account that cannot send.
    AccountDown,
    /// A request of Nylas'.
    NylasWebhook,
    /// A mail that came in.
    Reply,
    /// A reply on its way to the agent.
    HandOff,
    /// What Nylas said later about a mail.
    MailFate,
    /// An account's grant has changed.
    Grant,
    /// Mailboxes looked through for what no notification told of.
    Sweep,
    /// What is looked at every quarter of an hour.
    Check,
    /// An alert on its way to the operator.
    Alert,
}

impl Event {
    /// As it is logged.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClerkWebhook => "clerk_webhook",
            Self::Outbox => "outbox",
            Self::DeadLetter => "dead_letter",
            Self::AccountDown => "account_down",
            Self::NylasWebhook => "nylas_webhook",
            Self::Reply => "reply",
            Self::HandOff => "hand_off",
            Self::MailFate => "mail_fate",
            Self::Grant => "grant",
            Self::Sweep => "sweep",
            Self::Check => "check",
            Self::Alert => "alert",
        }
    }
}

/// One event, as it is logged. Lengths of time are in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Record {
    pub level: Level,
    pub event: Event,
    pub version: Version,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub svix_id: Option<SvixId>,
    #[serde(skip_serializing_if = "is_unnamed")]
    pub slug: Slug,
    /// Nylas' id of a notification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification: Option<String>,
    /// The relay's id of a mail that came in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// As in the answer to Clerk: `sent`, `queued`, `duplicate`, ...
    pub outcome: &'static str,
    pub reason: &'static str,
    /// The account that sent the mail, or was asked last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<GrantId>,
    /// Which delivery of the queue message this is, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Until the next try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_in_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nylas_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_ms: Option<u64>,
    /// Since Clerk made the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nylas_calls: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nylas_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nylas_error_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nylas_request_id: Option<String>,
    /// How many messages no notification had told of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<u32>,
    /// How the agent answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_status: Option<u16>,
    /// Somebody should look now.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub alert: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<Problem>,
}

impl Record {
    /// Adds what Nylas said last.
    pub fn with_answer(self, answer: LastAnswer) -> Self {
        Self {
            nylas_status: answer.status,
            nylas_error_type: answer.error_type,
            nylas_request_id: answer.request_id,
            ..self
        }
    }

    /// The record as one line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self)
            .unwrap_or_else(|_| r#"{"level":"error","event":"unloggable"}"#.to_owned())
    }
}

/// Always the relay's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Version(&'static str);

impl Default for Version {
    fn default() -> Self {
        Self(VERSION)
    }
}

fn is_unnamed(slug: &Slug) -> bool {
    slug.as_str().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_of_json_without_what_is_not_known() {
        let record = Record {
            svix_id: SvixId::parse("msg_1"),
            outcome: "sent",
            reason: "accepted_by_nylas",
            ..Record::default()
        };
        assert_eq!(
            record.to_json(),
            format!(
                r#"{{"level":"info","event":"clerk_webhook","version":"{VERSION}","svix_id":"msg_1","outcome":"sent","reason":"accepted_by_nylas"}}"#
            )
        );
    }
}
