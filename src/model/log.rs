//! One structured log record per event, with nothing secret in it.
//!
//! A record is made of ids, slugs, numbers and fixed words: there is no field that could hold an
//! address, a subject, a body, a code or a key.

use super::{
    alert::{Alert, AlertKind, Receiver},
    id::{GrantId, SvixId},
    mail::Slug,
    outcome::{Event, Outcome, Reason},
    problem::Problem,
};
use serde::{Serialize, Serializer};

/// The relay's version, as in `Cargo.toml`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How serious a record is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    #[default]
    Info,
    /// Something is wrong, and the relay goes on by itself.
    Warning,
    /// A mail is lost, or will be, unless somebody acts.
    Error,
}

/// One event, as it is logged. Durations are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    /// As in the answer to Clerk, if there is one.
    pub outcome: Outcome,
    pub reason: Reason,
    /// The account that sent the mail, or that was tried last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<GrantId>,
    /// Which delivery of the queue message this is, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The delay before the next try.
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
    /// The time since Clerk made the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    /// By how much the event's own time and that of the Svix id differ, if that is over a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times_differ_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nylas_calls: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nylas_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nylas_error_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nylas_request_id: Option<String>,
    /// Why the last request to Nylas got no answer: `timeout`, ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nylas_error: Option<&'static str>,
    /// Why the ledger failed last: `daily_limit`, `rate_limited`, ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger_error: Option<&'static str>,
    /// Why the queue refused a message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_error: Option<&'static str>,
    /// How many messages the sweep found whose notification was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<u32>,
    /// The status of the agent's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_status: Option<u16>,
    /// Somebody should look now. Logged as `true`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_true")]
    pub alert: Option<AlertKind>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<Problem>,
    /// The slugs of the templates that were handed back to Clerk, or could not be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<String>,
    /// The receiving servers that the alert is about. Not logged.
    #[serde(skip)]
    pub receiver: Option<Receiver>,
}

impl Record {
    /// A record with only what every record has.
    pub fn new(event: Event, outcome: Outcome, reason: Reason) -> Self {
        Self {
            level: Level::Info,
            event,
            version: Version::default(),
            svix_id: None,
            slug: Slug::default(),
            notification: None,
            reply: None,
            outcome,
            reason,
            account: None,
            attempt: None,
            retry_in_ms: None,
            verification_ms: None,
            ledger_ms: None,
            nylas_ms: None,
            total_ms: None,
            age_ms: None,
            times_differ_ms: None,
            nylas_calls: None,
            nylas_status: None,
            nylas_error_type: None,
            nylas_request_id: None,
            ledger_error: None,
            queue_error: None,
            nylas_error: None,
            found: None,
            agent_status: None,
            alert: None,
            settings: Vec::new(),
            templates: Vec::new(),
            receiver: None,
        }
    }

    /// Adds Nylas' last answer.
    pub fn with_answer(self, answer: LastAnswer) -> Self {
        Self {
            nylas_status: answer.status,
            nylas_error_type: answer.error_type,
            nylas_request_id: answer.request_id,
            nylas_error: answer.error,
            ..self
        }
    }

    /// The alert that goes with the record, if somebody should look now. A sample is nobody's mail.
    pub fn to_alert(&self) -> Option<Alert> {
        let is_sample = self.svix_id.as_ref().is_some_and(SvixId::is_sample);
        let alert = self
            .alert
            .filter(|kind| !(is_sample && kind.is_of_a_user()));
        alert.map(|kind| Alert {
            kind,
            event: self.event,
            outcome: self.outcome,
            reason: self.reason,
            account: self.account.clone(),
            svix_id: self.svix_id.clone(),
            settings: self.settings.clone(),
            templates: self.templates.clone(),
            receiver: self.receiver.clone(),
        })
    }

    /// The record as one line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self)
            .unwrap_or_else(|_| r#"{"level":"error","event":"unloggable"}"#.to_owned())
    }
}

/// Nylas' last answer: its status, error type, and request id, which Nylas' support asks for. Never its message, which
/// may quote the mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastAnswer {
    pub status: Option<u16>,
    pub error_type: Option<String>,
    pub request_id: Option<String>,
    /// Why there was no answer.
    pub error: Option<&'static str>,
}

impl LastAnswer {
    /// What Nylas said, for people: `503 server_error`, `timeout`. `None`: nothing was asked, or it agreed.
    pub fn in_words(&self) -> Option<String> {
        let status = self.status.filter(|status| *status >= 300);
        let status = status.map(|status| status.to_string());
        let error_type = self.error_type.as_deref().filter(|_| status.is_some());
        let words: Vec<&str> = [status.as_deref(), error_type, self.error]
            .into_iter()
            .flatten()
            .collect();
        (!words.is_empty()).then(|| words.join(" "))
    }
}

/// The relay's own version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Version(&'static str);

impl Default for Version {
    fn default() -> Self {
        Self(VERSION)
    }
}

fn as_true<S: Serializer>(_: &Option<AlertKind>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(true)
}

fn is_unnamed(slug: &Slug) -> bool {
    slug.as_str().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_of_json_without_unknown_fields() {
        let record = Record {
            svix_id: SvixId::parse("msg_1"),
            ..Record::new(Event::ClerkWebhook, Outcome::Sent, Reason::AcceptedByNylas)
        };
        assert_eq!(
            record.to_json(),
            format!(
                r#"{{"level":"info","event":"clerk_webhook","version":"{VERSION}","svix_id":"msg_1",{}}}"#,
                r#""outcome":"sent","reason":"accepted_by_nylas""#
            )
        );
    }
}
