//! What an operator must hear of now, posted to `ALERT_WEBHOOK_URL`: what happened, what it means for users, what to do.
//!
//! Alerts go through the queue, after the answer, so that none is in the way of a mail. The same alert is held back for an
//! hour.

use crate::{
    ledger::Ledger,
    model::{
        alert::{Alert, AlertKind},
        log::{Level, Record},
        message::{Disposition, Message},
        outcome::{Event, Outcome, Reason},
        time::{DAY, HOUR},
    },
    ports::{HttpMethod, HttpRequest, Ports, WhenLate},
    queue::backoff::patient_delay,
};
use serde_json::{Value, json};
use std::{fmt::Write, time::Duration};

const TIMEOUT: Duration = Duration::from_secs(10);
/// For two hours and a half; after that only the log has it.
const TRIES: u32 = 15;

/// Sends alerts on their way. `url`: where to, if anywhere.
pub async fn raise<P: Ports>(ports: &P, url: Option<&str>, alerts: Vec<Alert>) {
    let Some(url) = url else {
        return;
    };
    let ledger = Ledger::new(ports);
    for alert in alerts {
        let key = key(&alert);
        // The ledger shows a mark up to a minute late, so the instance remembers, too.
        let hour = ports.now().seconds() / 3600;
        if !ports.first_seen(&format!("{key}@{hour}")) {
            continue;
        }
        if ledger.was_alerted(&key).await == Ok(true) {
            continue;
        }
        let body = body(&alert);
        let message = Message::Alert {
            key: key.clone(),
            body: body.clone(),
        };
        let text = message.to_text().unwrap_or_default();
        // While the settings are wrong the consumer does not know where to.
        let is_queued = alert.kind != AlertKind::Misconfigured
            && ports.send_to_queue(&text, Duration::ZERO).await.is_ok();
        if !is_queued && post(ports, url, &body).await {
            // Safe to lose: the alert is given once more.
            let _ = ledger.put_alerted(&key, held_back_for(alert.event)).await;
        }
    }
}

/// Processes a queued alert.
pub async fn process<P: Ports>(
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
        let is_check = key.starts_with(Event::Check.as_str());
        let event = if is_check { Event::Check } else { Event::Alert };
        let _ = ledger.put_alerted(key, held_back_for(event)).await;
        return Disposition::Acknowledge;
    }
    let (outcome, disposition) = if attempt >= TRIES {
        (Outcome::GivenUp, Disposition::Acknowledge)
    } else {
        let retry = Disposition::Retry(patient_delay(attempt));
        (Outcome::Retry, retry)
    };
    ports.log(&Record {
        level: Level::Warning,
        attempt: Some(attempt),
        ..Record::new(Event::Alert, outcome, Reason::ReceiverRefused)
    });
    disposition
}

async fn post<P: Ports>(ports: &P, url: &str, body: &Value) -> bool {
    let request = HttpRequest {
        method: HttpMethod::Post,
        url: url.to_owned(),
        headers: vec![("content-type", "application/json".to_owned())],
        body: Some(body.to_string()),
        when_late: WhenLate::Abort,
    };
    let response = ports.fetch(request, Some(TIMEOUT)).await;
    response.is_ok_and(|response| (200..300).contains(&response.status))
}

/// What makes it the same alert again: the same thing about the same account.
fn key(alert: &Alert) -> String {
    let account = alert
        .account
        .as_ref()
        .map_or("", |account| account.as_str());
    let (event, outcome) = (alert.event.as_str(), alert.outcome.as_str());
    format!("{event}.{outcome}.{}.{account}", alert.reason.as_str())
}

/// What is checked every quarter of an hour is said once a day.
fn held_back_for(event: Event) -> Duration {
    match event {
        Event::Check => DAY,
        _ => HOUR,
    }
}

/// `text` is what Slack and plain receivers show, `content` what Discord does.
fn body(alert: &Alert) -> Value {
    let (happened, means) = words(alert.kind);
    let mut text = format!("clerk-nylas-relay: {happened}");
    for setting in &alert.settings {
        text.push(' ');
        text.push_str(setting.name);
    }
    // Writing to a String cannot fail.
    if let Some(account) = &alert.account {
        let _ = write!(text, " Account {}.", account.as_str());
    }
    let _ = write!(text, " {means} ({}", alert.reason.as_str());
    if let Some(id) = &alert.svix_id {
        let _ = write!(text, ", {id}");
    }
    text.push(')');
    json!({
        "text": text,
        "content": text,
        "event": alert.event,
        "outcome": alert.outcome,
        "reason": alert.reason,
        "account": alert.account,
        "svix_id": alert.svix_id,
    })
}

/// What happened; what it means, and what to do.
fn words(kind: AlertKind) -> (&'static str, &'static str) {
    match kind {
        AlertKind::Misconfigured => (
            "settings are missing or malformed:",
            "No sign-in mail is sent; Clerk repeats them once GET /health is ok.",
        ),
        AlertKind::Degraded => (
            "optional settings are malformed, and what they are for is off:",
            "Sign-in mails are sent all the same. GET /health says what is wrong with each.",
        ),
        AlertKind::AccountDown => (
            "an account cannot send.",
            "Other accounts stand in, or mails wait until they expire. Look at the reason.",
        ),
        AlertKind::FailedOver => (
            "an account stands in for another.",
            "Users get their mails. Look at the other accounts.",
        ),
        AlertKind::DeadLettered => (
            "a message was given up.",
            "Its reader will not get it. Look at it with relayctl list --dead, then relayctl redrive.",
        ),
        AlertKind::VirusFound => (
            "Nylas found a virus in a mail.",
            "Its user does not get it. Look at the template.",
        ),
        AlertKind::Rejected => (
            "Nylas refused a mail for good.",
            "Its user does not get it. Look at the reason; mend; press Resend in Clerk.",
        ),
        AlertKind::Expired => (
            "a mail expired before it could be sent.",
            "Its user could not sign in. Look why mails were waiting.",
        ),
        AlertKind::Waiting => (
            "mails have been waiting for over a minute.",
            "Users wait for their codes. Look at the reason, and at https://status.nylas.com.",
        ),
        AlertKind::DomainBouncing => (
            "a recipient domain does nothing but bounce.",
            "No more is sent there for an hour. Look whether somebody makes up addresses.",
        ),
        AlertKind::Complained => (
            "a user called a sign-in mail spam.",
            "They get no more of them. At 0.5 % Nylas pauses the account.",
        ),
        AlertKind::SendFailed => (
            "Nylas could not send a mail it had taken.",
            "Its user does not get it and has to ask for another.",
        ),
        AlertKind::GrantGone => (
            "an account's grant is gone.",
            "It neither sends nor receives. Mend it in Nylas' dashboard.",
        ),
        AlertKind::GrantUpdated => ("an account's grant was changed.", "Was it you?"),
        AlertKind::CapNear => (
            "an account has used up much of its mails of the day.",
            "At 100 % it sends no more until midnight UTC. Add an account or a larger plan.",
        ),
        AlertKind::BounceRate => (
            "over 2 % of the mails bounce.",
            "At 10 % Nylas pauses the account, and nobody signs in. Look whether somebody makes up addresses.",
        ),
        AlertKind::ComplaintRate => (
            "over 0.05 % of the mails are called spam.",
            "At 0.5 % Nylas pauses the account, and nobody signs in.",
        ),
        AlertKind::WebhookInactive => (
            "Nylas' webhook is not active.",
            "Replies come a quarter of an hour late, bounces not at all. Activate it in Nylas' dashboard.",
        ),
        AlertKind::Silence => (
            "no mail for six hours, after a day that had some.",
            "Is the endpoint enabled in Clerk, and the template still off there?",
        ),
        AlertKind::SenderNameDiffers => (
            "Clerk's sender name differs from the account's address.",
            "Mails come from the account's address. Change one of the two.",
        ),
    }
}

#[cfg(test)]
mod tests;
