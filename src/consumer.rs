//! The queue's consumer: which handler gets a message, and what goes to the dead letters.

use crate::{
    config::Config,
    handback,
    mail::job,
    model::{
        alert::Alert,
        message::{Delivery, Disposition, Message, QueuedMail},
        outcome::Event,
        problem::Problem,
    },
    operator::{alerts, probe, settings::report_misconfigured},
    ports::Ports,
    queue::{backoff::patient_delay, dead_letter::dead_letter},
    replies::{agent, process},
};
use std::{future::poll_fn, pin::Pin, task::Poll};

/// What becomes of a queue message, and the alerts raised on the way.
pub type Processed = (Disposition, Vec<Alert>);

/// Processes one message of the queue. Never fails: the message is acknowledged or retried.
pub async fn process<P: Ports>(
    ports: &P,
    config: Result<&Config, &[Problem]>,
    delivery: &Delivery<'_>,
) -> Processed {
    let Some(message) = delivery.body.as_text().and_then(Message::from_text) else {
        // A newer version of the relay queued it, or somebody else: a person must look at it.
        return give_up(ports, delivery).await;
    };
    let config = match (config, &message) {
        (Ok(config), _) => config,
        // Without settings there is no address to post to. The alert about the settings does not go through the queue.
        (Err(_), Message::Alert { .. } | Message::Probe { .. }) => {
            return (Disposition::Acknowledge, Vec::new());
        }
        (Err(problems), _) => return misconfigured(ports, problems, message, delivery).await,
    };
    let attempt = delivery.attempt;
    let (disposition, mut raised) = match message {
        Message::Mail(mail) => return job::process(ports, config, *mail, attempt).await,
        Message::Alert { key, body } => {
            let url = config.alert_url.as_deref();
            let disposition = alerts::process(ports, url, &key, &body, attempt).await;
            return (disposition, Vec::new());
        }
        Message::Probe { id, at } => return (probe::process(ports, &id, at).await, Vec::new()),
        Message::HandBack(job) => {
            return handback::process::process(ports, config, &job, attempt).await;
        }
        Message::Notification { text } => process::process(ports, config, &text, attempt).await,
        Message::HandOff { payload } => agent::process(ports, config, &payload, attempt).await,
    };
    match disposition {
        Some(disposition) => (disposition, raised),
        None => {
            let (disposition, more) = give_up(ports, delivery).await;
            raised.extend(more);
            (disposition, raised)
        }
    }
}

/// How many connections Cloudflare opens for one batch at the same time
/// (<https://developers.cloudflare.com/workers/platform/limits/#simultaneous-open-connections>).
pub const CONNECTIONS_MAX: usize = 6;

/// Does the work on a batch. Each message has one request open at a time, so no more than six are at work: a seventh
/// would wait for a connection while its time runs. `wrangler.toml` asks for batches of six; one that is older, or was
/// edited, may ask for more.
///
/// Each is polled whenever one can go on, because a batch is a few messages; the library's `join_all` is for many, and
/// eight kilobytes of the upload.
pub async fn work_on_batch(mut work: Vec<Pin<Box<dyn Future<Output = ()> + '_>>>) {
    poll_fn(|context| {
        let mut open = 0_usize;
        work.retain_mut(|work| {
            if open >= CONNECTIONS_MAX {
                return true;
            }
            let is_open = work.as_mut().poll(context).is_pending();
            open = open.saturating_add(usize::from(is_open));
            is_open
        });
        if work.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// Records a message as a dead letter: one of the dead-letter queue, or one that a handler gave up.
pub async fn give_up<P: Ports>(ports: &P, delivery: &Delivery<'_>) -> Processed {
    let (disposition, alert) = dead_letter(ports, delivery).await;
    (disposition, alert.into_iter().collect())
}

/// Defers a message while the settings are wrong, because none can be processed. Only an expired mail ends.
async fn misconfigured<P: Ports>(
    ports: &P,
    problems: &[Problem],
    message: Message,
    delivery: &Delivery<'_>,
) -> Processed {
    let mail = match message {
        Message::Mail(mail) => Some(mail),
        Message::Notification { .. }
        | Message::HandOff { .. }
        | Message::Alert { .. }
        | Message::Probe { .. }
        | Message::HandBack(_) => None,
    };
    let is_expired = |mail: &QueuedMail| mail.email.is_expired(ports.now());
    let mut raised = Vec::new();
    if !mail.as_deref().is_some_and(is_expired) {
        raised.extend(report_misconfigured(ports, Event::Outbox, problems));
    }
    let Some(mail) = mail else {
        let retry = Disposition::Retry(patient_delay(delivery.attempt));
        return (retry, raised);
    };
    let (disposition, more) = job::defer_until_configured(ports, &mail, delivery.attempt).await;
    raised.extend(more);
    (disposition, raised)
}

#[cfg(test)]
mod tests;
