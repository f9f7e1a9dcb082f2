//! A mail's two ways in: Clerk's webhook, and the queue.

pub mod decide;
mod event;
pub mod job;
pub mod receive;
