//! What handling one webhook or one queue message needs, in one place.

use crate::{
    config::Config,
    ledger::Ledger,
    model::{
        alert::{Alert, AlertKind},
        id::GrantId,
        log::{Level, Record},
        outcome::{Event, Outcome, Reason},
        time::{DAY, UnixMillis, millis},
    },
    nylas::client::{Limits, Nylas},
    ports::{Ports, QueueError},
};
use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

/// The ports, the settings, the ledger and Nylas, for one webhook or one queue message. It collects the alerts raised
/// on the way, and what the log wants to know of the time spent.
pub struct Context<'a, P> {
    pub ports: &'a P,
    pub config: &'a Config,
    pub ledger: Ledger<'a, P>,
    pub nylas: Nylas<'a, P>,
    /// When the work began.
    pub started: UnixMillis,
    alerts: RefCell<Vec<Alert>>,
    queue_error: Cell<Option<QueueError>>,
    sender_name_differs: RefCell<Option<GrantId>>,
}

impl<'a, P: Ports> Context<'a, P> {
    pub fn new(ports: &'a P, config: &'a Config, started: UnixMillis, limits: Limits) -> Self {
        Self {
            ports,
            config,
            ledger: Ledger::new(ports),
            nylas: Nylas::new(ports, config, started, limits),
            started,
            alerts: RefCell::default(),
            queue_error: Cell::default(),
            sender_name_differs: RefCell::default(),
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

    /// Notes that Clerk's sender name is not this account's.
    pub fn note_sender_name(&self, account: &GrantId) {
        *self.sender_name_differs.borrow_mut() = Some(account.clone());
    }

    /// Tells the operator what was noted of the sender's name, once a day. After the mail is out: nobody waits for it.
    pub async fn report_sender_name(&self) {
        let noted = self.sender_name_differs.take();
        let Some(account) = noted.filter(|_| self.ports.first_seen("drift")) else {
            return;
        };
        if self.ledger.may_say("drift", DAY).await {
            self.report(&Record {
                level: Level::Warning,
                account: Some(account),
                alert: Some(AlertKind::SenderNameDiffers),
                ..Record::new(Event::Check, Outcome::Drift, Reason::FromEmailNameDiffers)
            });
        }
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
