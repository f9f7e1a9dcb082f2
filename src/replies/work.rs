//! The work on one notification: what it needs, and how it ends.

use crate::{
    context::Context,
    model::{
        id::GrantId,
        log::{Level, Record},
        message::Disposition,
        outcome::{Outcome, Reason},
        time::millis,
    },
    ports::StoreError,
    queue::backoff::{PATIENT_TRIES, patient_delay},
};

/// What the work on one notification needs.
pub struct Work<'a, 'c, P> {
    pub context: &'a Context<'c, P>,
    /// The account the notification is about. What is said about sent mails counts also when the account is not configured
    /// any more.
    pub account: &'a GrantId,
    /// Which delivery of the queue message this is, from 1.
    pub attempt: u32,
}

/// How it ended.
pub enum Done {
    Done,
    /// Once more, later.
    Retry(Reason),
}

/// What becomes of the queue message. The record is told. `None`: it is given up.
pub fn settle(
    worked: Result<Done, StoreError>,
    record: &mut Record,
    attempt: u32,
) -> Option<Disposition> {
    let reason = match worked {
        Ok(Done::Done) => return Some(Disposition::Acknowledge),
        Ok(Done::Retry(reason)) => reason,
        Err(_) => Reason::LedgerRefused,
    };
    let delay = patient_delay(attempt);
    record.level = Level::Warning;
    record.outcome = Outcome::Retry;
    record.reason = reason;
    record.retry_in_ms = Some(millis(delay));
    (attempt < PATIENT_TRIES).then_some(Disposition::Retry(delay))
}
