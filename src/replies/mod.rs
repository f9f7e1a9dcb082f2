//! What comes back: notifications from Nylas, users' replies on their way to an agent or a person, and what Nylas
//! reports about mails and accounts.

pub mod agent;
pub mod arrival;
pub mod bounce;
pub mod budget;
pub mod classify;
pub mod correlate;
pub mod delivery_event;
pub mod grant;
pub mod handoff;
pub mod intake;
pub mod process;
pub mod sweep;
mod work;
