//! What the ledger remembers of replies, and of delivery events.

use super::{Ledger, MONTH, is_short, mail::MAIL_TTL, recipient::RecipientHash};
use crate::{
    model::{
        id::{GrantId, SvixId},
        mail::Slug,
        outcome::{Outcome, Reason},
        time::{DAY, UnixMillis},
    },
    ports::{Clock, Store, StoreError},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

const THREAD_TTL: Duration = DAY.saturating_mul(90);
const NOTIFICATION_TTL: Duration = DAY.saturating_mul(3);

/// Which mail of the relay began a thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    pub svix_id: SvixId,
    #[serde(default)]
    pub slug: Slug,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// When it was sent.
    pub at: UnixMillis,
    /// The address it went to.
    pub recipient: RecipientHash,
}

/// The last delivery event of a mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryEventRecord {
    pub at: UnixMillis,
    /// `delivered`, `bounced`, `complained`, `rejected`, `failed` or `resent`.
    #[serde(rename = "fate")]
    pub event: String,
}

/// A mail that came in, and what was done with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplyRecord {
    /// `person`, `automatic`, `list`, `bounce`, `own`, `gone`.
    pub class: Outcome,
    pub at: UnixMillis,
    pub account: GrantId,
    /// The mail that it answers, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub svix_id: Option<SvixId>,
    /// To whom it was handed on: `agent`, `person`.
    pub handed_to: Vec<&'static str>,
    /// Why it stayed in the mailbox, or was not forwarded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_back: Option<Reason>,
}

impl<P: Store + Clock> Ledger<'_, P> {
    /// Which mail began a thread, if the ledger knows.
    pub async fn thread(
        &self,
        grant_id: &GrantId,
        thread_id: &str,
    ) -> Result<Option<Thread>, StoreError> {
        match thread_key(grant_id, thread_id) {
            Some(key) => self.read(&key).await,
            None => Ok(None),
        }
    }

    /// Remembers which mail began a thread.
    pub async fn put_thread(
        &self,
        grant_id: &GrantId,
        thread_id: &str,
        thread: &Thread,
    ) -> Result<(), StoreError> {
        match thread_key(grant_id, thread_id) {
            Some(key) => self.write(&key, thread, THREAD_TTL).await,
            None => Ok(()),
        }
    }

    /// The last delivery event of a mail.
    pub async fn delivery_event(
        &self,
        id: &SvixId,
    ) -> Result<Option<DeliveryEventRecord>, StoreError> {
        self.read(&format!("fate:{id}")).await
    }

    /// Remembers a delivery event of a mail, in place of the one before.
    pub async fn put_delivery_event(&self, id: &SvixId, event: Outcome) -> Result<(), StoreError> {
        let record = DeliveryEventRecord {
            at: self.ports.now(),
            event: event.as_str().to_owned(),
        };
        self.write(&format!("fate:{id}"), &record, MAIL_TTL).await
    }

    /// Whether a message that came in was processed.
    pub async fn has_reply(&self, id: &str) -> Result<bool, StoreError> {
        self.has(&format!("reply:{id}")).await
    }

    /// Remembers a message that came in, and what was done with it.
    pub async fn put_reply(&self, id: &str, reply: &ReplyRecord) -> Result<(), StoreError> {
        self.write(&format!("reply:{id}"), reply, MONTH).await
    }

    /// Whether the agent accepted the reply.
    pub async fn was_accepted_by_agent(&self, id: &str) -> Result<bool, StoreError> {
        self.has(&format!("handed:{id}")).await
    }

    /// Remembers that the agent accepted the reply.
    pub async fn put_accepted_by_agent(&self, id: &str) -> Result<(), StoreError> {
        self.put_now(&format!("handed:{id}"), MONTH).await
    }

    /// Whether a notification was processed.
    pub async fn was_processed(&self, notification: &str) -> Result<bool, StoreError> {
        self.has(&format!("worked_off:{notification}")).await
    }

    /// Remembers that a notification was processed.
    pub async fn put_processed(&self, notification: &str) -> Result<(), StoreError> {
        self.put_now(&format!("worked_off:{notification}"), NOTIFICATION_TTL)
            .await
    }
}

fn thread_key(grant_id: &GrantId, thread_id: &str) -> Option<String> {
    is_short(thread_id).then(|| format!("thread:{}:{thread_id}", grant_id.as_str()))
}
