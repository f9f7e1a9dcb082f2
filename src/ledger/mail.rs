//! What is remembered of one mail.

use super::{
    Ledger,
    account::account_key,
    is_short,
    recipient::{bounces_key, suppression_key},
};
use crate::{
    model::{
        id::{GrantId, SvixId},
        mail::{Content, Email, Slug},
        message::QueuedMail,
        null_as_default,
        outcome::Reason,
        route::Route,
        secret::Secret,
        time::{DAY, UnixMillis, millis},
    },
    ports::{Clock, Store, StoreError},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// Longer than Svix' retries (28 hours) and Clerk's recovery of failed messages (14 days).
pub(super) const MAIL_TTL: Duration = DAY.saturating_mul(14);
const DEAD_LETTER_TTL: Duration = DAY.saturating_mul(7);

/// Where a mail stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailState {
    /// Nylas has it.
    Sent,
    /// The queue has it.
    Queued,
    /// Neither: Clerk was asked to send it again.
    Waiting,
    /// Nylas refused it for good.
    Rejected,
    /// Too old to be of use before it could be sent.
    Expired,
    /// The queue gave it up; its content is under `dead:`.
    DeadLettered,
}

impl MailState {
    pub const ALL: [Self; 6] = [
        Self::Sent,
        Self::Queued,
        Self::Waiting,
        Self::Rejected,
        Self::Expired,
        Self::DeadLettered,
    ];

    /// Whether another webhook with the same id has nothing left to do.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Sent | Self::Queued)
    }

    /// Which state may follow which.
    ///
    /// A mail that was sent stays sent, whatever a slower attempt thinks of it, unless Nylas reported that it could not
    /// send it after all (`send_failed`). Everything else may be judged afresh: Clerk's Resend, or a redriven dead
    /// letter.
    pub fn may_become(self, next: Self, send_failed: bool) -> bool {
        match (self, next) {
            (Self::Sent, Self::Sent) => true,
            (
                Self::Sent,
                Self::Queued | Self::Rejected | Self::Expired | Self::DeadLettered | Self::Waiting,
            ) => send_failed,
            (
                Self::Queued | Self::Waiting | Self::Rejected | Self::Expired | Self::DeadLettered,
                Self::Sent
                | Self::Queued
                | Self::Waiting
                | Self::Rejected
                | Self::Expired
                | Self::DeadLettered,
            ) => true,
        }
    }
}

/// What is remembered of one mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailRecord {
    pub state: MailState,
    /// When this was written.
    pub at: UnixMillis,
    #[serde(default)]
    pub slug: Slug,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<GrantId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Since Clerk made the event: what the user has waited.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "is_zero"
    )]
    pub age_ms: u64,
    /// Which delivery of the queue message it was; 1 where the webhook did it.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "is_zero"
    )]
    pub attempts: u64,
    /// Where it was tried so far.
    #[serde(
        default,
        rename = "trail",
        deserialize_with = "null_as_default",
        skip_serializing_if = "Route::is_empty"
    )]
    pub route: Route,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl MailRecord {
    /// Whether the mail is out: sent, and not by a message that `route` knows to have failed.
    pub fn is_sent(&self, route: &Route) -> bool {
        self.state == MailState::Sent && !route.has_failed(self.message_id.as_deref())
    }

    /// A record that says why, with the route so far: a resend asks where this attempt was.
    pub fn because(self, reason: Reason, route: Route) -> Self {
        Self {
            reason: Some(reason.as_str().to_owned()),
            route,
            ..self
        }
    }

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
            age_ms: millis(email.age(at)),
            attempts: 0,
            route: Route::default(),
        }
    }
}

/// A mail Nylas queued itself, as it would go into the queue again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    pub mail: QueuedMail,
}

impl<P: Store + Clock> Ledger<'_, P> {
    /// Reads what is known of a mail and its recipient, in one wait: its record, whether the recipient must not be
    /// written to, and, where they are wanted, the bounces of the recipient's domain and the account's own address and
    /// name.
    pub async fn read_mail_ahead(
        &self,
        email: &Email,
        key: &Secret,
        with_bounces: bool,
        account: Option<&GrantId>,
    ) {
        let mut keys = vec![
            format!("mail:{}", email.svix_id),
            suppression_key(&email.to, key),
        ];
        keys.extend(with_bounces.then(|| bounces_key(&email.to, key)));
        keys.extend(account.map(account_key));
        self.read_ahead(keys).await;
    }

    pub async fn mail(&self, id: &SvixId) -> Result<Option<MailRecord>, StoreError> {
        self.read(&format!("mail:{id}")).await
    }

    /// What is kept of a mail, as it is.
    pub async fn raw_mail(&self, id: &SvixId) -> Result<Option<Value>, StoreError> {
        self.read(&format!("mail:{id}")).await
    }

    /// Remembers where a mail stands. Mostly safe to lose: that only repeats an idempotent send.
    pub async fn put_mail(&self, id: &SvixId, record: &MailRecord) -> Result<(), StoreError> {
        let ttl = match record.state {
            MailState::Queued | MailState::Waiting => record.slug.ttl().saturating_add(DAY),
            _ => MAIL_TTL,
        };
        self.write(&format!("mail:{id}"), record, ttl).await
    }

    pub async fn content(&self, id: &SvixId) -> Result<Option<Content>, StoreError> {
        self.read(&format!("body:{id}")).await
    }

    pub async fn put_content(&self, email: &Email, content: &Content) -> Result<(), StoreError> {
        let ttl = email.slug.ttl().saturating_add(DAY);
        self.write(&format!("body:{}", email.svix_id), content, ttl)
            .await
    }

    pub async fn dead_letter(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.get(&format!("dead:{name}")).await
    }

    /// Keeps a dead letter as it is, so that a person can look and send it again.
    pub async fn put_dead_letter(&self, name: &str, text: &str) -> Result<(), StoreError> {
        self.put(&format!("dead:{name}"), text, DEAD_LETTER_TTL)
            .await
    }

    pub async fn delete_dead_letter(&self, name: &str) -> Result<(), StoreError> {
        self.delete(&format!("dead:{name}")).await
    }

    pub async fn pending(&self, id: &SvixId) -> Result<Option<Pending>, StoreError> {
        self.read(&format!("pending:{id}")).await
    }

    /// Keeps a mail that Nylas queued, until it is clear that it went out.
    pub async fn put_pending(&self, pending: &Pending) -> Result<(), StoreError> {
        let email = &pending.mail.email;
        let ttl = email.expires_at().since(self.ports.now()).min(DAY);
        self.write(&format!("pending:{}", email.svix_id), pending, ttl)
            .await?;
        match pending.message_id.as_deref().filter(|id| is_short(id)) {
            Some(id) => {
                let svix_id = email.svix_id.as_str();
                self.put(&format!("accepted:{id}"), svix_id, ttl).await
            }
            None => Ok(()),
        }
    }

    /// The mail Nylas queued under this message id.
    pub async fn accepted(&self, message_id: &str) -> Result<Option<SvixId>, StoreError> {
        if !is_short(message_id) {
            return Ok(None);
        }
        let id = self.get(&format!("accepted:{message_id}")).await?;
        Ok(id.and_then(|id| SvixId::parse(&id)))
    }

    /// Whether Nylas reported that it could not send this message.
    pub async fn has_failed(&self, message_id: &str) -> Result<bool, StoreError> {
        Ok(is_short(message_id) && self.has(&format!("failed:{message_id}")).await?)
    }

    pub async fn put_failed(&self, message_id: &str) -> Result<(), StoreError> {
        if is_short(message_id) {
            self.put_now(&format!("failed:{message_id}"), DAY).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_read_back() {
        for state in MailState::ALL {
            let text = serde_json::to_string(&state).unwrap();
            assert_eq!(serde_json::from_str::<MailState>(&text).unwrap(), state);
        }
    }

    #[test]
    fn only_a_reported_failure_undoes_a_sent_mail() {
        for before in MailState::ALL {
            for next in MailState::ALL {
                let is_undone = before == MailState::Sent && next != MailState::Sent;
                assert_eq!(before.may_become(next, false), !is_undone);
                assert!(before.may_become(next, true));
            }
        }
    }

    /// The form is a promise to what is in KV when a new version is deployed.
    #[test]
    fn a_record_of_the_first_version_can_be_read() {
        let text = concat!(
            r#"{"state":"sent","at":1700000000000,"slug":"invitation","account":"g1","message_id":"m","#,
            r#""thread_id":"t","user_id":"u"}"#,
        );
        let record: MailRecord = serde_json::from_str(text).unwrap();
        assert!(record.state.is_done());
        assert_eq!(serde_json::to_string(&record).unwrap(), text);
    }
}
