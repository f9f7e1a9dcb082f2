//! A reply is handed to the agent: one signed `POST`. Any library of the Standard Webhooks scheme can verify it
//! (<https://www.standardwebhooks.com>).

use super::work::disposition;
use crate::{
    config::Config,
    ledger::Ledger,
    model::{
        alert::Alert,
        log::{Level, Record},
        message::Disposition,
        outcome::{Event, Outcome, Reason},
        time::millis,
    },
    ports::{HttpError, HttpMethod, HttpRequest, Ports, WhenLate},
};
use serde_json::Value;
use std::time::Duration;

/// How long an agent may take to answer.
pub const AGENT_TIMEOUT: Duration = Duration::from_secs(20);

/// Hands a reply to the agent. It is retried until the agent answers 2xx, for a day at most. No disposition: the
/// retries are used up, so the message goes to the dead letters.
pub async fn process<P: Ports>(
    ports: &P,
    config: &Config,
    payload: &Value,
    attempt: u32,
) -> (Option<Disposition>, Vec<Alert>) {
    let Some(id) = payload.get("id").and_then(Value::as_str) else {
        return (None, Vec::new());
    };
    let started = ports.now();
    let ledger = Ledger::new(ports);
    let mut record = Record {
        reply: Some(id.to_owned()),
        attempt: Some(attempt),
        ..Record::new(Event::HandOff, Outcome::HandedOn, Reason::AgentTookIt)
    };
    // If the ledger cannot be read the reply is handed on anyway: the agent recognizes a repeated id.
    let worked = if ledger.was_accepted_by_agent(id).await == Ok(true) {
        (record.outcome, record.reason) = (Outcome::Duplicate, Reason::HandedOnBefore);
        Ok(())
    } else {
        match post(ports, config, id, payload).await {
            Ok(status @ 200..=299) => {
                record.agent_status = Some(status);
                // Safe to lose: the agent gets a repeated delivery again, with the same id.
                let _ = ledger.put_accepted_by_agent(id).await;
                Ok(())
            }
            Ok(status) => {
                record.agent_status = Some(status);
                Err(Reason::AgentRefused)
            }
            Err(reason) => Err(reason),
        }
    };
    let disposition = disposition(worked, &mut record, attempt);
    if disposition.is_none() {
        record.level = Level::Error;
    }
    record.ledger_ms = Some(millis(ledger.spent()));
    record.ledger_error = ledger.last_error().map(|error| error.as_str());
    record.total_ms = Some(millis(ports.now().since(started)));
    ports.log(&record);
    (disposition, record.to_alert().into_iter().collect())
}

async fn post<P: Ports>(
    ports: &P,
    config: &Config,
    id: &str,
    payload: &Value,
) -> Result<u16, Reason> {
    let agent = config.agent.as_ref().ok_or(Reason::NoAgentConfigured)?;
    let body = payload.to_string();
    let now = ports.now();
    let request = HttpRequest {
        method: HttpMethod::Post,
        url: agent.url.clone(),
        headers: vec![
            ("content-type", "application/json".to_owned()),
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", now.seconds().to_string()),
            (
                "webhook-signature",
                agent.secret.sign(id, now, body.as_bytes()),
            ),
        ],
        body: Some(body),
        when_late: WhenLate::Abort,
    };
    match ports.fetch(request, Some(AGENT_TIMEOUT)).await {
        Ok(response) => Ok(response.status),
        Err(HttpError::Timeout) => Err(Reason::AgentTimeout),
        Err(HttpError::ConnectionLost | HttpError::Unreachable) => Err(Reason::AgentUnreachable),
    }
}
