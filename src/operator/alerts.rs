//! Alerts: what an operator must know now, what it means for users and what to do, posted to `ALERT_WEBHOOK_URL`.
//!
//! Alerts go through the queue, after the answer, so that none delays a mail. The same alert is held back for an hour.

use super::{about::About, standing};
use crate::{
    config::Config,
    ledger::{Ledger, recipient::RecipientHash},
    model::{
        alert::{Alert, AlertKind},
        log::{Level, Record},
        message::{Disposition, Message},
        outcome::{Event, Outcome, Reason},
        time::{DAY, HOUR, UnixMillis},
    },
    ports::{HttpMethod, HttpRequest, Ports, WhenLate},
    queue::backoff::patient_delay,
};
use futures_util::FutureExt;
use serde_json::{Value, json};
use std::{fmt::Write, time::Duration};

const TIMEOUT: Duration = Duration::from_secs(10);
/// Retries go on for two hours and a half. After that only the log has the alert.
const TRIES: u32 = 11;

/// Queues alerts for `url`. Without one nobody is told, but the page still says since when a state lasts. `config`: the
/// settings, if they are right.
pub async fn raise<P: Ports>(
    ports: &P,
    config: Option<&Config>,
    url: Option<&str>,
    alerts: Vec<Alert>,
) {
    // Boxed, so that it is code of its own: a request without alerts does not wait for its compilation.
    match url {
        _ if alerts.is_empty() => {}
        Some(url) => raise_at(ports, config, url, alerts).boxed_local().await,
        None => note(ports, alerts).boxed_local().await,
    }
}

async fn note<P: Ports>(ports: &P, alerts: Vec<Alert>) {
    let with_keys = alerts.into_iter().filter_map(|alert| {
        let key = key(&alert, None, ports.now());
        is_first(ports, &key).then_some((alert, key))
    });
    standing::note(ports, with_keys.collect()).await;
}

/// The ledger shows a mark up to a minute late, so the instance remembers an alert, too; not for long, because it is
/// news again once its state has ended.
fn is_first<P: Ports>(ports: &P, key: &str) -> bool {
    let while_unseen = ports.now().seconds() / 600;
    ports.first_seen(&format!("{key}@{while_unseen}"))
}

async fn raise_at<P: Ports>(ports: &P, config: Option<&Config>, url: &str, alerts: Vec<Alert>) {
    let ledger = Ledger::new(ports);
    let mut raised = Vec::new();
    for alert in alerts {
        let key = key(&alert, config, ports.now());
        if !is_first(ports, &key) || ledger.was_alerted(&key).await == Ok(true) {
            continue;
        }
        let about = About::new(ports, config).await;
        let body = body(&alert, &about).await;
        let message = Message::Alert {
            key: key.clone(),
            body: body.clone(),
        };
        let text = message.to_text().unwrap_or_default();
        // While the settings are wrong the consumer has no address to post to; while the queue stands still it gets
        // nothing.
        let is_direct = matches!(alert.kind, AlertKind::Misconfigured | AlertKind::Backlog);
        let is_queued = !is_direct
            && ports
                .send_to_queue(message.lane(), &text, Duration::ZERO)
                .await
                .is_ok();
        if !is_queued && post(ports, url, &body).await {
            // Safe to lose: the alert is posted once more.
            let _ = ledger.put_alerted(&key, held_back_for(alert.event)).await;
        }
        raised.push((alert, key));
    }
    standing::note(ports, raised).await;
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

/// The key of an alert. Two alerts are the same if they say the same of the same account, and of the same day or month
/// if they are about its cap.
///
/// Of receiving servers: if the domains' hashes begin with the same digit, so that a stranger with many domains makes
/// sixteen alerts and not thousands, and the counts have as many digits, so that whoever refuses ten times as many is
/// news all the same.
fn key(alert: &Alert, config: Option<&Config>, now: UnixMillis) -> String {
    let account = alert
        .account
        .as_ref()
        .map_or("", |account| account.as_str());
    let (event, outcome) = (alert.event.as_str(), alert.outcome.as_str());
    let reason = alert.reason.as_str();
    let of_which = match (alert.kind, &alert.receiver, config) {
        (AlertKind::CapNear, ..) => format!(".{}", now.midnight().seconds()),
        (AlertKind::MonthlyCapNear, ..) => format!(".{}", now.month().seconds()),
        (_, Some(receiver), Some(config)) => {
            let hash = RecipientHash::of_domain(&receiver.domain, &config.nylas_api_key);
            let first = hash.as_str().get(..1).unwrap_or_default();
            format!(".{first}{}", receiver.today.to_string().len())
        }
        _ => String::new(),
    };
    format!("{event}.{outcome}.{reason}.{account}{of_which}")
}

/// How long the same alert is held back. A check runs every quarter of an hour and would repeat itself all day.
fn held_back_for(event: Event) -> Duration {
    match event {
        Event::Check => DAY,
        _ => HOUR,
    }
}

/// The JSON that is posted. Slack and plain receivers show `text`, Discord shows `content`.
async fn body<P: Ports>(alert: &Alert, about: &About<'_, P>) -> Value {
    let mut text = format!("clerk-nylas-relay: {}", what_happened(alert.kind));
    for setting in &alert.settings {
        text.push(' ');
        text.push_str(setting.name);
    }
    // Writing to a String cannot fail.
    if let Some(receiver) = &alert.receiver {
        let _ = write!(
            text,
            " It is {}'s, {} mails today.",
            receiver.domain, receiver.today
        );
    }
    if !alert.templates.is_empty() {
        let _ = write!(text, " {}.", alert.templates.join(", "));
    }
    text.push_str(&about.account(alert.account.as_ref()).await);
    let _ = write!(
        text,
        " {} ({}",
        what_to_do(alert.kind),
        alert.reason.as_str()
    );
    if let Some(id) = &alert.svix_id {
        let _ = write!(text, ", {id}");
    }
    text.push(')');
    text.push_str(&about.link(alert.svix_id.as_ref()));
    let mut body = json!({
        "text": text,
        "content": text,
        "event": alert.event,
        "outcome": alert.outcome,
        "reason": alert.reason,
        "account": alert.account,
        "svix_id": alert.svix_id,
    });
    if let (Some(body), false) = (body.as_object_mut(), alert.templates.is_empty()) {
        body.insert("templates".to_owned(), json!(alert.templates));
    }
    body
}

/// What happened.
fn what_happened(kind: AlertKind) -> &'static str {
    match kind {
        AlertKind::Misconfigured => "settings are missing or malformed:",
        AlertKind::Degraded => "optional settings are malformed, and what they are for is off:",
        AlertKind::AccountDown => "an account cannot send.",
        AlertKind::FailedOver => "an account stands in for another.",
        AlertKind::DeadLettered => "a message was given up.",
        AlertKind::VirusFound => "Nylas found a virus in a mail.",
        AlertKind::Rejected => "Nylas refused a mail for good.",
        AlertKind::Expired => "a mail expired before it could be sent.",
        AlertKind::Waiting => "mails have been waiting for over a minute.",
        AlertKind::Backlog => "mails have been in the queue for over a minute.",
        AlertKind::GuardUp => "over 5 % of an account's mails bounce, so its guard is up.",
        AlertKind::HeldBack => "an account's guard held back a mail.",
        AlertKind::ReceiverRefuses => "a receiving server refuses our mails.",
        AlertKind::ForwardBounced => "a forwarded reply bounced, or was called spam.",
        AlertKind::Complained => "a user called a sign-in mail spam.",
        AlertKind::SendFailed => "Nylas could not send a mail it had taken.",
        AlertKind::RepliesHeldBack => "replies stay in the mailbox, because too many came.",
        AlertKind::GrantGone => "an account's grant is gone.",
        AlertKind::GrantUpdated => "an account's grant was changed.",
        AlertKind::CapNear => "an account has used up much of its mails of the day.",
        AlertKind::MonthlyCapNear => "the organization has used up much of its mails of the month.",
        AlertKind::BounceRate => "over 2 % of the mails bounce.",
        AlertKind::ComplaintRate => "over 0.05 % of the mails are called spam.",
        AlertKind::WebhookInactive => "Nylas' webhook is not active.",
        AlertKind::Silence => "no mail for six hours, after a day that had some.",
        AlertKind::SenderNameDiffers => "Clerk's sender name differs from the account's address.",
        AlertKind::HandedBack => "no account sends, so Clerk delivers these mails itself now:",
        AlertKind::HandBackFailed => {
            "no account sends, and Clerk could not be told to deliver by itself:"
        }
    }
}

const HANDED_BACK: &str = "Users get their codes, from Clerk's address. Look at the reason; when the account sends \
                           again, run relayctl templates take --all.";
const HAND_BACK_FAILED: &str = "Users get no codes. Switch \"Delivered by Clerk\" on in Clerk's dashboard, or run \
                                relayctl templates give-back --all. clerk_refuses_key: CLERK_SECRET_KEY is wrong. \
                                clerk_endpoint_gone: Clerk no longer has the operation, which it calls \
                                deprecated, so only the dashboard is left.";

/// What it means for users, and what to do.
fn what_to_do(kind: AlertKind) -> &'static str {
    match kind {
        AlertKind::Misconfigured => {
            "No sign-in mail is sent; Clerk repeats them once GET /health is ok."
        }
        AlertKind::Degraded => {
            "Sign-in mails are sent all the same. GET /health says what is wrong with each."
        }
        AlertKind::AccountDown => {
            "Other accounts stand in, or mails wait until they expire. Look at the reason."
        }
        AlertKind::FailedOver => "Users get their mails. Look at the other accounts.",
        AlertKind::DeadLettered => {
            "Its reader will not get it. Look at it with relayctl list --dead, then relayctl redrive."
        }
        AlertKind::VirusFound => "Its user does not get it. Look at the template.",
        AlertKind::Rejected => "Its user does not get it. See the reason; mend; Resend in Clerk.",
        AlertKind::Expired => "Its user could not sign in. Look why mails were waiting.",
        AlertKind::Waiting => {
            "Users wait for their codes. Look at the reason, and at https://status.nylas.com."
        }
        AlertKind::Backlog => {
            "What can be sent at once still is. While the queue stands still, codes in it expire, and Clerk is asked \
             to keep the next ones. On Cloudflare's free plan it stops after 10,000 operations a day, until midnight \
             UTC: the paid plan ends that at once. Else look whether its delivery is paused, and at \
             https://status.nylas.com."
        }
        AlertKind::GuardUp => {
            "Whoever had a mail delivered before gets every mail; of the others fewer do, and from 8 % on none. At 10 \
             % Nylas pauses the account. Somebody may be making up addresses: turn on bot protection in Clerk. \
             relayctl guard lift ends it."
        }
        AlertKind::HeldBack => {
            "Its recipient never had a mail delivered, so a new user may wait in vain. Look at relayctl guard list; \
             relayctl guard lift ends it; press Resend in Clerk."
        }
        AlertKind::ReceiverRefuses => {
            "Its users get no codes. That is about the account or its domain: look at SPF, DKIM, DMARC and block \
             lists. The addresses are not suppressed."
        }
        AlertKind::ForwardBounced => "Replies may not reach you. Is REPLY_FORWARD_TO right?",
        AlertKind::Complained => "They get no more of them. At 0.5 % Nylas pauses the account.",
        AlertKind::SendFailed => "Its user does not get it and has to ask for another.",
        AlertKind::RepliesHeldBack => {
            "Nobody was handed them. Look into the mailbox, and at relayctl list --replies."
        }
        AlertKind::GrantGone => "It neither sends nor receives. Mend it in Nylas' dashboard.",
        AlertKind::GrantUpdated => "Was it you?",
        AlertKind::CapNear => {
            "At 100 % it sends no more until midnight UTC. Add an account or a larger plan."
        }
        AlertKind::MonthlyCapNear => "Only a larger plan helps: more accounts share it.",
        AlertKind::BounceRate => {
            "At 10 % Nylas pauses the account, and nobody signs in. Look whether somebody makes up \
             addresses."
        }
        AlertKind::ComplaintRate => "At 0.5 % Nylas pauses the account, and nobody signs in.",
        AlertKind::WebhookInactive => {
            "Replies come a quarter of an hour late, bounces not at all. Activate it in Nylas' \
             dashboard."
        }
        AlertKind::Silence => "Is the endpoint enabled in Clerk, and the template still off there?",
        AlertKind::SenderNameDiffers => {
            "Mails come from the account's address. Change one of the two."
        }
        AlertKind::HandedBack => HANDED_BACK,
        AlertKind::HandBackFailed => HAND_BACK_FAILED,
    }
}

#[cfg(test)]
mod tests;
