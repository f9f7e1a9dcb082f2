//! Probes of `relayctl prove`: how late this Worker sees what it wrote, and how long a message waits in the queue.

use super::api::{AdminAnswer, View};
use crate::{
    ledger::{Ledger, probe::ProbeId},
    model::{
        message::{Disposition, Message},
        time::{UnixMillis, millis},
    },
    ports::{Ports, StoreError},
};
use serde_json::json;
use std::time::Duration;

impl<P: Ports> View<'_, P> {
    /// Begins a probe: a record into the ledger, and a message into the queue of the mails.
    pub(super) async fn begin_probe(&self, id: &ProbeId) -> Result<AdminAnswer, StoreError> {
        self.ledger.put_probe(id).await?;
        let at = self.ports.now();
        let message = Message::Probe {
            id: id.as_str().to_owned(),
            at,
        };
        let text = message.to_text().unwrap_or_default();
        let queued = self
            .ports
            .send_to_queue(message.lane(), &text, Duration::ZERO)
            .await;
        let error = queued.err().map(|error| error.as_str());
        Ok((
            200,
            json!({"status": "begun", "at": at, "queue_error": error}),
        ))
    }

    /// What a probe has seen.
    pub(super) async fn probe(&self, id: &ProbeId) -> Result<AdminAnswer, StoreError> {
        Ok((
            200,
            json!({
                "now": self.ports.now(),
                "written_at": self.ledger.probe(id).await?,
                "seen": self.ledger.seen(id).await?,
            }),
        ))
    }
}

/// The message came out of the queue: how long that took, and whether the record written before it shows here.
pub async fn process<P: Ports>(ports: &P, id: &str, at: UnixMillis) -> Disposition {
    let ledger = Ledger::new(ports);
    if let Some(id) = ProbeId::parse(id) {
        let is_visible = ledger.probe(&id).await.is_ok_and(|at| at.is_some());
        let seen = json!({
            "waited_ms": millis(ports.now().since(at)),
            "record_visible": is_visible,
        });
        // Safe to lose: `relayctl prove` then says that it could not be told.
        let _ = ledger.put_seen(&id, "queue", &seen).await;
    }
    Disposition::Acknowledge
}
