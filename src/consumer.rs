//! The queue's consumer: which handler a message goes to, and what is given up.

use crate::{
    config::Config,
    mail::job,
    model::{
        alert::Alert,
        message::{Delivery, Disposition, Message},
        outcome::Event,
        problem::Problem,
    },
    operator::{alerts, settings::report_misconfigured},
    ports::Ports,
    queue::{backoff::patient_delay, dead_letter::dead_letter},
    replies::{agent, process},
};

/// What became of a queue message, and what the operator must hear of.
pub type Processed = (Disposition, Vec<Alert>);

/// Processes one message of the queue. Never fails: the message is acknowledged or comes back.
pub async fn process<P: Ports>(
    ports: &P,
    config: Result<&Config, &[Problem]>,
    delivery: &Delivery<'_>,
) -> Processed {
    let Some(message) = delivery.body.as_text().and_then(Message::from_text) else {
        // Not ours, or of a newer version: a person must look.
        return give_up(ports, delivery).await;
    };
    let config = match (config, &message) {
        (Ok(config), _) => config,
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

/// Records a message of the dead-letter queue.
pub async fn give_up<P: Ports>(ports: &P, delivery: &Delivery<'_>) -> Processed {
    let (disposition, alert) = dead_letter(ports, delivery).await;
    (disposition, alert.into_iter().collect())
}

/// While the settings are wrong everything waits.
async fn misconfigured<P: Ports>(
    ports: &P,
    problems: &[Problem],
    message: Message,
    delivery: &Delivery<'_>,
) -> Processed {
    let is_waiting = match &message {
        Message::Mail(mail) => !mail.email.is_expired(ports.now()),
        Message::Notification { .. } | Message::HandOff { .. } | Message::Alert { .. } => true,
    };
    let mut raised = Vec::new();
    if is_waiting {
        raised.extend(report_misconfigured(ports, Event::Outbox, problems));
    }
    let disposition = match message {
        Message::Mail(mail) => {
            let (disposition, more) = job::wait_for_settings(ports, &mail, delivery.attempt).await;
            raised.extend(more);
            disposition
        }
        Message::Notification { .. } | Message::HandOff { .. } | Message::Alert { .. } => {
            Disposition::Retry(patient_delay(delivery.attempt))
        }
    };
    (disposition, raised)
}
