//! Remembers what became of a mail.

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
    /// Which delivery of the queue message it was; 1 where the webhook did it.
    pub attempt: u32,
}

impl Accepted<'_> {
    /// Whether Nylas may still report that it could not send the mail, and the relay would hear of it.
    pub fn may_fail_later<P: Ports>(&self, context: &Context<'_, P>) -> bool {
        self.mail.is_queued && context.config.hears_nylas()
    }
}

/// Remembers a mail as sent, and with its content if it may still fail.
///
/// Which thread it began is not written: when somebody replies, which is rare, the mailbox knows.
///
/// # Errors
/// The ledger did not take what a late failure needs, or the record itself.
pub async fn record_sent<P: Ports>(
    context: &Context<'_, P>,
    accepted: Accepted<'_>,
) -> Result<(), StoreError> {
    let may_fail_later = accepted.may_fail_later(context);
    let Accepted { email, mail, .. } = accepted;
    let ledger = &context.ledger;
    let now = context.now();
    if may_fail_later {
        let pending = Pending {
            message_id: mail.message_id.clone(),
            mail: QueuedMail {
                email: email.clone(),
                content: QueuedContent::Here(accepted.content.clone()),
                queued_at: now,
                route: accepted.route.clone(),
            },
        };
        // Before the record: an attempt that finds the mail recorded as sent does no more.
        ledger.put_pending(&pending).await?;
    }
    let record = MailRecord {
        account: Some(accepted.account.clone()),
        message_id: mail.message_id,
        thread_id: mail.thread_id,
        attempts: u64::from(accepted.attempt),
        ..MailRecord::new(email, MailState::Sent, now)
    };
    ledger.put_mail(&email.svix_id, &record).await
}

/// Remembers where a mail stands. Safe to lose: that only repeats an idempotent send.
pub async fn record<P: Ports>(
    context: &Context<'_, P>,
    email: &Email,
    state: MailState,
    reason: Reason,
    route: &Route,
) {
    let record = MailRecord::new(email, state, context.now()).because(reason, route.clone());
    let _ = context.ledger.put_mail(&email.svix_id, &record).await;
}
