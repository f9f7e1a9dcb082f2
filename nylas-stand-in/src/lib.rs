//! Stand-in for Nylas: an HTTP server that answers as Nylas' API does for Agent Accounts, as strictly as its documents
//! allow, keeps every mail it takes, and can be told to go wrong.
//!
//! ```no_run
//! # use nylas_stand_in::{Account, Options, StandIn};
//! # fn main() -> std::io::Result<()> {
//! let account = Account { grant_id: "g1".into(), email: "login@example.com".into(), name: None };
//! let nylas = StandIn::start_blocking(Options::new("key", vec![account]))?;
//! println!("{}", nylas.base_url());
//! # Ok(()) }
//! ```

// From the top down; no module uses one that stands above it.
mod routes;

mod local;

mod api;

mod events;
mod inbound;
mod notify;

mod shared;
mod state;

mod idempotency;
mod model;

mod caller;
mod clock;
mod hex;

pub use events::{GrantEvent, MailEvent};
pub use inbound::Inbound;
pub use model::account::{Account, AccountState};
pub use model::call::SeenRequest;
pub use model::mail::Mail;
pub use model::script::{Action, RequestKind, Rule};
pub use model::webhook::Notified;
pub use shared::Options;

use api::webhooks;
use clock::Clock;
use shared::Shared;
use state::State;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// A running stand-in, on a thread of its own; dropping it stops it.
pub struct StandIn {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    /// Starts a stand-in from async code.
    pub async fn start(options: Options) -> io::Result<StandIn> {
        Self::start_blocking(options)
    }

    /// Starts a stand-in; it takes connections when this returns.
    pub fn start_blocking(options: Options) -> io::Result<StandIn> {
        let listener = std::net::TcpListener::bind(options.listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let clock = Clock::new();
        let state = Mutex::new(State::new(options.accounts.clone(), clock.now_ms()));
        let (mail_came, mails_seen) = (Condvar::new(), watch::Sender::new(0));
        let shared = Arc::new(Shared {
            options,
            clock,
            runtime: runtime.handle().clone(),
            state,
            mail_came,
            mails_seen,
        });
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("nylas-stand-in".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = routes::listen(served, listener) => {}
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(StandIn {
            shared,
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// `http://` and the address it listens on.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every mail taken, oldest first.
    pub fn mails(&self) -> Vec<Mail> {
        self.shared.lock().mails.clone()
    }

    /// The mails to this address, oldest first.
    pub fn mails_to(&self, address: &str) -> Vec<Mail> {
        let state = self.shared.lock();
        state
            .mails
            .iter()
            .filter(|mail| mail.is_to(address))
            .cloned()
            .collect()
    }

    /// The newest mail to this address, waiting for one at most this long, in real time. Blocks the thread.
    pub fn wait_for_mail(&self, address: &str, at_most: Duration) -> Option<Mail> {
        let none_yet = |state: &mut State| !state.mails.iter().any(|mail| mail.is_to(address));
        let waited =
            self.shared
                .mail_came
                .wait_timeout_while(self.shared.lock(), at_most, none_yet);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state
            .mails
            .iter()
            .rev()
            .find(|mail| mail.is_to(address))
            .cloned()
    }

    /// Every API request seen, oldest first.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.shared.lock().requests.clone()
    }

    /// Adds a rule after those already there.
    pub fn script(&self, rule: Rule) {
        self.shared.lock().rules.push(rule);
    }

    /// Changes how an account is doing; an unknown one is left unknown.
    pub fn set_account_state(&self, grant_id: &str, account_state: AccountState) {
        let mut state = self.shared.lock();
        if let Some(held) = state
            .accounts
            .iter_mut()
            .find(|held| held.account.grant_id == grant_id)
        {
            held.state = account_state;
        }
    }

    /// A mail comes in: it is stored, and `message.created` goes out. Its id, or None if there is no such account.
    pub fn receive(&self, inbound: Inbound) -> Option<String> {
        inbound::receive(&self.shared, &mut self.shared.lock(), inbound)
    }

    /// Says what became of a mail taken, to every webhook that asked for it; false if there is no such mail.
    pub fn report(&self, mail_id: &str, event: &MailEvent) -> bool {
        events::mail_with_id(&self.shared, &mut self.shared.lock(), mail_id, event)
    }

    /// Says what happened to an account; false if there is none. The account itself stays as it is.
    pub fn report_grant(&self, grant_id: &str, event: GrantEvent) -> bool {
        let mut state = self.shared.lock();
        let account = state.account(grant_id).map(|held| held.account.clone());
        let known = account.map(|account| events::grant(&self.shared, &mut state, &account, event));
        known.is_some()
    }

    /// Sends a notification of this type with this `data`, to which the application's id is added.
    pub fn notify(&self, kind: &str, data: serde_json::Value) {
        notify::tell(&self.shared, &mut self.shared.lock(), kind, data);
    }

    /// Adds a webhook with a known secret, without a challenge; no triggers are all of them.
    pub fn add_webhook(&self, url: &str, secret: &str, triggers: &[&str]) {
        let triggers = triggers.iter().map(|&trigger| trigger.to_owned()).collect();
        webhooks::add(
            &mut self.shared.lock(),
            url.to_owned(),
            secret.to_owned(),
            triggers,
        );
    }

    /// Every ended attempt to deliver a notification, oldest first.
    pub fn notified(&self) -> Vec<Notified> {
        self.shared.lock().notified.clone()
    }

    /// Moves the stand-in's clock forward: kept answers age, delays end, days pass.
    pub fn advance_clock(&self, by: Duration) {
        self.shared.clock.advance(by);
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Nobody listens any more if the thread has ended by itself.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
