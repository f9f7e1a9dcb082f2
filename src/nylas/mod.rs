//! The Nylas API, typed: sending, reading mailboxes, and the contents of notifications.

pub mod bounce;
pub mod client;
pub mod mailbox;
pub mod notification;
pub mod send;
pub mod sent_folder;

pub use client::Nylas;
