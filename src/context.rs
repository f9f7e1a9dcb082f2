//! What handling one webhook or one queue message needs, in one place.

use crate::{
    config::Config,
    ledger::Ledger,
    model::{
        alert::Alert,
        log::Record,
        time::{UnixMillis, millis},
    },
    nylas::Nylas,
    ports::{Ports, QueueError},
};
use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

/// The ports, the settings, the ledger and Nylas, for one webhook or one queue message. It collects the alerts raised on the
/// way, and what the log wants to know of the time spent.
pub struct Context<'a, P> {
    pub ports: &'a P,
    pub config: &'a Config,
    pub ledger: Ledger<'a, P>,
    pub nylas: Nylas<'a, P>,
    /// When the work began.
    pub started: UnixMillis,
    alerts: RefCell<Vec<Alert>>,
    queue_error: Cell<Option<QueueError>>,
}

impl<'a, P: Ports> Context<'a, P> {
    /// `budget` is how long all requests to Nylas may take together, `timeout` how long each may take.
    pub fn new(
        ports: &'a P,
        config: &'a Config,
        started: UnixMillis,
        budget: Duration,
        timeout: Duration,
    ) -> Self {
        Self {
            ports,
            config,
            ledger: Ledger::new(ports),
            nylas: Nylas::new(ports, config, started.plus(budget), timeout),
            started,
            alerts: RefCell::default(),
            queue_error: Cell::default(),
        }
    }

    pub fn now(&self) -> UnixMillis {
        self.ports.now()
    }

    /// Puts a text into the queue. `Ok` once it is durable there.
    pub async fn enqueue(&self, text: &str, delay: Duration) -> Result<(), QueueError> {
        let sent = self.ports.send_to_queue(text, delay).await;
        if let Err(error) = sent {
            self.queue_error.set(Some(error));
        }
        sent
    }

    /// Adds to a record what this work took, and what failed on the way.
    pub fn complete(&self, record: Record) -> Record {
        Record {
            ledger_ms: Some(millis(self.ledger.spent())),
            nylas_ms: Some(millis(self.nylas.spent())),
            nylas_calls: Some(self.nylas.calls()),
            total_ms: Some(millis(self.now().since(self.started))),
            ledger_error: self.ledger.last_error().map(|error| error.as_str()),
            queue_error: self.queue_error.get().map(QueueError::as_str),
            ..record
        }
        .with_answer(self.nylas.last())
    }

    /// Logs a record and keeps its alert, if it has one.
    pub fn report(&self, record: &Record) {
        self.ports.log(record);
        self.alerts.borrow_mut().extend(record.to_alert());
    }

    /// The alerts raised so far. Whoever called the handler posts them, after the answer.
    pub fn into_alerts(self) -> Vec<Alert> {
        self.alerts.into_inner()
    }
}
