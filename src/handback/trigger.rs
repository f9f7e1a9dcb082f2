//! A mail found every account at fault: has the templates handed back, if that is the time for it.

use super::decide::{Trigger, trigger};
use crate::{
    context::Context,
    ledger::handback::Met,
    model::{
        account::AccountFault,
        alert::AlertKind,
        log::{Level, Record},
        mail::Email,
        message::{HandBack, Message},
        outcome::{Event, Outcome, Reason},
        time::MINUTE,
    },
    ports::Ports,
};
use futures_util::FutureExt;
use std::time::Duration;

/// What the instance remembers a hand-back by, until the ledger shows it everywhere.
const QUEUED: &str = "handing_back";

/// Queues a hand-back, if the attempt at the mail found every account at fault, and that has lasted.
///
/// It is called after the answer, because it asks the ledger and no mail should wait for that. Any other mail costs
/// nothing here.
pub async fn consider<P: Ports>(context: &Context<'_, P>, email: &Email) {
    if let Some(fault) = context.take_all_at_fault() {
        // Boxed, so that it is code of its own: no other mail waits for its compilation.
        consider_fault(context, email, fault).boxed_local().await;
    }
}

async fn consider_fault<P: Ports>(context: &Context<'_, P>, email: &Email, fault: AccountFault) {
    // A forwarded reply has one account, and its reader is not a user of Clerk's.
    let is_of_clerk = email.only_account.is_none();
    if context.config.clerk_api.is_none() || !is_of_clerk || context.ports.recall(QUEUED).is_some()
    {
        return;
    }
    let now = context.now();
    let (met, was_queued_lately) = context.ledger.hand_back_state().await;
    match trigger(&email.svix_id, fault, met.as_ref(), was_queued_lately, now) {
        Trigger::Wait => {}
        Trigger::Remember => {
            let svix_id = email.svix_id.clone();
            // Safe to lose: then the next mail is the first.
            let _ = context.ledger.put_met(&Met { svix_id, at: now }).await;
        }
        Trigger::HandBack => {
            let mut mails = vec![email.svix_id.clone()];
            mails.extend(
                met.map(|met| met.svix_id)
                    .filter(|first| *first != email.svix_id),
            );
            let message = Message::HandBack(HandBack {
                at: now,
                fault,
                mails,
            });
            let text = message.to_text().unwrap_or_default();
            let is_queued = context
                .enqueue(message.lane(), &text, Duration::ZERO)
                .await
                .is_ok();
            let record = Record {
                svix_id: Some(email.svix_id.clone()),
                ..Record::new(Event::HandBack, Outcome::Queued, fault.reason())
            };
            if !is_queued {
                // The next mail tries it again.
                return context.report(&Record {
                    level: Level::Error,
                    outcome: Outcome::Retry,
                    reason: Reason::CouldNotBeQueued,
                    alert: Some(AlertKind::HandBackFailed),
                    ..record
                });
            }
            context.report(&Record {
                level: Level::Warning,
                ..record
            });
            context.ports.remember(QUEUED, "", MINUTE);
            // Safe to lose: a second hand-back finds nothing left to do.
            let _ = context.ledger.put_hand_back_queued().await;
        }
    }
}
