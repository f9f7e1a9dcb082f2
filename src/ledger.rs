//! What is remembered about a mail and an account, in Workers KV.
//!
//! KV has no compare-and-set, its reads may be a minute old and its writes may fail, so nothing here
//! decides alone: the ledger spares work and tells people, Nylas' idempotency keeps a mail single
//! (see `delivery`). Keys hold ids and keyed hashes only, never an address.
//!
//! | key | value | kept |
//! | --- | --- | --- |
//! | `mail:<svix id>` | [`MailRecord`] | 14 days; `queued` and `waiting` a day past the mail's life |
//! | `body:<svix id>` | a content too large for the queue | a day past the mail's life |
//! | `dead:<svix id>` | a dead letter as it was, content and all | 7 days |
//! | `account:<grant id>` | the mailbox' address and name | 30 days |
//! | `down:<grant id>` | [`DownMark`] | until the mark ends |
//! | `suppressed:<keyed hash>` | nothing: an address that must not be written to | 30 days, or until lifted |
//! | `notification:<id>` | a notification of Nylas' | 30 days |

use crate::{
    clerk::{Content, Email, Slug},
    config::{GrantId, Secret},
    delivery::Trail,
    json::{FromJson, field, optional},
    nylas::{AccountFault, Identity},
    ports::{Clock, Store, StoreError},
    time::{DAY, HOUR, MINUTE, UnixMillis},
    webhook::SvixId,
};
use hmac::{Hmac, Mac};
use serde::Serialize;
use serde_json::Value;
use sha2::Sha256;
use std::{cell::Cell, fmt::Write, time::Duration};

/// Longer than Svix' retries (28 hours) and Clerk's recovery of failed messages (14 days).
const MAIL_KEPT: Duration = DAY.saturating_mul(14);
const DEAD_LETTER_KEPT: Duration = DAY.saturating_mul(7);
const IDENTITY_KEPT: Duration = DAY.saturating_mul(30);
const NOTIFICATION_KEPT: Duration = DAY.saturating_mul(30);
/// KV's shortest.
const LIFETIME_MIN: Duration = MINUTE;

/// Where a mail stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MailState {
    /// Nylas has it.
    Sent,
    /// The outbox has it.
    Queued,
    /// Neither: Clerk was asked to send it again.
    Waiting,
    /// Nylas refused it for good.
    Rejected,
    /// Too old to be of use before it could be sent.
    Expired,
    /// The outbox gave it up; its content is under `dead:`.
    DeadLettered,
}

impl FromJson for MailState {
    fn from_json(value: &Value) -> Option<Self> {
        Some(match value.as_str()? {
            "sent" => Self::Sent,
            "queued" => Self::Queued,
            "waiting" => Self::Waiting,
            "rejected" => Self::Rejected,
            "expired" => Self::Expired,
            "dead_lettered" => Self::DeadLettered,
            _ => return None,
        })
    }
}

impl MailState {
    /// Whether another delivery of the same message has nothing left to do.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Sent | Self::Queued)
    }
}

/// What is remembered of one mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MailRecord {
    pub state: MailState,
    /// When this was written.
    pub at: UnixMillis,
    pub slug: Slug,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<GrantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// How far the search for a working slot has come.
    #[serde(skip_serializing_if = "Trail::is_empty")]
    pub trail: Trail,
}

impl FromJson for MailRecord {
    fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            state: field(value, "state")?,
            at: field(value, "at")?,
            slug: Slug::new(value.get("slug").and_then(Value::as_str)),
            reason: optional(value, "reason")?,
            account: optional(value, "account")?,
            message_id: optional(value, "message_id")?,
            thread_id: optional(value, "thread_id")?,
            user_id: optional(value, "user_id")?,
            trail: optional(value, "trail")?.unwrap_or_default(),
        })
    }
}

impl MailRecord {
    pub fn new(email: &Email, state: MailState, at: UnixMillis) -> Self {
        Self {
            state,
            at,
            slug: email.slug.clone(),
            reason: None,
            account: None,
            message_id: None,
            thread_id: None,
            user_id: email.user_id.clone(),
            trail: Trail::default(),
        }
    }
}

/// An account that said it cannot send. For people: no decision depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DownMark {
    pub reason: String,
    pub since: UnixMillis,
    pub until: UnixMillis,
}

/// The store, with names for what is in it. It counts the time it takes, for the log.
pub struct Ledger<'a, P> {
    ports: &'a P,
    spent: Cell<Duration>,
}

impl<'a, P: Store + Clock> Ledger<'a, P> {
    pub fn new(ports: &'a P) -> Self {
        Self {
            ports,
            spent: Cell::default(),
        }
    }

    /// Time spent waiting for the store, so far.
    pub fn spent(&self) -> Duration {
        self.spent.get()
    }

    pub async fn mail(&self, id: &SvixId) -> Result<Option<MailRecord>, StoreError> {
        self.read(&format!("mail:{id}")).await
    }

    /// Remembers where a mail stands. A failure is nobody's to handle: what it would have spared is
    /// done again, under the same key.
    pub async fn put_mail(&self, email: &Email, record: &MailRecord) -> Result<(), StoreError> {
        let lifetime = match record.state {
            MailState::Queued | MailState::Waiting => email.slug.life().saturating_add(DAY),
            _ => MAIL_KEPT,
        };
        self.write(&format!("mail:{}", email.svix_id), record, lifetime)
            .await
    }

    pub async fn content(&self, id: &SvixId) -> Result<Option<Content>, StoreError> {
        self.read(&format!("body:{id}")).await
    }

    pub async fn put_content(&self, email: &Email, content: &Content) -> Result<(), StoreError> {
        let lifetime = email.slug.life().saturating_add(DAY);
        self.write(&format!("body:{}", email.svix_id), content, lifetime)
            .await
    }

    /// Keeps a dead letter as it is, so that a person can look and send it again.
    pub async fn put_dead_letter(&self, name: &str, text: &str) -> Result<(), StoreError> {
        self.put(&format!("dead:{name}"), text, DEAD_LETTER_KEPT)
            .await
    }

    pub async fn identity(&self, grant_id: &GrantId) -> Option<Identity> {
        self.read(&format!("account:{}", grant_id.as_str()))
            .await
            .ok()
            .flatten()
    }

    pub async fn put_identity(
        &self,
        grant_id: &GrantId,
        identity: &Identity,
    ) -> Result<(), StoreError> {
        let key = format!("account:{}", grant_id.as_str());
        self.write(&key, identity, IDENTITY_KEPT).await
    }

    /// Whether an account is noted to be down. A note that cannot be read is none; it ends by itself.
    pub async fn is_down(&self, grant_id: &GrantId) -> bool {
        let note = self.get(&format!("down:{}", grant_id.as_str())).await;
        matches!(note, Ok(Some(_)))
    }

    /// Notes that an account is down: until midnight UTC where its day is used up, for an hour otherwise.
    pub async fn mark_down(
        &self,
        grant_id: &GrantId,
        fault: AccountFault,
    ) -> Result<(), StoreError> {
        let now = self.ports.now();
        let until = match fault {
            AccountFault::DailyQuota => next_midnight(now),
            _ => now.plus(HOUR),
        };
        let mark = DownMark {
            reason: fault.reason().to_owned(),
            since: now,
            until,
        };
        let key = format!("down:{}", grant_id.as_str());
        self.write(&key, &mark, until.since(now)).await
    }

    /// Whether the address is on the list of those that must not be written to.
    pub async fn is_suppressed(&self, address: &str, key: &Secret) -> Result<bool, StoreError> {
        let value = self.get(&suppression_key(address, key)).await?;
        Ok(value.is_some())
    }

    pub async fn put_notification(&self, id: &str, text: &str) -> Result<(), StoreError> {
        self.put(&format!("notification:{id}"), text, NOTIFICATION_KEPT)
            .await
    }

    async fn read<T: FromJson>(&self, key: &str) -> Result<Option<T>, StoreError> {
        let value = self.get(key).await?;
        // A value of another version of the relay that cannot be read counts as absent.
        Ok(value.and_then(|text| T::from_text(&text)))
    }

    async fn write<T: Serialize>(
        &self,
        key: &str,
        value: &T,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        let text = serde_json::to_string(value).map_err(|_| StoreError)?;
        self.put(key, &text, lifetime).await
    }

    async fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        let started = self.ports.now();
        let result = self.ports.get(key).await;
        self.count(started);
        result
    }

    async fn put(&self, key: &str, value: &str, lifetime: Duration) -> Result<(), StoreError> {
        let started = self.ports.now();
        let result = self.ports.put(key, value, lifetime.max(LIFETIME_MIN)).await;
        self.count(started);
        result
    }

    fn count(&self, started: UnixMillis) {
        let spent = self.ports.now().since(started);
        self.spent.set(self.spent.get().saturating_add(spent));
    }
}

/// The key of an address on the suppression list: an HMAC keyed with the Nylas key, so that nobody
/// who can only read the store learns who is on it.
pub fn suppression_key(address: &str, key: &Secret) -> String {
    let mut name = String::from("suppressed:");
    if let Ok(mac) = Hmac::<Sha256>::new_from_slice(key.reveal().as_bytes()) {
        let address = address.trim().to_ascii_lowercase();
        for byte in mac.chain_update(address).finalize().into_bytes() {
            // Writing to a String cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
    }
    name
}

fn next_midnight(now: UnixMillis) -> UnixMillis {
    const DAY_SECONDS: u64 = 86_400;
    let days = now.seconds() / DAY_SECONDS;
    UnixMillis::from_seconds(days.saturating_add(1).saturating_mul(DAY_SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suppression_key_shows_nothing_of_the_address() {
        let key = Secret::new("nyk_key");
        let name = suppression_key(" Jane@Example.com ", &key);
        assert_eq!(name, suppression_key("jane@example.com", &key));
        assert_ne!(name, suppression_key("john@example.com", &key));
        assert_ne!(
            name,
            suppression_key("jane@example.com", &Secret::new("other"))
        );
        assert_eq!(name.len(), "suppressed:".len() + 64);
    }

    #[test]
    fn a_used_up_day_ends_at_midnight_utc() {
        let noon = UnixMillis::from_seconds(20_000 * 86_400 + 43_200);
        assert_eq!(
            next_midnight(noon),
            UnixMillis::from_seconds(20_001 * 86_400)
        );
        let midnight = UnixMillis::from_seconds(20_000 * 86_400);
        assert_eq!(
            next_midnight(midnight),
            UnixMillis::from_seconds(20_001 * 86_400)
        );
    }

    #[test]
    fn every_state_is_read_back() {
        for state in [
            MailState::Sent,
            MailState::Queued,
            MailState::Waiting,
            MailState::Rejected,
            MailState::Expired,
            MailState::DeadLettered,
        ] {
            let text = serde_json::to_string(&state).unwrap();
            assert_eq!(MailState::from_text(&text), Some(state));
        }
    }

    /// The form is a promise to what is in KV when a new version is deployed.
    #[test]
    fn a_record_of_the_first_version_can_be_read() {
        let text = r#"{"state":"sent","at":1700000000000,"slug":"invitation","account":"g1","message_id":"m","thread_id":"t","user_id":"u"}"#;
        let record = MailRecord::from_text(text).unwrap();
        assert!(record.state.is_done());
        assert_eq!(serde_json::to_string(&record).unwrap(), text);
    }
}
