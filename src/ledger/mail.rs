//! What the ledger remembers of one mail.

use super::{
    Ledger, OLDEST_QUEUED, account::account_key, guard::guard_key, is_short, list::complete,
    list::listed_letter, mail_key, recipient::RecipientHash,
};
use crate::{
    model::{
        id::{GrantId, SvixId},
        mail::{Content, Email, Slug},
        message::QueuedMail,
        null_as_default,
        outcome::Reason,
        route::Route,
        time::{DAY, UnixMillis, millis},
    },
    ports::{Clock, Store, StoreError, is_listable},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;

/// As long as Clerk can send a failed message again (14 days), which is longer than Svix retries (28 hours).
pub(super) const MAIL_TTL: Duration = DAY.saturating_mul(14);
const DEAD_LETTER_TTL: Duration = DAY.saturating_mul(7);

/// Where a mail stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailState {
    /// Nylas accepted it.
    Sent,
    /// It is in the queue.
    Queued,
    /// Clerk was asked to send it again, because no queue accepted it.
    Waiting,
    /// Nylas refused it for good.
    Rejected,
    /// Its TTL ended before it could be sent.
    Expired,
    /// It was given up. The dead letter, with its content, is under `dead:`.
    DeadLettered,
    /// It is a code, and a newer one to the same recipient was in the queue.
    Superseded,
}

impl MailState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Sent,
        Self::Queued,
        Self::Waiting,
        Self::Rejected,
        Self::Expired,
        Self::DeadLettered,
        Self::Superseded,
    ];

    /// As it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Queued => "queued",
            Self::Waiting => "waiting",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::DeadLettered => "dead_lettered",
            Self::Superseded => "superseded",
        }
    }

    /// Whether another webhook with the same id has nothing left to do.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Sent | Self::Queued)
    }

    /// Which state may follow which.
    ///
    /// A mail that was sent stays sent, whatever a slower attempt ends with, unless Nylas reported that it could not
    /// send it (`send_failed`). Any other state may change: somebody presses Resend, or redrives a dead letter.
    pub fn may_become(self, next: Self, send_failed: bool) -> bool {
        match (self, next) {
            (Self::Sent, Self::Sent) => true,
            (
                Self::Sent,
                Self::Queued
                | Self::Rejected
                | Self::Expired
                | Self::DeadLettered
                | Self::Waiting
                | Self::Superseded,
            ) => send_failed,
            (
                Self::Queued
                | Self::Waiting
                | Self::Rejected
                | Self::Expired
                | Self::DeadLettered
                | Self::Superseded,
                Self::Sent
                | Self::Queued
                | Self::Waiting
                | Self::Rejected
                | Self::Expired
                | Self::DeadLettered
                | Self::Superseded,
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
    /// To whom it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<RecipientHash>,
    /// The age of Clerk's event when this was written: how long the user had waited.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "is_zero"
    )]
    pub age_ms: u64,
    /// Which delivery of the queue message sent it, from 1; 1 if the webhook did.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "is_zero"
    )]
    pub attempts: u64,
    /// When it is tried again, as was known when this was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<UnixMillis>,
    /// What Nylas said last of a mail that was not sent: the status and the kind of error, or why there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// The hops it tried so far.
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

    /// Adds why the mail has this state, and its route, from which the next attempt continues.
    pub fn because(self, reason: Reason, route: Route) -> Self {
        Self {
            reason: Some(reason.as_str().to_owned()),
            route,
            ..self
        }
    }

    /// A record with nothing known but the mail and its state.
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
            recipient: None,
            age_ms: millis(email.age(at)),
            attempts: 0,
            retry_at: None,
            said: None,
            route: Route::default(),
        }
    }

    /// What is listed of a record that is too long to be listed whole.
    fn brief(&self) -> Self {
        Self {
            message_id: None,
            thread_id: None,
            user_id: None,
            route: Route::default(),
            ..self.clone()
        }
    }
}

/// A mail that Nylas queued (202), stored so that it can be sent again if Nylas reports that it could not send it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Nylas' id of the message that may fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    pub mail: QueuedMail,
}

impl<P: Store + Clock> Ledger<'_, P> {
    /// Reads what is known of a mail and its recipient in one operation: the mail's record, whether the recipient is
    /// suppressed, and the oldest mail in the queue. `guarded`: also whether the recipient is proven, and the guard of
    /// that account. `unknown`: also that account's address and name.
    ///
    /// The answers are then given by [`Self::mail`], `is_suppressed`, `is_proven`, `guard` and `identity`, without
    /// another operation.
    pub async fn read_mail_ahead(
        &self,
        email: &Email,
        recipient: &RecipientHash,
        guarded: Option<&GrantId>,
        unknown: Option<&GrantId>,
    ) {
        let mut keys = vec![
            mail_key(&email.svix_id),
            recipient.suppression_key(),
            OLDEST_QUEUED.to_owned(),
        ];
        if let Some(account) = guarded {
            keys.extend([recipient.proof_key(), guard_key(account)]);
        }
        keys.extend(unknown.map(account_key));
        self.read_ahead(keys).await;
    }

    /// A mail's record.
    pub async fn mail(&self, id: &SvixId) -> Result<Option<MailRecord>, StoreError> {
        self.read(&mail_key(id)).await
    }

    /// A mail's record as it is stored, with fields that this version may not know, as a row of a list.
    pub async fn raw_mail(&self, id: &SvixId) -> Result<Option<Value>, StoreError> {
        let row: Option<Map<String, Value>> = self.read(&mail_key(id)).await?;
        Ok(row.map(|mut row| {
            complete(&mut row, id.as_str());
            Value::Object(row)
        }))
    }

    /// Writes a mail's record. Mostly safe to lose: that only repeats an idempotent send.
    pub async fn put_mail(&self, id: &SvixId, record: &MailRecord) -> Result<(), StoreError> {
        let ttl = match record.state {
            MailState::Queued | MailState::Waiting => record.slug.ttl().saturating_add(DAY),
            _ => MAIL_TTL,
        };
        let text = |record| serde_json::to_string(record).map_err(|_| StoreError::TooLarge);
        let (key, whole) = (mail_key(id), text(record)?);
        if is_listable(&whole) {
            return self.put(&key, &whole, ttl).await;
        }
        let listed = text(&record.brief())?;
        self.put_listed(&key, &whole, &listed, ttl).await
    }

    /// What became of a mail before it was redriven: rows of its history, oldest first.
    pub async fn past(&self, id: &SvixId) -> Result<Vec<Value>, StoreError> {
        let past = self.read(&format!("past:{id}")).await?;
        Ok(past.unwrap_or_default())
    }

    /// Remembers what became of a mail before it was redriven.
    pub async fn put_past(&self, id: &SvixId, past: &[Value]) -> Result<(), StoreError> {
        self.write(&format!("past:{id}"), &past, MAIL_TTL).await
    }

    /// The content of a mail that was too large for a queue message.
    pub async fn content(&self, id: &SvixId) -> Result<Option<Content>, StoreError> {
        self.read(&format!("body:{id}")).await
    }

    /// Stores a content that is too large for a queue message.
    pub async fn put_content(&self, email: &Email, content: &Content) -> Result<(), StoreError> {
        let ttl = email.slug.ttl().saturating_add(DAY);
        self.write(&format!("body:{}", email.svix_id), content, ttl)
            .await
    }

    /// A dead letter, as the queue delivered it.
    pub async fn dead_letter(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.get(&format!("dead:{name}")).await
    }

    /// Stores a dead letter unchanged, so that a person can look at it and redrive it.
    pub async fn put_dead_letter(&self, name: &str, text: &str) -> Result<(), StoreError> {
        let key = format!("dead:{name}");
        self.put_listed(&key, text, &listed_letter(text), DEAD_LETTER_TTL)
            .await
    }

    /// Removes a dead letter.
    pub async fn delete_dead_letter(&self, name: &str) -> Result<(), StoreError> {
        self.delete(&format!("dead:{name}")).await
    }

    /// A mail that Nylas queued, and that may still fail.
    pub async fn pending(&self, id: &SvixId) -> Result<Option<Pending>, StoreError> {
        self.read(&format!("pending:{id}")).await
    }

    /// Stores a mail that Nylas queued until the mail expires, and for a day at most.
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

    /// The mail that Nylas queued under this message id.
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

    /// Remembers that Nylas reported that it could not send this message.
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

    /// A new version finds records of older ones in KV.
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
