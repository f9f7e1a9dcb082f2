//! The queue: what goes in, when it comes back, and what happens to what is given up.

pub mod backoff;
pub mod dead_letter;
pub mod enqueue;
