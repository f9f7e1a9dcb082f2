//! Looks for messages that no notification reported. Nylas repeats no notification after an outage, so every mailbox is
//! searched regularly for what came in since the last time.

use super::correlate::{notification_of, reply_id};
use crate::{
    config::Config,
    context::Context,
    delivery::folders::folders,
    ledger::account::Look,
    model::{
        account::{Account, Folders},
        log::{Level, Record},
        outcome::{Event, Outcome, Reason},
        time::MINUTE,
    },
    nylas::{
        client::Limits,
        mailbox::{ReadOutcome, address_of},
        notification::sent_by_us,
    },
    ports::{Ports, StoreError},
    queue::enqueue::enqueue,
};
use serde_json::Value;
use std::time::Duration;

/// How far the first sweep goes back: twice the time between two sweeps.
const FIRST_LOOK: Duration = MINUTE.saturating_mul(30);
/// Each sweep begins this long before the end of the last one, because a mailbox may show a message late.
const OVERLAP: Duration = MINUTE.saturating_mul(10);
/// Pages of 50 messages that one sweep reads. The next one, a quarter of an hour later, goes on from there.
const PAGES_MAX: u32 = 4;
const LIMITS: Limits = Limits::of_reads(Duration::from_secs(20));

/// Searches every mailbox.
pub async fn run<P: Ports>(ports: &P, config: &Config) {
    if !config.hears_nylas() {
        // Replies are not set up.
        return;
    }
    for account in &config.accounts {
        let context = Context::new(ports, config, ports.now(), LIMITS);
        let mut found = 0;
        let searched = search(&context, account, &mut found).await;
        let (level, outcome, reason) = match searched {
            Err(reason) => (Level::Warning, Outcome::Retry, reason),
            Ok(_) if found > 0 => (
                Level::Warning,
                Outcome::Found,
                Reason::MissedByNotifications,
            ),
            Ok(true) => (Level::Info, Outcome::Looked, Reason::NothingMissed),
            Ok(false) => (Level::Info, Outcome::Looked, Reason::ToBeContinued),
        };
        context.report(&context.complete(Record {
            level,
            account: Some(account.grant_id.clone()),
            found: (found > 0).then_some(found),
            ..Record::new(Event::Sweep, outcome, reason)
        }));
    }
}

/// Searches one mailbox, queues the messages that were missed and counts them. Returns whether it came to the end.
async fn search<P: Ports>(
    context: &Context<'_, P>,
    account: &Account,
    found: &mut u32,
) -> Result<bool, Reason> {
    let ledger = &context.ledger;
    let grant_id = &account.grant_id;
    let now = context.now();
    let Some(mut look) = ledger.look(grant_id).await? else {
        // The first time: messages from before the relay are not its business.
        let look = Look {
            since: now.minus(FIRST_LOOK),
            ..Look::default()
        };
        ledger.put_look(grant_id, &look).await?;
        return Ok(true);
    };
    if look.page_token.is_none() {
        look.until = now.minus(OVERLAP);
    }
    for _ in 0..PAGES_MAX {
        let token = look.page_token.as_deref();
        let page = context
            .nylas
            .received_after(grant_id, look.since, token)
            .await;
        let ReadOutcome::Answered(page) = page else {
            if look.page_token.is_some() {
                // The page token may have expired. Begin again at `since`, so that no message is lost.
                look.page_token = None;
                ledger.put_look(grant_id, &look).await?;
            }
            return Err(Reason::MailboxNotAnswering);
        };
        let messages = page.get("data").and_then(Value::as_array);
        for message in messages.into_iter().flatten() {
            if is_missed(context, account, message).await? {
                *found = found.saturating_add(1);
                let id = message
                    .get("id")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                enqueue(context, &notification_of(grant_id, id)).await?;
            }
        }
        let next = page.get("next_cursor").and_then(Value::as_str);
        look.page_token = next.filter(|next| !next.is_empty()).map(str::to_owned);
        if look.page_token.is_none() {
            look.since = look.until.max(look.since);
            break;
        }
    }
    ledger.put_look(grant_id, &look).await?;
    Ok(look.page_token.is_none())
}

/// Whether somebody else wrote the message and it was not processed.
async fn is_missed<P: Ports>(
    context: &Context<'_, P>,
    account: &Account,
    message: &Value,
) -> Result<bool, StoreError> {
    let Some(id) = message.get("id").and_then(Value::as_str) else {
        return Ok(false);
    };
    let from = address_of(message, "from").unwrap_or_default();
    if sent_by_us(message, &Folders::default()).is_some() || account.has_address(from) {
        return Ok(false);
    }
    let reply = reply_id(&account.grant_id, id);
    if context.ledger.has_reply(&reply).await? {
        return Ok(false);
    }
    let folders = folders(context, &account.grant_id).await;
    Ok(sent_by_us(message, &folders.unwrap_or_default()).is_none())
}
