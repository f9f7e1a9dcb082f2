//! Clerk takes over: while no account sends, its templates are handed back to Clerk, which then delivers their mails
//! itself.
//!
//! Nylas' support alone lifts a pause, and until then every code would be lost. A mail is still delivered by one side:
//! Clerk decides it when it makes the event (`delivered_by_clerk`), and that never changes for a Svix id. The relay
//! never takes a template back: `relayctl templates take` does.

pub mod decide;
pub mod process;
pub mod trigger;
