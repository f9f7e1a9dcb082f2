//! Whether the queue of sign-in mails stands still: a mail in it that the consumer should have had a minute ago.
//!
//! Past the free plan's 10,000 operations Cloudflare stops the consumers until midnight UTC and may go on accepting
//! messages, so a code that is answered 200 `queued` would be lost. The ledger names the oldest mail in the queue. The
//! consumer removes the name when it gets that mail, so a name that is still there when its time is over shows that
//! nothing moves.
//!
//! The name is written by queued mails only, and read in the one operation before every send. It is as good as KV's
//! reads: up to a minute late.

use crate::{
    context::Context,
    ledger::queued::{Newest, Oldest},
    model::{
        alert::AlertKind,
        log::{Level, Record},
        mail::Email,
        outcome::{Event, Outcome, Reason},
        time::{MINUTE, UnixMillis},
    },
    ports::Ports,
};
use std::time::Duration;

/// A message that is due is delivered within a few seconds, unless the queue stands still.
const LATE_AFTER: Duration = Duration::from_secs(30);

/// A mail without a delay is named while it is queued. By then the consumer may have had it.
const NAMED_WITHIN: Duration = Duration::from_secs(2);

/// What is written of a mail that becomes the oldest in the queue.
#[derive(Clone, Copy)]
pub struct Name {
    due_by: UnixMillis,
    /// From then on the consumer may have had the mail, and nobody would remove the name.
    too_late_at: UnixMillis,
}

/// Whether the queue stands still, by what was read ahead.
pub fn stands_still<P: Ports>(context: &Context<'_, P>) -> bool {
    let oldest = context.ledger.oldest_queued();
    oldest.is_some_and(|oldest| is_overdue(&oldest, context.now()))
}

fn is_overdue(oldest: &Oldest, now: UnixMillis) -> bool {
    oldest.due_by <= now
}

/// The name of a mail that is about to be queued, if it becomes the oldest: if none is named that is due sooner.
pub fn name_of_oldest<P: Ports>(context: &Context<'_, P>, delay: Duration) -> Option<Name> {
    let now = context.now();
    let name = Name {
        due_by: now.plus(delay.saturating_add(LATE_AFTER).max(MINUTE)),
        too_late_at: now.plus(delay.max(NAMED_WITHIN)),
    };
    let oldest = context.ledger.oldest_queued();
    let is_oldest = oldest.is_none_or(|oldest| name.due_by < oldest.due_by);
    is_oldest.then_some(name)
}

/// Names a mail as the oldest in the queue. Safe to lose: the next mail that is queued is named instead.
///
/// KV may take seconds to write. A name that comes after the consumer had the mail would say a minute later that
/// nothing moves, so it is not written, or taken back.
pub async fn name_oldest<P: Ports>(context: &Context<'_, P>, email: &Email, name: Name) {
    let is_too_late = || name.too_late_at <= context.now();
    if is_too_late() {
        return;
    }
    let (id, due_by) = (email.svix_id.clone(), name.due_by);
    let _ = context
        .ledger
        .put_oldest_queued(&Oldest { id, due_by })
        .await;
    if is_too_late() {
        let _ = context.ledger.forget_oldest_queued().await;
    }
}

/// The consumer got a mail: removes the name if it is the mail's own, or if it says that nothing moves. `is_named`: the
/// mail was named when it was queued, whatever of that is visible here.
///
/// Safe to lose: the next mail that is processed removes it.
pub async fn moved<P: Ports>(
    context: &Context<'_, P>,
    email: &Email,
    oldest: Option<&Oldest>,
    is_named: bool,
) {
    let now = context.now();
    let is_visible = |oldest: &Oldest| oldest.id == email.svix_id || is_overdue(oldest, now);
    if is_named || oldest.is_some_and(is_visible) {
        let _ = context.ledger.forget_oldest_queued().await;
    }
}

/// Whether a newer code to the same recipient waits in the queue. Then this one would only confuse: Clerk accepts the
/// newest.
pub fn is_superseded(email: &Email, newest: Option<&Newest>) -> bool {
    newest.is_some_and(|newest| newest.id != email.svix_id && newest.created_at > email.created_at)
}

/// Reports that the queue stands still, at most once an hour and instance. Called after the answer.
pub fn report<P: Ports>(context: &Context<'_, P>) {
    let hour = context.now().seconds() / 3600;
    if stands_still(context)
        && context
            .ports
            .first_seen(&format!("queue stands still@{hour}"))
    {
        context.report(&record());
    }
}

/// The record of a queue that stands still. Its alert does not go through the queue.
pub fn record() -> Record {
    Record {
        level: Level::Error,
        alert: Some(AlertKind::Backlog),
        ..Record::new(Event::Outbox, Outcome::Backlog, Reason::QueueStandsStill)
    }
}
