//! What comes back: notifications of Nylas', users' replies on their way to an agent or a person, and what Nylas says
//! later about a mail or an account.

pub mod agent;
pub mod arrival;
pub mod classify;
pub mod correlate;
pub mod delivery_event;
pub mod grant;
pub mod handoff;
pub mod intake;
pub mod process;
pub mod sweep;
mod work;
