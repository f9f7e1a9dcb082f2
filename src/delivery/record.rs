//! Writes what became of a mail into the ledger.

use crate::{
    context::Context,
    ledger::mail::{MailRecord, MailState, Pending},
    model::{
        id::GrantId,
        mail::{Content, Email},
        message::{QueuedContent, QueuedMail},
        outcome::Reason,
        route::Route,
    },
    nylas::send::SentMail,
    ports::{Ports, StoreError},
};

/// A mail that Nylas accepted just now.
pub struct Accepted<'a> {
    pub email: &'a Email,
    pub content: &'a Content,
    pub account: &'a GrantId,
    pub mail: SentMail,
    pub route: &'a Route,
    /// Which delivery of the queue message sent it, from 1; 1 if the webhook did.
    pub attempt: u32,
}

impl Accepted<'_> {
    /// Whether Nylas may still report that it could not send the mail (202), to a relay that gets notifications.
    pub fn may_fail_later<P: Ports>(&self, context: &Context<'_, P>) -> bool {
        self.mail.is_queued && context.config.hears_nylas()
    }
}

/// Records a mail as sent. If it may still fail, its content is stored first.
///
/// The thread that it begins gets no record of its own, which would be a second write for every mail. When somebody
/// replies, which is rare, the mailbox is asked.
///
/// # Errors
/// Why the ledger refused the content or the record.
pub async fn record_sent<P: Ports>(
    context: &Context<'_, P>,
    accepted: &Accepted<'_>,
) -> Result<(), StoreError> {
    let may_fail_later = accepted.may_fail_later(context);
    let (email, mail) = (accepted.email, accepted.mail.clone());
    let ledger = &context.ledger;
    let now = context.now();
    if may_fail_later {
        let pending = Pending {
            message_id: mail.message_id.clone(),
            mail: QueuedMail {
                email: email.clone(),
                content: QueuedContent::Here(accepted.content.clone()),
                queued_at: now,
                is_oldest: false,
                route: accepted.route.clone(),
            },
        };
        // Before the record: an attempt that finds the mail recorded as sent does nothing more.
        ledger.put_pending(&pending).await?;
    }
    let record = MailRecord {
        account: Some(accepted.account.clone()),
        message_id: mail.message_id,
        thread_id: mail.thread_id,
        recipient: Some(context.recipient(&email.to)),
        attempts: u64::from(accepted.attempt),
        ..MailRecord::new(email, MailState::Sent, now)
    };
    ledger.put_mail(&email.svix_id, &record).await
}

/// What is known of a mail that was not sent: why, and what Nylas said last.
pub fn unsent<P: Ports>(
    context: &Context<'_, P>,
    email: &Email,
    state: MailState,
    reason: Reason,
    route: &Route,
) -> MailRecord {
    MailRecord {
        // It may have been sent all the same.
        recipient: Some(context.recipient(&email.to)),
        said: context.nylas.last().in_words(),
        ..MailRecord::new(email, state, context.now()).because(reason, route.clone())
    }
}

/// Records the state of a mail that was not sent. Safe to lose: that only repeats an idempotent send.
pub async fn record<P: Ports>(
    context: &Context<'_, P>,
    email: &Email,
    state: MailState,
    reason: Reason,
    route: &Route,
) {
    let record = unsent(context, email, state, reason, route);
    let _ = context.ledger.put_mail(&email.svix_id, &record).await;
}
