//! Bounces and complaints: whose mail they are about, and what follows for its recipient and for the account.
//!
//! They count only if they name a mail of the relay's and the recipient that it went to. A forward's never touch
//! sign-in mails: the person in charge signs in, too.

use super::work::{NOT_STALE_FROM, Work, Worked};
use crate::{
    delivery::folders::folders,
    ledger::{
        guard::Guard,
        mail::MailState,
        recipient::{RecipientHash, Suppression},
    },
    model::{
        alert::{AlertKind, Receiver},
        log::{Level, Record},
        outcome::Reason,
    },
    nylas::{
        bounce::BounceKind,
        notification::{DeliveryEvent, Recipient},
    },
    ports::{Ports, StoreError},
};

/// Whose mail an event is about.
pub enum About<'e> {
    /// A mail of the relay's, and those of the recipients named that it went to.
    Ours(Vec<&'e Recipient>),
    /// A mail to the person in charge.
    Forward,
    /// Another application's mail, or another recipient.
    NotOurs,
}

/// Finds out whose mail a bounce or complaint is about.
///
/// # Errors
/// The ledger refused, or may not show the mail yet.
pub async fn about<'e, P: Ports>(
    work: &Work<'_, '_, P>,
    event: &'e DeliveryEvent,
) -> Result<About<'e>, Reason> {
    let Some(id) = &event.svix_id else {
        return Ok(About::NotOurs);
    };
    if id.is_forward() {
        return Ok(About::Forward);
    }
    // A record that does not say to whom the mail went shows nothing yet, unless version 0.2.0 recorded it as sent.
    let known = work.context.ledger.mail(id).await?;
    let known = known.filter(|mail| mail.recipient.is_some() || mail.state == MailState::Sent);
    let Some(mail) = known else {
        return if work.attempt < NOT_STALE_FROM {
            Err(Reason::MailNotVisibleYet)
        } else {
            Ok(About::NotOurs)
        };
    };
    let went_to = |named: &&Recipient| {
        let hash = work.context.recipient(&named.address);
        mail.recipient.as_ref().is_none_or(|known| *known == hash)
    };
    let recipients: Vec<_> = event.recipients.iter().filter(went_to).collect();
    Ok(if recipients.is_empty() {
        About::NotOurs
    } else {
        About::Ours(recipients)
    })
}

/// Processes a bounce. Returns whether there is a mail of ours to remember it for.
///
/// # Errors
/// Why it must be retried.
pub async fn bounced<P: Ports>(
    work: &Work<'_, '_, P>,
    event: &DeliveryEvent,
    record: &mut Record,
) -> Result<bool, Reason> {
    record.level = Level::Warning;
    match about(work, event).await? {
        About::NotOurs => {
            (record.level, record.reason) = (Level::Info, Reason::NotAMailOfTheRelay);
            return Ok(false);
        }
        About::Forward => {
            record.reason = Reason::OfAForward;
            record.alert = Some(AlertKind::ForwardBounced);
        }
        About::Ours(recipients) => {
            record.reason = Reason::Soft;
            for recipient in recipients {
                match recipient.bounce {
                    BounceKind::Soft => {}
                    BounceKind::Refused => refused(work, recipient, record).await?,
                    BounceKind::NoSuchMailbox => no_such_mailbox(work, recipient, record).await?,
                }
            }
        }
    }
    Ok(true)
}

/// Processes a complaint. Returns whether there is a mail of ours to remember it for.
///
/// # Errors
/// Why it must be retried.
pub async fn complained<P: Ports>(
    work: &Work<'_, '_, P>,
    event: &DeliveryEvent,
    record: &mut Record,
) -> Result<bool, Reason> {
    match about(work, event).await? {
        About::NotOurs => {
            record.reason = Reason::NotAMailOfTheRelay;
            return Ok(false);
        }
        About::Forward => {
            (record.level, record.reason) = (Level::Warning, Reason::OfAForward);
            record.alert = Some(AlertKind::ForwardBounced);
        }
        About::Ours(recipients) => {
            record.level = Level::Error;
            record.alert = Some(AlertKind::Complained);
            for recipient in recipients {
                let hash = work.context.recipient(&recipient.address);
                let why = Suppression::Complained;
                work.context.ledger.suppress(&hash, why).await?;
            }
        }
    }
    Ok(true)
}

/// A receiving server refuses us: an alert that says which and how often, and no suppression.
async fn refused<P: Ports>(
    work: &Work<'_, '_, P>,
    recipient: &Recipient,
    record: &mut Record,
) -> Result<(), StoreError> {
    let context = work.context;
    let key = &context.config.nylas_api_key;
    let hash = RecipientHash::of_domain(&recipient.address, key);
    let today = context.ledger.count_refusal(&hash).await?;
    record.reason = Reason::RefusedByReceiver;
    record.alert = Some(AlertKind::ReceiverRefuses);
    record.receiver = Receiver::of(&recipient.address, today);
    Ok(())
}

/// Suppresses the address, and counts the bounce for the account's guard.
async fn no_such_mailbox<P: Ports>(
    work: &Work<'_, '_, P>,
    recipient: &Recipient,
    record: &mut Record,
) -> Worked {
    let (context, ledger) = (work.context, &work.context.ledger);
    record.reason = Reason::Hard;
    let hash = context.recipient(&recipient.address);
    ledger.suppress(&hash, Suppression::Bounced).await?;
    // Without `message.delivered` nobody is proven, and the guard would hold back everybody.
    if !ledger.hears_of_deliveries().await? {
        return Ok(());
    }
    let guard = ledger.count_bounce(work.account).await;
    let guard = count_sent(work, guard).await;
    if guard.is_up(context.now()) {
        record.level = Level::Error;
        record.reason = Reason::GuardUp;
        record.alert = Some(AlertKind::GuardUp);
    }
    Ok(())
}

/// Asks Nylas how many mails the account sent, if the guard needs to know. No answer leaves the guard as it is.
async fn count_sent<P: Ports>(work: &Work<'_, '_, P>, guard: Guard) -> Guard {
    let (context, now) = (work.context, work.context.now());
    let account = context.config.account(work.account);
    let (Some(account), Some(from)) = (account, guard.count_from(now)) else {
        return guard;
    };
    let folders = folders(context, &account.grant_id).await;
    let Some(sent) = folders.and_then(|folders| folders.sent) else {
        return guard;
    };
    let nylas = &context.nylas;
    let counted = nylas
        .count_since(&account.grant_id, &sent, from, u64::MAX)
        .await;
    match counted {
        Some(new) => {
            let ledger = &context.ledger;
            ledger.count_sent(work.account, guard, new, now).await
        }
        None => guard,
    }
}
