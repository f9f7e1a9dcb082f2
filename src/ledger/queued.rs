//! What the ledger remembers of mails in the queue: which one has waited longest, and which code is the newest for its
//! recipient.

use super::{Ledger, OLDEST_QUEUED, mail::MailRecord, mail_key, recipient::RecipientHash};
use crate::{
    model::{
        id::SvixId,
        mail::Email,
        time::{DAY, UnixMillis},
    },
    ports::{Clock, Store, StoreError},
};
use serde::{Deserialize, Serialize};

/// The mail that was in the queue first, as far as is known here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oldest {
    pub id: SvixId,
    /// If the consumer has not had it by then, the queue stands still.
    pub due_by: UnixMillis,
}

/// The newest code in the queue for one recipient and template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Newest {
    pub id: SvixId,
    /// When Clerk made the event.
    pub created_at: UnixMillis,
}

/// What is known of a queued mail before it is processed.
#[derive(Default)]
pub struct Queued {
    /// The mail's own record.
    pub known: Option<MailRecord>,
    pub oldest: Option<Oldest>,
    /// `None` for what is no code.
    pub newest: Option<Newest>,
}

fn newest_key(hash: &RecipientHash) -> String {
    format!("latest:{}", hash.as_str())
}

impl<P: Store + Clock> Ledger<'_, P> {
    /// Reads what is known of a queued mail, in one operation. If that fails, only the mail's own record is asked for
    /// again: the rest must not delay the mail.
    pub async fn queued(&self, email: &Email, hash: Option<&RecipientHash>) -> Queued {
        let mut keys = vec![mail_key(&email.svix_id), OLDEST_QUEUED.to_owned()];
        keys.extend(hash.map(newest_key));
        self.read_ahead(keys).await;
        Queued {
            known: self.mail(&email.svix_id).await.ok().flatten(),
            oldest: self.oldest_queued(),
            newest: hash.and_then(|hash| self.known_ahead(&newest_key(hash))),
        }
    }

    /// The mail that has been in the queue for longest, if it was read ahead. No operation.
    pub fn oldest_queued(&self) -> Option<Oldest> {
        self.known_ahead(OLDEST_QUEUED)
    }

    /// The same, read now.
    ///
    /// # Errors
    /// Why the ledger could not be read.
    pub async fn read_oldest_queued(&self) -> Result<Option<Oldest>, StoreError> {
        self.read(OLDEST_QUEUED).await
    }

    /// Kept for a day: on the free plan the queue stands still until midnight, and keeps its messages for a day.
    pub async fn put_oldest_queued(&self, oldest: &Oldest) -> Result<(), StoreError> {
        self.write(OLDEST_QUEUED, oldest, DAY).await
    }

    pub async fn forget_oldest_queued(&self) -> Result<(), StoreError> {
        self.delete(OLDEST_QUEUED).await
    }

    /// Remembers a code as the newest for as long as it is of use.
    pub async fn put_newest_queued(
        &self,
        hash: &RecipientHash,
        email: &Email,
    ) -> Result<(), StoreError> {
        let newest = Newest {
            id: email.svix_id.clone(),
            created_at: email.created_at,
        };
        let ttl = email.slug.ttl();
        self.write(&newest_key(hash), &newest, ttl).await
    }
}
