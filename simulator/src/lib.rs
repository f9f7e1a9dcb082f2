//! The relay's real code in a world that fails, in one thread, without real time, and repeatable from a seed.
//!
//! `docs/delivery.md` says what is promised. A [`scenario`] sets the stage. [`svix`] sends webhooks, [`nylas`] accepts
//! mails and reports on them, [`queue`] delivers messages, and the [`ports`] may fail at every await. At the end the
//! scenario checks the promise, and [`scenario::Outcome`] has what it found. All modules share one [`world`].

pub mod agent;
pub mod batch;
pub mod choices;
pub mod clerk;
pub mod executor;
pub mod invocation;
pub mod notifications;
pub mod nylas;
pub mod ports;
pub mod queue;
pub mod replies;
pub mod sabotage;
pub mod scenario;
pub mod smtp;
pub mod svix;
pub mod world;
