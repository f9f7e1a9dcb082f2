//! Nylas' API, one file for each of its parts.

pub mod connect;
pub mod limits;
pub mod messages;
pub mod policies;
pub mod send;
pub mod validate;
pub mod webhooks;
