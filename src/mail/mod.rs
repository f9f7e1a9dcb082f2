//! Sign-in mails, which come from Clerk's webhook and from the queue.

pub mod decide;
mod event;
pub mod job;
pub mod receive;
