//! Rules that make chosen requests go wrong in a chosen way.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// Which requests a [`Rule`] is about.
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
    /// Everything that names an account, folders among them.
    Any,
}

/// A condition and what then happens. The first matching rule with times left wins.
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
    /// How often it happens; `None` is always.
    #[serde(default)]
    pub times: Option<u32>,
    /// What happens.
    pub action: Action,
}

/// What a [`Rule`] does to a request.
///
/// `NeverAnswer` and `DropBefore` are faults of the network: they come before the idempotency key is looked at. The
/// other actions happen only to a request that would run, not to one that is answered from what its key keeps, and a
/// malformed request is refused as always. Where a request takes no mail, the mail's part is left out.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// The mail is taken and the answer given only after this time, even when nobody waits for it any more.
    #[serde(rename = "accept_after_ms")]
    AcceptAfter(#[serde(with = "as_millis")] Duration),
    /// The mail is taken at once and the answer given after this time; until then the key is in flight.
    #[serde(rename = "accept_then_delay_ms")]
    AcceptThenDelay(#[serde(with = "as_millis")] Duration),
    /// No answer at all and no mail; ends when the caller hangs up, and the key stays free.
    NeverAnswer,
    /// This answer.
    Answer {
        /// The HTTP status.
        status: u16,
        /// The body; a string goes out as it is, anything else as JSON.
        #[serde(default)]
        body: Value,
        /// More headers.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// Whether the mail is taken all the same.
        #[serde(default)]
        accept_mail: bool,
        /// Whether the answer is kept under the idempotency key; otherwise the key is free again.
        #[serde(default)]
        keep: bool,
    },
    /// The connection is dropped and the mail not taken.
    DropBefore,
    /// The mail is taken, its answer kept under the key, and the connection dropped.
    DropAfter,
    /// The mail is taken and answered 202, as one that waits in the sending queue.
    #[serde(rename = "queue_202")]
    Queue202,
}

/// What a rule is held against.
pub struct Subject<'a> {
    pub kind: RequestKind,
    pub grant_id: &'a str,
    pub recipient: Option<&'a str>,
    pub key: Option<&'a str>,
}

impl Rule {
    /// Whether the rule is about this request and has times left.
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

    /// Uses the rule once.
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
