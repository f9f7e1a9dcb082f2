//! A reply handed to the agent: one signed `POST`, in the Standard Webhooks scheme
//! (<https://www.standardwebhooks.com>), so that any library of that scheme verifies it.

use crate::{
    config::Config,
    json,
    ledger::Ledger,
    observe::{Event, Level, Record},
    outbox::PATIENT_TRIES,
    ports::{Http, HttpError, HttpMethod, HttpRequest, Ports},
    relay::{Delivery, Disposition, bury},
    replies::later,
    time::millis,
};
use serde_json::Value;
use std::time::Duration;

/// How long an agent may take to answer.
pub const AGENT_TIMEOUT: Duration = Duration::from_secs(20);

/// Hands a reply to the agent, for as long as it takes it to answer 2xx, at most a day.
pub async fn work_off<P: Ports>(
    ports: &P,
    config: &Config,
    payload: &Value,
    delivery: &Delivery<'_>,
) -> Disposition {
    let Some(id) = payload.get("id").and_then(Value::as_str) else {
        return bury(ports, delivery).await;
    };
    let started = ports.now();
    let ledger = Ledger::new(ports);
    let mut record = Record {
        event: Event::HandOff,
        reply: Some(id.to_owned()),
        attempt: Some(delivery.attempt),
        outcome: "handed_on",
        reason: "agent_took_it",
        ..Record::default()
    };
    // Not to be read is no reason to keep it from the agent, which knows the id.
    let disposition = if ledger.was_handed(id).await == Ok(true) {
        (record.outcome, record.reason) = ("duplicate", "handed_on_before");
        Disposition::Acknowledge
    } else {
        match post(ports, config, id, payload).await {
            Ok(status @ 200..=299) => {
                record.agent_status = Some(status);
                // Lost: a repeated delivery of this message goes to the agent again, with the same id.
                let _ = ledger.put_handed(id).await;
                Disposition::Acknowledge
            }
            Ok(status) => {
                record.agent_status = Some(status);
                later(&mut record, "agent_refused", delivery.attempt)
            }
            Err(reason) => later(&mut record, reason, delivery.attempt),
        }
    };
    let is_over = delivery.attempt >= PATIENT_TRIES && disposition != Disposition::Acknowledge;
    record.level = if is_over { Level::Error } else { record.level };
    record.ledger_ms = Some(millis(ledger.spent()));
    record.total_ms = Some(millis(ports.now().since(started)));
    ports.log(&record);
    if is_over {
        return bury(ports, delivery).await;
    }
    disposition
}

async fn post<P: Ports>(
    ports: &P,
    config: &Config,
    id: &str,
    payload: &Value,
) -> Result<u16, &'static str> {
    let agent = config.agent.as_ref().ok_or("no_agent_configured")?;
    let body = json::text(payload);
    let now = ports.now();
    let request = HttpRequest {
        method: HttpMethod::Post,
        url: agent.url.clone(),
        headers: vec![
            ("content-type", "application/json".to_owned()),
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", now.seconds().to_string()),
            ("webhook-signature", agent.secret.sign(id, now, &body)),
        ],
        body: Some(body),
    };
    match Http::send(ports, request, AGENT_TIMEOUT).await {
        Ok(response) => Ok(response.status),
        Err(HttpError::Timeout) => Err("agent_timeout"),
        Err(HttpError::Network) => Err("agent_unreachable"),
    }
}
