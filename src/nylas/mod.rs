//! Nylas: one request out, one typed outcome back; and what its notifications say.

pub mod client;
pub mod mailbox;
pub mod notification;
pub mod send;

pub use client::Nylas;
