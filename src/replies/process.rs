//! A queued notification: which handler it goes to.

use super::{
    arrival, delivery_event, grant,
    work::{Work, disposition},
};
use crate::{
    config::Config,
    context::Context,
    model::{
        alert::Alert,
        log::Record,
        message::Disposition,
        outcome::{Event, Outcome, Reason},
    },
    nylas::client::Limits,
    nylas::notification::{Notification, NotificationKind, VerifiedJson},
    ports::Ports,
};
use std::time::Duration;

const LIMITS: Limits = Limits::of_reads(Duration::from_secs(30));

/// Processes a queued notification. No disposition: nobody can process it, so the message goes to the dead letters.
pub async fn process<P: Ports>(
    ports: &P,
    config: &Config,
    text: &str,
    attempt: u32,
) -> (Option<Disposition>, Vec<Alert>) {
    let Ok(notification) = Notification::read(&VerifiedJson::from_queue(text)) else {
        // It was readable when it came in, so another version of the relay queued it.
        return (None, Vec::new());
    };
    let context = Context::new(ports, config, ports.now(), LIMITS);
    let work = Work {
        context: &context,
        account: &notification.account,
        attempt,
    };
    let event = match &notification.kind {
        NotificationKind::Arrived { .. } => Event::Reply,
        NotificationKind::DeliveryEvent(_) => Event::MailFate,
        NotificationKind::Grant(_) => Event::Grant,
    };
    let mut record = Record {
        notification: Some(notification.id.clone()),
        account: Some(notification.account.clone()),
        attempt: Some(attempt),
        ..Record::new(event, Outcome::Retry, Reason::LedgerRefused)
    };
    let worked = match &notification.kind {
        NotificationKind::Arrived { message_id, .. } => {
            arrival::process(&work, message_id, &mut record).await
        }
        NotificationKind::DeliveryEvent(event) => {
            delivery_event::process(&work, &notification.id, event, &mut record).await
        }
        NotificationKind::Grant(change) => grant::process(&work, *change, &mut record).await,
    };
    let disposition = disposition(worked, &mut record, attempt);
    context.report(&context.complete(record));
    (disposition, context.into_alerts())
}
