//! The work on one notification: what it needs, and what becomes of the queue message after it.

use crate::{
    context::Context,
    model::{
        id::GrantId,
        log::{Level, Record},
        message::Disposition,
        outcome::{Outcome, Reason},
        time::millis,
    },
    ports::{QueueError, StoreError},
    queue::backoff::{PATIENT_TRIES, patient_delay},
};

/// From this delivery of a notification on the ledger shows what was written before the first one. That is five minutes
/// later: a read is stale for less, and a code is of use for longer.
pub const NOT_STALE_FROM: u32 = 6;

/// What the work on one notification needs.
pub struct Work<'a, 'c, P> {
    pub context: &'a Context<'c, P>,
    /// The account the notification is about. It may have been removed from the configuration: delivery events of its
    /// mails count all the same.
    pub account: &'a GrantId,
    /// Which delivery of the queue message this is, from 1.
    pub attempt: u32,
}

/// How the work ended. The error says why it must be retried.
pub type Worked = Result<(), Reason>;

impl From<StoreError> for Reason {
    fn from(_: StoreError) -> Self {
        Self::LedgerRefused
    }
}

impl From<QueueError> for Reason {
    fn from(_: QueueError) -> Self {
        Self::CouldNotBeQueued
    }
}

/// What becomes of the queue message. A retry is noted in the record. `None`: the retries are used up, so the message
/// goes to the dead letters.
pub fn disposition(worked: Worked, record: &mut Record, attempt: u32) -> Option<Disposition> {
    let Err(reason) = worked else {
        return Some(Disposition::Acknowledge);
    };
    let delay = patient_delay(attempt);
    record.level = Level::Warning;
    record.outcome = Outcome::Retry;
    record.reason = reason;
    record.retry_in_ms = Some(millis(delay));
    (attempt < PATIENT_TRIES).then_some(Disposition::Retry(delay))
}
