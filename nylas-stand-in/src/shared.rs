//! The options of a stand-in, and what its server and its handle share.

use crate::clock::Clock;
use crate::model::account::Account;
use crate::model::unknowns::Unknowns;
use crate::state::State;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// The options of a stand-in.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The key every API request must bear.
    pub api_key: String,
    /// The accounts that exist from the start.
    pub accounts: Vec<Account>,
    /// Whether a 429 for an account's state is stored under the idempotency key. If not, it is answered before keys are
    /// looked at. Nylas does not document which.
    pub keeps_throttling: bool,
    /// The same for any other refusal for an account's state. The 404 of a gone account is never stored.
    pub keeps_account_refusals: bool,
    /// The time between the first and the second attempt to deliver a notification, on the stand-in's clock. The third
    /// comes after twice that time. Nylas' last attempt comes 10 to 20 minutes after the first.
    pub notify_interval: Duration,
    /// How many requests to the API may be open at the same time. One more waits until one is answered, while its
    /// caller's time runs, as Cloudflare has a Worker's seventh wait. `None`: any number. That is the default, because
    /// Cloudflare's limit is each invocation's, and a request does not say whose it is: a limit for all of them would
    /// have the requests of different invocations wait for each other. So it is for a test in which one invocation
    /// talks to the stand-in. The simulator, which knows the invocations apart, always has the limit.
    pub connections: Option<usize>,
    /// What Nylas does not document.
    pub unknowns: Unknowns,
}

impl Options {
    /// On any free loopback port. Every error is stored under its key, as Nylas documents.
    pub fn new(api_key: &str, accounts: Vec<Account>) -> Self {
        Options {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            api_key: api_key.to_owned(),
            accounts,
            keeps_throttling: true,
            keeps_account_refusals: true,
            notify_interval: Duration::from_secs(1),
            connections: None,
            unknowns: Unknowns::default(),
        }
    }
}

/// What the server and the handle share.
pub struct Shared {
    pub options: Options,
    pub clock: Clock,
    pub runtime: tokio::runtime::Handle,
    pub state: Mutex<State>,
    /// A permit for each request that may be open.
    pub connections: Option<Semaphore>,
    /// Wakes the threads that wait for a mail.
    pub mail_came: Condvar,
    /// The number of accepted mails, for the tasks that wait for one.
    pub mails_seen: watch::Sender<usize>,
}

impl Shared {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
