//! What Nylas says later about a mail it accepted: delivered, bounced, complained about, or not sent after all.

use super::{
    bounce::{bounced, complained},
    work::{NOT_STALE_FROM, Work, Worked},
};
use crate::{
    ledger::mail::{MailRecord, MailState, Pending},
    model::{
        alert::AlertKind,
        id::SvixId,
        log::{Level, Record},
        message::QueuedContent,
        outcome::{Outcome, Reason},
        route::order,
        time::UnixMillis,
    },
    nylas::notification::{DeliveryEvent, DeliveryEventKind},
    ports::{Ports, StoreError},
    queue::enqueue::enqueue_mail,
};
use std::time::Duration;

/// Processes a delivery event.
///
/// # Errors
/// Why it must be retried.
pub async fn process<P: Ports>(
    work: &Work<'_, '_, P>,
    notification: &str,
    event: &DeliveryEvent,
    record: &mut Record,
) -> Worked {
    let ledger = &work.context.ledger;
    let event = &with_svix_id(work, event).await?;
    record.svix_id = event.svix_id.clone();
    (record.outcome, record.reason) = (event.kind.outcome(), Reason::NylasSaysSo);
    // Most events are deliveries. Processing one of those twice changes nothing, so it is not remembered.
    if event.kind != DeliveryEventKind::Delivered && ledger.was_processed(notification).await? {
        (record.outcome, record.reason) = (Outcome::Duplicate, Reason::WorkedOffBefore);
        return Ok(());
    }
    let is_of_ours = match event.kind {
        DeliveryEventKind::Delivered => return delivered(work, event).await,
        DeliveryEventKind::Bounced => bounced(work, event, record).await?,
        DeliveryEventKind::Complained => complained(work, event, record).await?,
        DeliveryEventKind::Rejected => {
            record.level = Level::Error;
            record.alert = Some(AlertKind::VirusFound);
            true
        }
        DeliveryEventKind::Failed => {
            send_failed(work, event, record).await?;
            true
        }
    };
    if let Some(id) = record.svix_id.as_ref().filter(|_| is_of_ours) {
        ledger.put_delivery_event(id, record.outcome).await?;
    }
    ledger.put_processed(notification).await?;
    Ok(())
}

/// The event with the mail's Svix id. A mail that went out over SMTP has no metadata, so it is read from the message.
///
/// # Errors
/// The mailbox does not answer now.
async fn with_svix_id<P: Ports>(
    work: &Work<'_, '_, P>,
    event: &DeliveryEvent,
) -> Result<DeliveryEvent, Reason> {
    let mut event = event.clone();
    let (context, message_id) = (work.context, event.message_id.as_deref());
    if let (None, Some(message_id), true) =
        (&event.svix_id, message_id, context.config.smtp.is_some())
    {
        event.svix_id = context.nylas.svix_id_of(work.account, message_id).await?;
    }
    Ok(event)
}

/// Processes a delivery, which proves its recipient. Notifications come in any order, so it does not replace anything
/// worse.
async fn delivered<P: Ports>(work: &Work<'_, '_, P>, event: &DeliveryEvent) -> Worked {
    let ledger = &work.context.ledger;
    ledger.note_deliveries().await;
    let Some(id) = &event.svix_id else {
        return Ok(());
    };
    for recipient in &event.recipients {
        let hash = work.context.recipient(&recipient.address);
        ledger.read_delivery_ahead(id, &hash).await;
        ledger.prove(&hash).await?;
    }
    if let Some(known) = ledger.delivery_event(id).await?
        && known.event != Outcome::Resent.as_str()
    {
        return Ok(());
    }
    ledger.put_delivery_event(id, Outcome::Delivered).await?;
    Ok(())
}

/// What is known when Nylas reports that it could not send a mail it had accepted.
pub struct SendFailed<'a> {
    /// The message that failed.
    pub message_id: Option<&'a str>,
    /// The mail as it was kept when Nylas accepted it with 202.
    pub pending: Option<&'a Pending>,
    pub known: Option<&'a MailRecord>,
    /// The ledger may not show yet what was written to it.
    pub may_be_stale: bool,
    pub now: UnixMillis,
}

/// What to do about a mail that Nylas could not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterSendFailed {
    /// The ledger does not show the mail yet: retry.
    Wait,
    /// It was sent again already, or by another account.
    Nothing(Reason),
    /// Its content was not kept. A resend from Clerk's dashboard starts afresh.
    Lost,
    /// It is too old to be of use.
    Expired,
    /// Go on to the next hop of its route.
    SendAgain,
}

/// Decides what to do about a mail that could not be sent.
pub fn after_send_failed(facts: &SendFailed<'_>) -> AfterSendFailed {
    let is_about = |pending: &&Pending| match (facts.message_id, pending.message_id.as_deref()) {
        (Some(failed), Some(kept)) => failed == kept,
        (None, _) | (_, None) => true,
    };
    let Some(pending) = facts.pending.filter(is_about) else {
        if facts.may_be_stale {
            return AfterSendFailed::Wait;
        }
        let was_resent = facts
            .known
            .is_some_and(|known| known.route.has_failed(facts.message_id));
        return if was_resent {
            AfterSendFailed::Nothing(Reason::ResentBefore)
        } else {
            AfterSendFailed::Lost
        };
    };
    let is_sent_elsewhere = facts.known.is_some_and(|known| {
        known.state == MailState::Sent
            && known.message_id.is_some()
            && known.message_id != pending.message_id
    });
    if is_sent_elsewhere {
        AfterSendFailed::Nothing(Reason::SentElsewhere)
    } else if pending.mail.email.is_expired(facts.now) {
        AfterSendFailed::Expired
    } else {
        AfterSendFailed::SendAgain
    }
}

/// Processes `message.send_failed`: a mail that Nylas accepted with 202 and could not send.
async fn send_failed<P: Ports>(
    work: &Work<'_, '_, P>,
    event: &DeliveryEvent,
    record: &mut Record,
) -> Worked {
    let (context, ledger) = (work.context, &work.context.ledger);
    record.level = Level::Error;
    let message_id = event.message_id.as_deref();
    // For a later attempt that finds the message in the mailbox, or gets it as a replayed answer.
    if let Some(message_id) = message_id
        && !ledger.has_failed(message_id).await?
    {
        ledger.put_failed(message_id).await?;
    }
    let id = failed_mail(work, event).await?;
    let may_be_stale = work.attempt < NOT_STALE_FROM && (id.is_some() || message_id.is_some());
    let Some(id) = id else {
        if may_be_stale {
            return Err(Reason::MailNotVisibleYet);
        }
        record.reason = Reason::NotAMailOfTheRelay;
        record.alert = Some(AlertKind::SendFailed);
        return Ok(());
    };
    record.svix_id = Some(id.clone());
    let pending = ledger.pending(&id).await?;
    let known = ledger.mail(&id).await?;
    let now = context.now();
    let decision = after_send_failed(&SendFailed {
        message_id,
        pending: pending.as_ref(),
        known: known.as_ref(),
        may_be_stale,
        now,
    });
    match (decision, pending) {
        (AfterSendFailed::Wait, _) => return Err(Reason::MailNotVisibleYet),
        (AfterSendFailed::Nothing(reason), _) => record.reason = reason,
        (AfterSendFailed::SendAgain, Some(pending)) => {
            return send_again(work, pending, record).await;
        }
        (AfterSendFailed::Expired, Some(pending)) => {
            let email = &pending.mail.email;
            let memory = MailRecord {
                reason: Some(Reason::NylasCouldNotSendIt.as_str().to_owned()),
                ..MailRecord::new(email, MailState::Expired, now)
            };
            ledger.put_mail(&email.svix_id, &memory).await?;
            record.reason = Reason::TooLateToSendAgain;
            record.alert = Some(AlertKind::SendFailed);
        }
        (AfterSendFailed::Lost | AfterSendFailed::SendAgain | AfterSendFailed::Expired, _) => {
            if let Some(known) = known {
                let memory = MailRecord {
                    state: MailState::Rejected,
                    reason: Some(Reason::NylasCouldNotSendIt.as_str().to_owned()),
                    at: now,
                    ..known
                };
                ledger.put_mail(&id, &memory).await?;
            }
            record.reason = Reason::ContentNotKept;
            record.alert = Some(AlertKind::SendFailed);
        }
    }
    Ok(())
}

/// The mail that a message was sent for, as far as that can be told.
async fn failed_mail<P: Ports>(
    work: &Work<'_, '_, P>,
    event: &DeliveryEvent,
) -> Result<Option<SvixId>, StoreError> {
    match (&event.svix_id, event.message_id.as_deref()) {
        (Some(id), _) => Ok(Some(id.clone())),
        // In Nylas' schema this notification has no metadata.
        (None, Some(message_id)) => work.context.ledger.accepted(message_id).await,
        (None, None) => Ok(None),
    }
}

/// Queues the mail again, on the next hop of its route.
async fn send_again<P: Ports>(
    work: &Work<'_, '_, P>,
    pending: Pending,
    record: &mut Record,
) -> Worked {
    let context = work.context;
    let Pending {
        message_id,
        mut mail,
    } = pending;
    let email = &mail.email;
    let order = order(&context.config.accounts, email);
    mail.route.fail(message_id.as_deref(), &order);
    let reason = Reason::NylasCouldNotSendIt;
    let memory = MailRecord::new(email, MailState::Queued, context.now())
        .because(reason, mail.route.clone());
    context.ledger.put_mail(&email.svix_id, &memory).await?;
    let QueuedContent::Here(content) = &mail.content else {
        return Ok(());
    };
    enqueue_mail(context, email, content, &mail.route, Duration::ZERO).await?;
    record.level = Level::Warning;
    (record.outcome, record.reason) = (Outcome::Resent, reason);
    Ok(())
}

#[cfg(test)]
mod tests;
