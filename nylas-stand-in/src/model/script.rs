//! Rules that make chosen requests fail in a chosen way.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// The requests that a [`Rule`] matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// Sending a message.
    #[default]
    Send,
    /// Listing or fetching messages.
    Find,
    /// Fetching the account.
    Grant,
    /// Every request that names an account, including folders.
    Any,
}

/// A condition and an action. The first matching rule with times left wins.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Only this account.
    #[serde(default)]
    pub grant_id: Option<String>,
    /// Only mails whose first recipient is this address.
    #[serde(default)]
    pub recipient: Option<String>,
    /// Only requests whose `Idempotency-Key` begins so.
    #[serde(default)]
    pub key_prefix: Option<String>,
    /// Only this kind of request.
    #[serde(default)]
    pub kind: RequestKind,
    /// How many requests it matches. `None`: every one.
    #[serde(default)]
    pub times: Option<u32>,
    /// What happens.
    pub action: Action,
}

impl Rule {
    /// The action happens to the next send, whoever sends it.
    pub fn once(action: Action) -> Self {
        Self {
            grant_id: None,
            recipient: None,
            key_prefix: None,
            kind: RequestKind::Send,
            times: Some(1),
            action,
        }
    }
}

/// What a [`Rule`] does to a request.
///
/// `NeverAnswer` and `DropBefore` are faults of the network, so they come before the idempotency key is looked at. The
/// other actions happen only to a well-formed request without a stored answer. For a request that sends no mail, the
/// part about the mail does not apply.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// The mail is accepted and answered after this time, even if the caller has hung up.
    #[serde(rename = "accept_after_ms")]
    AcceptAfter(#[serde(with = "as_millis")] Duration),
    /// As `AcceptAfter`, but the key is free again as soon as the caller hangs up, while the send goes on. So whoever
    /// hangs up and asks again makes two mails. Nylas does not document whether it holds or frees such a key.
    #[serde(rename = "free_key_on_hang_up_ms")]
    FreeKeyOnHangUp(#[serde(with = "as_millis")] Duration),
    /// The mail is accepted at once and answered after this time. Until then the key is in flight.
    #[serde(rename = "accept_then_delay_ms")]
    AcceptThenDelay(#[serde(with = "as_millis")] Duration),
    /// No answer and no mail, until the caller hangs up. The key stays free.
    NeverAnswer,
    /// This answer.
    Answer {
        /// The HTTP status.
        status: u16,
        /// The body. A string is sent as it is, anything else as JSON.
        #[serde(default)]
        body: Value,
        /// More headers.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// Whether the mail is accepted all the same.
        #[serde(default)]
        accept_mail: bool,
        /// Whether the answer is stored under the idempotency key. If not, the key is free again.
        #[serde(default)]
        keep: bool,
    },
    /// The connection is dropped and the mail not accepted.
    DropBefore,
    /// The mail is accepted, its answer stored under the key, and the connection dropped.
    DropAfter,
    /// The mail is accepted and answered 202, as one that waits in the sending queue.
    #[serde(rename = "queue_202")]
    Queue202,
}

/// The request that a rule is compared with.
pub struct Subject<'a> {
    pub kind: RequestKind,
    pub grant_id: &'a str,
    pub recipient: Option<&'a str>,
    pub key: Option<&'a str>,
}

impl Rule {
    /// Whether the rule matches this request and has times left.
    pub fn matches(&self, subject: &Subject) -> bool {
        let same = |wanted: &Option<String>, is: Option<&str>| {
            wanted
                .as_ref()
                .is_none_or(|wanted| is.is_some_and(|is| is.eq_ignore_ascii_case(wanted)))
        };
        self.times != Some(0)
            && (self.kind == RequestKind::Any || self.kind == subject.kind)
            && same(&self.grant_id, Some(subject.grant_id))
            && same(&self.recipient, subject.recipient)
            && self
                .key_prefix
                .as_ref()
                .is_none_or(|prefix| subject.key.is_some_and(|key| key.starts_with(prefix)))
    }

    /// Uses the rule once and returns its action.
    pub fn take(&mut self) -> Action {
        self.times = self.times.map(|times| times.saturating_sub(1));
        self.action.clone()
    }
}

mod as_millis {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(crate::clock::millis(*duration))
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}
