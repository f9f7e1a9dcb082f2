//! How a stand-in is started, and what its server and its handle have in common.

use crate::clock::Clock;
use crate::model::account::Account;
use crate::state::State;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How a stand-in is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The key every API request must bear.
    pub api_key: String,
    /// The accounts there are from the beginning.
    pub accounts: Vec<Account>,
    /// Whether a 429 for an account's state is kept under the idempotency key; if not, it is answered before keys are
    /// looked at. Nylas does not say.
    pub keeps_throttling: bool,
    /// The same of any other refusal for an account's state but the 404 of one that is gone, which no key keeps.
    pub keeps_account_refusals: bool,
    /// The time between the first and the second attempt to deliver a notification, on the stand-in's clock; twice as
    /// long before the third. Nylas' last attempt comes 10 to 20 minutes after the first.
    pub notify_interval: Duration,
}

impl Options {
    /// On any free loopback port, keeping every error as Nylas' documents have it.
    pub fn new(api_key: &str, accounts: Vec<Account>) -> Self {
        Options {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            api_key: api_key.to_owned(),
            accounts,
            keeps_throttling: true,
            keeps_account_refusals: true,
            notify_interval: Duration::from_secs(1),
        }
    }
}

/// What the server and the handle have in common.
pub struct Shared {
    pub options: Options,
    pub clock: Clock,
    pub runtime: tokio::runtime::Handle,
    pub state: Mutex<State>,
    /// For those who wait for a mail on a thread, and those who do in a task.
    pub mail_came: Condvar,
    pub mails_seen: watch::Sender<usize>,
}

impl Shared {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
