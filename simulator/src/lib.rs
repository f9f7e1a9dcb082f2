//! The relay's real code in a world that fails: one thread, no real time, everything from one seed.
//!
//! `docs/delivery.md` says what is promised; [`scenario`] sets a stage, [`svix`] sends, [`queue`]
//! delivers, [`ports`] fail at every await, and [`scenario::Outcome`] holds what the invariants found.
//! All of them share one [`world`].

pub mod agent;
pub mod choices;
pub mod executor;
pub mod invocation;
pub mod notifications;
pub mod nylas;
pub mod ports;
pub mod queue;
pub mod replies;
pub mod sabotage;
pub mod scenario;
pub mod svix;
pub mod world;
