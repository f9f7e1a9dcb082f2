//! What Nylas says later: of a mail it took, that it was delivered, or bounced, or could not be sent
//! after all; of an account, that it needs somebody to look.

use crate::{
    delivery::{COULD_NOT_SEND, order},
    ledger::{BOUNCED, COMPLAINED, FateRecord, MailRecord, MailState, Pending},
    notice::{Fate, GrantChange, MailFate},
    nylas::{AccountFault, IdentityOutcome},
    observe::{Level, Record},
    outbox::QueuedContent,
    ports::{Ports, StoreError},
    relay::enqueue,
    replies::{Work, Worked},
    webhook::SvixId,
};
use std::time::Duration;

/// What the ledger does not show yet is looked for this often: five minutes, longer than a read is
/// stale and shorter than a code lives.
const UNSEEN_TRIES: u32 = 6;

pub(crate) async fn work_off<P: Ports>(
    work: &Work<'_, P>,
    notification: &str,
    said: &MailFate,
    record: &mut Record,
) -> Result<Worked, StoreError> {
    record.svix_id = said.svix_id.clone();
    (record.outcome, record.reason) = (said.fate.as_str(), "nylas_says_so");
    // Saying twice that a mail was delivered changes nothing; it is most of what Nylas says.
    let is_marked = said.fate != Fate::Delivered;
    if is_marked && work.ledger.was_worked_off(notification).await? {
        (record.outcome, record.reason) = ("duplicate", "worked_off_before");
        return Ok(Worked::Done);
    }
    let key = &work.config.nylas_api_key;
    match said.fate {
        Fate::Delivered => {
            for recipient in &said.recipients {
                work.ledger.clear_bounces(&recipient.address, key).await?;
            }
        }
        Fate::Bounced => {
            record.level = Level::Warning;
            record.reason = "soft";
            for recipient in said.recipients.iter().filter(|one| one.is_hard) {
                record.reason = "hard";
                work.ledger
                    .suppress(&recipient.address, key, BOUNCED)
                    .await?;
                if work.ledger.count_bounce(&recipient.address, key).await? {
                    record.level = Level::Error;
                    record.reason = "recipient_domain_bouncing";
                    record.alert = true;
                }
            }
        }
        Fate::Complained => {
            record.level = Level::Error;
            record.alert = true;
            for recipient in &said.recipients {
                work.ledger
                    .suppress(&recipient.address, key, COMPLAINED)
                    .await?;
            }
        }
        Fate::Rejected => {
            record.level = Level::Error;
            record.alert = true;
        }
        Fate::Failed => match failed(work, said, record).await? {
            Worked::Done => {}
            again => return Ok(again),
        },
    }
    if let Some(id) = &record.svix_id {
        remember(work, id, record.outcome).await?;
    }
    if is_marked {
        work.ledger.put_worked_off(notification).await?;
    }
    Ok(Worked::Done)
}

/// What is worse stays: notifications come in any order.
async fn remember<P: Ports>(
    work: &Work<'_, P>,
    id: &SvixId,
    fate: &'static str,
) -> Result<(), StoreError> {
    if fate == Fate::Delivered.as_str()
        && let Some(known) = work.ledger.fate(id).await?
        && known.fate != "resent"
    {
        return Ok(());
    }
    let fate = FateRecord {
        fate: fate.to_owned(),
        at: work.ports.now(),
    };
    work.ledger.put_fate(id, &fate).await
}

/// A mail that Nylas queued and could not send: on to the next slot, while it is fresh.
async fn failed<P: Ports>(
    work: &Work<'_, P>,
    said: &MailFate,
    record: &mut Record,
) -> Result<Worked, StoreError> {
    record.level = Level::Error;
    let message_id = said.message_id.as_deref();
    // Whoever finds the mail in the mailbox, or is told once more that it was taken, shall know.
    if let Some(message_id) = message_id
        && !work.ledger.has_failed(message_id).await?
    {
        work.ledger.put_failed(message_id).await?;
    }
    let id = match (&said.svix_id, message_id) {
        (Some(id), _) => Some(id.clone()),
        // Nylas' schema of this notification has no metadata.
        (None, Some(message_id)) => work.ledger.accepted(message_id).await?,
        (None, None) => None,
    };
    let is_patient = work.attempt < UNSEEN_TRIES && (id.is_some() || message_id.is_some());
    let Some(id) = id else {
        if is_patient {
            return Ok(Worked::Again("mail_not_visible_yet"));
        }
        record.reason = "not_a_mail_of_the_relay";
        record.alert = true;
        return Ok(Worked::Done);
    };
    record.svix_id = Some(id.clone());
    let pending = work.ledger.pending(&id).await?;
    let known = work.ledger.mail(&id).await?;
    let is_about = |pending: &Pending| match (message_id, pending.message_id.as_deref()) {
        (Some(said), Some(kept)) => said == kept,
        _ => true,
    };
    let Some(pending) = pending.filter(is_about) else {
        if is_patient {
            return Ok(Worked::Again("mail_not_visible_yet"));
        }
        let was_resent = known
            .as_ref()
            .is_some_and(|known| known.trail.has_failed(message_id));
        if was_resent {
            record.reason = "resent_before";
            return Ok(Worked::Done);
        }
        // Nothing to send again; but a resend from Clerk's dashboard is judged afresh.
        if let Some(known) = known {
            let memory = MailRecord {
                state: MailState::Rejected,
                reason: Some(COULD_NOT_SEND.to_owned()),
                at: work.ports.now(),
                ..known
            };
            work.ledger.put_mail(&id, &memory).await?;
        }
        record.reason = "content_not_kept";
        record.alert = true;
        return Ok(Worked::Done);
    };
    let Pending {
        message_id,
        mut mail,
    } = pending;
    let is_elsewhere = |known: &MailRecord| {
        known.state == MailState::Sent
            && known.message_id.is_some()
            && known.message_id != message_id
    };
    if known.as_ref().is_some_and(is_elsewhere) {
        record.reason = "sent_elsewhere";
        return Ok(Worked::Done);
    }
    let email = &mail.email;
    let now = work.ports.now();
    if email.is_expired(now) {
        let mut memory = MailRecord::new(email, MailState::Expired, now);
        memory.reason = Some(COULD_NOT_SEND.to_owned());
        work.ledger.put_mail(&email.svix_id, &memory).await?;
        record.reason = "too_late_to_send_again";
        record.alert = true;
        return Ok(Worked::Done);
    }
    let order = order(&work.config.accounts, &email.to);
    mail.trail.fail(message_id.as_deref(), &order);
    let mut memory = MailRecord::new(email, MailState::Queued, now);
    memory.reason = Some(COULD_NOT_SEND.to_owned());
    memory.trail = mail.trail.clone();
    work.ledger.put_mail(&email.svix_id, &memory).await?;
    let QueuedContent::Here(content) = mail.content else {
        return Ok(Worked::Done);
    };
    let (ports, trail) = (work.ports, mail.trail);
    if !enqueue(
        ports,
        work.ledger,
        &mail.email,
        content,
        trail,
        Duration::ZERO,
    )
    .await
    {
        return Ok(Worked::Again("could_not_be_queued"));
    }
    record.level = Level::Warning;
    (record.outcome, record.reason) = ("resent", COULD_NOT_SEND);
    Ok(Worked::Done)
}

/// An account's grant has changed: nobody signs in through an account that is gone.
pub(crate) async fn grant<P: Ports>(
    work: &Work<'_, P>,
    change: GrantChange,
    record: &mut Record,
) -> Result<Worked, StoreError> {
    let (level, outcome) = match change {
        GrantChange::Expired => (Level::Error, "grant_expired"),
        GrantChange::Deleted => (Level::Error, "grant_deleted"),
        GrantChange::Updated => (Level::Warning, "grant_updated"),
    };
    record.level = level;
    record.outcome = outcome;
    record.reason = "nylas_says_so";
    record.alert = true;
    match change {
        GrantChange::Expired => {
            let fault = AccountFault::Unauthorized;
            work.ledger.mark_down(work.account, fault).await?;
        }
        GrantChange::Deleted => {
            work.ledger
                .mark_down(work.account, AccountFault::Gone)
                .await?;
        }
        // Its name may be another now.
        GrantChange::Updated => {
            if let IdentityOutcome::Known(identity) = work.nylas.identity(work.account).await {
                work.ledger.put_identity(work.account, &identity).await?;
            }
        }
    }
    Ok(Worked::Done)
}
