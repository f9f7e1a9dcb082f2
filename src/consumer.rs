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
    operator::{alerts, settings::report_misconfigured},
    ports::Ports,
    queue::{backoff::patient_delay, dead_letter::dead_letter},
    replies::{agent, process},
};

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
        (Err(_), Message::Alert { .. }) => return (Disposition::Acknowledge, Vec::new()),
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
