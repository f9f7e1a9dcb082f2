//! The queues: putting messages in, when they are retried, dead letters, and whether anything moves.

pub mod backoff;
pub mod dead_letter;
pub mod enqueue;
pub mod standstill;
