//! What no notification told of: Nylas replays nothing after an outage, so now and then every mailbox
//! is looked through for messages that came in since the last time.

use crate::{
    config::{Account, Config},
    ledger::{Ledger, Look},
    notice::sent_by_us,
    nylas::{Nylas, ReadOutcome, address_of},
    observe::{Event, Level, Record},
    ports::{Ports, Queue},
    replies::{reply_id, seen},
    time::{MINUTE, millis},
};
use serde_json::Value;
use std::time::Duration;

/// The first look goes this far back: twice as long as there is between two.
const FIRST_LOOK: Duration = MINUTE.saturating_mul(30);
/// Each look begins this much before the last one's end: a mailbox shows a message late.
const OVERLAP: Duration = MINUTE.saturating_mul(10);
/// Pages of 50 messages read at one go; the rest is for the next time, a quarter of an hour later.
const PAGES_MAX: u32 = 4;
const BUDGET: Duration = MINUTE;
const TIMEOUT: Duration = Duration::from_secs(20);

/// Looks through every mailbox.
pub async fn run<P: Ports>(ports: &P, config: &Config) {
    if !config.hears_nylas() {
        // Nobody has asked for replies.
        return;
    }
    for account in &config.accounts {
        let started = ports.now();
        let ledger = Ledger::new(ports);
        let nylas = Nylas::new(ports, config, started.plus(BUDGET), TIMEOUT);
        let mut found = 0;
        let looked = look(ports, account, &ledger, &nylas, &mut found).await;
        let (level, outcome, reason) = match looked {
            Err(reason) => (Level::Warning, "retry", reason),
            Ok(_) if found > 0 => (Level::Warning, "found", "missed_by_notifications"),
            Ok(true) => (Level::Info, "looked", "nothing_missed"),
            Ok(false) => (Level::Info, "looked", "to_be_continued"),
        };
        ports.log(
            &Record {
                level,
                event: Event::Sweep,
                outcome,
                reason,
                account: Some(account.grant_id.clone()),
                found: (found > 0).then_some(found),
                ledger_ms: Some(millis(ledger.spent())),
                nylas_ms: Some(millis(nylas.spent())),
                nylas_calls: Some(nylas.calls()),
                total_ms: Some(millis(ports.now().since(started))),
                ..Record::default()
            }
            .with_answer(nylas.last()),
        );
    }
}

/// Whether the mailbox was looked through to the end.
async fn look<P: Ports>(
    ports: &P,
    account: &Account,
    ledger: &Ledger<'_, P>,
    nylas: &Nylas<'_, P>,
    found: &mut u32,
) -> Result<bool, &'static str> {
    const LEDGER: &str = "ledger_refused";
    let grant_id = &account.grant_id;
    let now = ports.now();
    let Some(mut look) = ledger.look(grant_id).await.map_err(|_| LEDGER)? else {
        // The first time: what was there before the relay is none of its business.
        let look = Look {
            since: now.minus(FIRST_LOOK),
            ..Look::default()
        };
        ledger.put_look(grant_id, &look).await.map_err(|_| LEDGER)?;
        return Ok(true);
    };
    if look.page_token.is_none() {
        look.until = now.minus(OVERLAP);
    }
    for _ in 0..PAGES_MAX {
        let token = look.page_token.as_deref();
        let page = match nylas.received_after(grant_id, look.since, token).await {
            ReadOutcome::Answered(page) => page,
            _ if look.page_token.is_some() => {
                // The place may be lost; not what is there.
                look.page_token = None;
                ledger.put_look(grant_id, &look).await.map_err(|_| LEDGER)?;
                return Err("mailbox_not_answering");
            }
            _ => return Err("mailbox_not_answering"),
        };
        let messages = page.get("data").and_then(Value::as_array);
        for message in messages.into_iter().flatten() {
            let Some(id) = message.get("id").and_then(Value::as_str) else {
                continue;
            };
            let from = address_of(message, "from").unwrap_or_default();
            let is_own = sent_by_us(message).is_some() || account.has_address(from);
            let is_known = is_own
                || ledger
                    .has_reply(&reply_id(grant_id, id))
                    .await
                    .map_err(|_| LEDGER)?;
            if !is_known {
                *found = found.saturating_add(1);
                let text = seen(grant_id, id).to_text().unwrap_or_default();
                Queue::send(ports, &text, Duration::ZERO)
                    .await
                    .map_err(|_| "could_not_be_queued")?;
            }
        }
        let next = page.get("next_cursor").and_then(Value::as_str);
        look.page_token = next.filter(|next| !next.is_empty()).map(str::to_owned);
        if look.page_token.is_none() {
            look.since = look.until.max(look.since);
            break;
        }
    }
    ledger.put_look(grant_id, &look).await.map_err(|_| LEDGER)?;
    Ok(look.page_token.is_none())
}
