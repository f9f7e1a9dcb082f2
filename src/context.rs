//! What handling one webhook or one queue message needs, in one value.

use crate::{
    config::Config,
    ledger::{Ledger, recipient::RecipientHash},
    model::{
        account::AccountFault,
        alert::{Alert, AlertKind},
        id::{GrantId, SvixId},
        log::{Level, Record},
        mail::Email,
        message::Lane,
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

/// The ports, the settings, the ledger and the Nylas client, for one webhook or one queue message. It collects the
/// alerts that are raised, and the durations and errors for the log record.
pub struct Context<'a, P> {
    pub ports: &'a P,
    pub config: &'a Config,
    pub ledger: Ledger<'a, P>,
    pub nylas: Nylas<'a, P>,
    /// When the request or the queue message came in. Budgets count from here.
    pub started: UnixMillis,
    alerts: RefCell<Vec<Alert>>,
    queue_error: Cell<Option<QueueError>>,
    sender_name_differs: RefCell<Option<GrantId>>,
    /// The accounts that an attempt found at fault.
    at_fault: RefCell<Vec<GrantId>>,
    all_at_fault: Cell<Option<AccountFault>>,
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
            at_fault: RefCell::default(),
            all_at_fault: Cell::default(),
        }
    }

    pub fn now(&self) -> UnixMillis {
        self.ports.now()
    }

    /// By what the ledger knows a recipient.
    pub fn recipient(&self, address: &str) -> RecipientHash {
        RecipientHash::new(address, &self.config.nylas_api_key)
    }

    /// By what the ledger knows a recipient's codes of one template. `None` for what is no code.
    pub fn codes(&self, email: &Email) -> Option<RecipientHash> {
        let slug = email.slug.as_str().filter(|_| email.slug.is_code())?;
        let key = &self.config.nylas_api_key;
        Some(RecipientHash::of_template(&email.to, slug, key))
    }

    /// Puts a text into a queue. `Ok` once it is durable there.
    ///
    /// # Errors
    /// Why the queue refused it. The log record will say so, too.
    pub async fn enqueue(&self, lane: Lane, text: &str, delay: Duration) -> Result<(), QueueError> {
        let enqueued = self.ports.send_to_queue(lane, text, delay).await;
        if let Err(error) = enqueued {
            self.queue_error.set(Some(error));
        }
        enqueued
    }

    /// Whether an account has used up nine tenths of its mails of the day. The rest is for sign-in mails. A ledger that
    /// does not say counts as yes; without `NYLAS_DAILY_CAP` nobody counts.
    pub async fn is_quota_nearly_used(&self, grant_id: &GrantId) -> bool {
        let Some(cap) = self.config.daily_cap else {
            return false;
        };
        match self.ledger.sent_today(grant_id).await {
            Ok(sent) => sent.unwrap_or_default().saturating_mul(10) >= cap.saturating_mul(9),
            Err(_) => true,
        }
    }

    /// Whether an account's guard holds a mail back. Of what cannot be read, only what speaks for the mail counts.
    pub async fn is_held_back(
        &self,
        grant_id: &GrantId,
        id: &SvixId,
        recipient: &RecipientHash,
    ) -> bool {
        // A relay that hears of no delivery knows nobody as proven.
        if !self.config.hears_nylas() {
            return false;
        }
        let is_proven = self.ledger.is_proven(recipient).await != Ok(false);
        let guard = self.ledger.guard(grant_id).await;
        !is_proven && !guard.admits(id, self.now())
    }

    /// Adds durations, the number of requests, the last errors and Nylas' last answer to a log record.
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

    /// Notes that Clerk's sender name is not this account's, for [`Self::report_sender_name`].
    pub fn note_sender_name(&self, account: &GrantId) {
        *self.sender_name_differs.borrow_mut() = Some(account.clone());
    }

    /// Reports a sender name that was noted, at most once a day. Called after the send, because it asks the ledger and
    /// no mail should wait for that.
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

    /// Notes that this account was found at fault just now.
    pub fn note_at_fault(&self, account: &GrantId) {
        self.at_fault.borrow_mut().push(account.clone());
    }

    /// Whether this account was found at fault just now.
    pub fn is_at_fault(&self, account: &GrantId) -> bool {
        self.at_fault.borrow().contains(account)
    }

    /// Notes that every account is at fault. `fault`: what is wrong with the last one.
    pub fn note_all_at_fault(&self, fault: AccountFault) {
        self.all_at_fault.set(Some(fault));
    }

    /// Whether every account was found at fault, and why the last one.
    pub fn take_all_at_fault(&self) -> Option<AccountFault> {
        self.all_at_fault.take()
    }

    /// Logs a record and collects its alert, if it has one.
    pub fn report(&self, record: &Record) {
        self.ports.log(record);
        self.alerts.borrow_mut().extend(record.to_alert());
    }

    /// The alerts raised so far. The entry point queues them after the answer.
    pub fn into_alerts(self) -> Vec<Alert> {
        self.alerts.into_inner()
    }
}
