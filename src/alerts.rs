//! What an operator must hear of now, posted to `ALERT_WEBHOOK_URL`: what happened, what it means for users, what to
//! do. Through the queue, after the answer: an alert is never in the way of a mail. The same alert is held back
//! for an hour.

use crate::{
    json::{object, text},
    ledger::Ledger,
    observe::{Event, Level, Record},
    outbox::{Message, patient_delay},
    ports::{Http, HttpMethod, HttpRequest, Ports, Queue},
    relay::Disposition,
    time::{DAY, HOUR},
};
use serde_json::Value;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);
/// For two hours and a half; then the log has it alone.
const TRIES: u32 = 15;

/// Raises what was logged with an alert. `url`: where to, if anywhere.
pub async fn raise<P: Ports>(ports: &P, url: Option<&str>, records: Vec<Record>) {
    let Some(url) = url else {
        return;
    };
    let ledger = Ledger::new(ports);
    for record in records {
        let key = key(&record);
        // The ledger shows a mark up to a minute late.
        let hour = ports.now().seconds() / 3600;
        if !ports.is_news(&format!("{key}@{hour}")) {
            continue;
        }
        if ledger.was_alerted(&key).await == Ok(true) {
            continue;
        }
        let body = body(&record);
        let queued = Message::Alert {
            key: key.clone(),
            body: body.clone(),
        };
        let text = queued.to_text().unwrap_or_default();
        // With broken settings the consumer does not know where to.
        let is_queued = record.outcome != "misconfigured"
            && Queue::send(ports, &text, Duration::ZERO).await.is_ok();
        if !is_queued && post(ports, url, &body).await {
            let _ = ledger.put_alerted(&key, held_back_for(&record)).await;
        }
    }
}

/// Works off a queued alert.
pub async fn work_off<P: Ports>(
    ports: &P,
    url: Option<&str>,
    key: &str,
    body: &Value,
    attempt: u32,
) -> Disposition {
    let ledger = Ledger::new(ports);
    let Some(url) = url else {
        return Disposition::Acknowledge;
    };
    if ledger.was_alerted(key).await == Ok(true) {
        return Disposition::Acknowledge;
    }
    if post(ports, url, body).await {
        let lasts = if key.starts_with("check") { DAY } else { HOUR };
        let _ = ledger.put_alerted(key, lasts).await;
        return Disposition::Acknowledge;
    }
    let is_over = attempt >= TRIES;
    ports.log(&Record {
        level: Level::Warning,
        event: Event::Alert,
        outcome: if is_over { "given_up" } else { "retry" },
        reason: "receiver_refused",
        attempt: Some(attempt),
        ..Record::default()
    });
    if is_over {
        Disposition::Acknowledge
    } else {
        Disposition::Retry(patient_delay(attempt))
    }
}

async fn post<P: Ports>(ports: &P, url: &str, body: &Value) -> bool {
    let request = HttpRequest {
        method: HttpMethod::Post,
        url: url.to_owned(),
        headers: vec![("content-type", "application/json".to_owned())],
        body: Some(text(body)),
    };
    let response = Http::send(ports, request, TIMEOUT).await;
    response.is_ok_and(|response| (200..300).contains(&response.status))
}

/// What is the same alert again: the same thing about the same account.
fn key(record: &Record) -> String {
    let account = record
        .account
        .as_ref()
        .map_or("", |account| account.as_str());
    let event = record.event.as_str();
    let (outcome, reason) = (record.outcome, record.reason);
    format!("{event}.{outcome}.{reason}.{account}")
}

/// What is looked at every quarter of an hour is said once a day.
fn held_back_for(record: &Record) -> Duration {
    if record.event == Event::Check {
        DAY
    } else {
        HOUR
    }
}

/// `text` is what Slack and plain receivers show, `content` what Discord does.
fn body(record: &Record) -> Value {
    let mut said = String::from("clerk-nylas-relay: ");
    let (what, then) = words(record);
    said.push_str(what);
    for setting in &record.settings {
        said.push(' ');
        said.push_str(setting.name);
    }
    if let Some(account) = &record.account {
        said.push_str(" Account ");
        said.push_str(account.as_str());
        said.push('.');
    }
    said.push(' ');
    said.push_str(then);
    said.push_str(" (");
    said.push_str(record.reason);
    if let Some(id) = &record.svix_id {
        said.push_str(", ");
        said.push_str(id.as_str());
    }
    said.push(')');
    object([
        ("text", said.as_str().into()),
        ("content", said.as_str().into()),
        ("event", record.event.as_str().into()),
        ("outcome", record.outcome.into()),
        ("reason", record.reason.into()),
        (
            "account",
            record
                .account
                .as_ref()
                .map(|account| account.as_str())
                .into(),
        ),
        (
            "svix_id",
            record.svix_id.as_ref().map(|id| id.as_str()).into(),
        ),
    ])
}

/// What happened; what it means, and what to do.
fn words(record: &Record) -> (&'static str, &'static str) {
    match (record.event, record.outcome) {
        (_, "misconfigured") => (
            "settings are missing or malformed:",
            "No sign-in mail is sent; Clerk repeats them once GET /health is ok.",
        ),
        (_, "degraded") => (
            "optional settings are malformed, and what they are for is off:",
            "Sign-in mails are sent all the same. GET /health says what is wrong with each.",
        ),
        (Event::AccountDown, _) => (
            "an account cannot send.",
            "Other accounts stand in, or mails wait until they expire. Look at the reason.",
        ),
        (_, "sent") => (
            "an account stands in for another.",
            "Users get their mails. Look at the other accounts.",
        ),
        (_, "dead_lettered") => (
            "a message was given up.",
            "Its reader will not get it. Look at it with relayctl list --dead, then relayctl redrive.",
        ),
        (Event::MailFate, "rejected") => (
            "Nylas found a virus in a mail.",
            "Its user does not get it. Look at the template.",
        ),
        (_, "rejected") => (
            "Nylas refused a mail for good.",
            "Its user does not get it. Look at the reason; mend; press Resend in Clerk.",
        ),
        (_, "expired") => (
            "a mail expired before it could be sent.",
            "Its user could not sign in. Look why mails were waiting.",
        ),
        (_, "retry" | "requeued" | "queued") => (
            "mails have been waiting for over a minute.",
            "Users wait for their codes. Look at the reason, and at https://status.nylas.com.",
        ),
        (_, "bounced") => (
            "a recipient domain does nothing but bounce.",
            "No more is sent there for an hour. Look whether somebody makes up addresses.",
        ),
        (_, "complained") => (
            "a user called a sign-in mail spam.",
            "They get no more of them. At 0.5 % Nylas pauses the account.",
        ),
        (_, "failed") => (
            "Nylas could not send a mail it had taken.",
            "Its user does not get it and has to ask for another.",
        ),
        (_, "grant_expired" | "grant_deleted") => (
            "an account's grant is gone.",
            "It neither sends nor receives. Mend it in Nylas' dashboard.",
        ),
        (_, "grant_updated") => ("an account's grant was changed.", "Was it you?"),
        (_, "cap") => (
            "an account has used up much of its mails of the day.",
            "At 100 % it sends no more until midnight UTC. Add an account or a larger plan.",
        ),
        (_, "bounces") => (
            "over 2 % of the mails bounce.",
            "At 10 % Nylas pauses the account, and nobody signs in. Look whether somebody makes up addresses.",
        ),
        (_, "complaints") => (
            "over 0.05 % of the mails are called spam.",
            "At 0.5 % Nylas pauses the account, and nobody signs in.",
        ),
        (_, "webhook") => (
            "Nylas' webhook is not active.",
            "Replies come a quarter of an hour late, bounces not at all. Activate it in Nylas' dashboard.",
        ),
        (_, "silence") => (
            "no mail for six hours, after a day that had some.",
            "Is the endpoint enabled in Clerk, and the template still off there?",
        ),
        (_, "drift") => (
            "Clerk's sender name differs from the account's address.",
            "Mails come from the account's address. Change one of the two.",
        ),
        _ => ("something needs a look.", "Look at the log."),
    }
}

#[cfg(test)]
mod tests;
