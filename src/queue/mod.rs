//! The queue: putting messages in, when they are retried, and dead letters.

pub mod backoff;
pub mod dead_letter;
pub mod enqueue;
