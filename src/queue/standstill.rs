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

/// By when the consumer must have had a mail that is queued now.
pub fn due_by(now: UnixMillis, delay: Duration) -> UnixMillis {
    now.plus(delay.saturating_add(LATE_AFTER).max(MINUTE))
}

/// Whether the queue stands still, by what was read ahead.
pub fn stands_still<P: Ports>(context: &Context<'_, P>) -> bool {
    let oldest = context.ledger.oldest_queued();
    oldest.is_some_and(|oldest| is_overdue(&oldest, context.now()))
}

fn is_overdue(oldest: &Oldest, now: UnixMillis) -> bool {
    oldest.due_by <= now
}

/// Whether a mail that is about to be queued will be named as the oldest: if none is named that is due sooner.
pub fn becomes_oldest<P: Ports>(context: &Context<'_, P>, delay: Duration) -> bool {
    let due_by = due_by(context.now(), delay);
    let oldest = context.ledger.oldest_queued();
    oldest.is_none_or(|oldest| due_by < oldest.due_by)
}

/// Names a mail as the oldest in the queue. Safe to lose: the next mail that is queued is named instead.
pub async fn name_oldest<P: Ports>(context: &Context<'_, P>, email: &Email, due_by: UnixMillis) {
    let id = email.svix_id.clone();
    let oldest = Oldest { id, due_by };
    let _ = context.ledger.put_oldest_queued(&oldest).await;
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
