//! Stand-in for Nylas: an HTTP server that answers as Nylas' API does for Agent Accounts.
//!
//! It is as strict as Nylas' documents allow. It stores every mail that it accepts, and tests can make it fail.
//!
//! ```no_run
//! # use nylas_stand_in::{Account, Options, StandIn};
//! # fn main() -> std::io::Result<()> {
//! let account = Account { grant_id: "g1".into(), email: "login@example.com".into(), name: None };
//! let nylas = StandIn::start_blocking(Options::new("key", vec![account]))?;
//! println!("{}", nylas.base_url());
//! # Ok(()) }
//! ```

// From the top down: no module uses one that is listed above it.
mod routes;

mod local;

mod api;

mod events;
mod inbound;
mod notify;
mod submitted;

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
pub use model::plan::Plan;
pub use model::script::{Action, RequestKind, Rule};
pub use model::unknowns::{Compresses, OnHangUp, OtherBytes, Unknowns};
pub use model::webhook::Notified;
pub use shared::Options;
pub use submitted::Submitted;

use api::webhooks;
use clock::Clock;
use shared::Shared;
use state::State;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot, watch};

/// A running stand-in, on a thread of its own. Stops when dropped.
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

    /// Starts a stand-in. It accepts connections when this returns.
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
        let connections = options.connections.map(Semaphore::new);
        let shared = Arc::new(Shared {
            options,
            connections,
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

    /// The base URL: `http://` and the address it listens on.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every accepted mail, oldest first.
    pub fn mails(&self) -> Vec<Mail> {
        self.shared.lock().mails.clone()
    }

    /// The accepted mails to this address, oldest first.
    pub fn mails_to(&self, address: &str) -> Vec<Mail> {
        let state = self.shared.lock();
        state
            .mails
            .iter()
            .filter(|mail| mail.is_to(address))
            .cloned()
            .collect()
    }

    /// The account's app password, which Nylas itself shows to nobody.
    pub fn app_password(&self, grant_id: &str) -> Option<String> {
        let state = self.shared.lock();
        let mut passwords = state.app_passwords.iter();
        let found = passwords.find(|(known, _)| known == grant_id);
        found.map(|(_, password)| password.clone())
    }

    /// An account sent a mail over SMTP. Returns its id, or None if there is no such account.
    pub fn submitted(&self, submitted: &Submitted) -> Option<String> {
        submitted::store(&self.shared, &mut self.shared.lock(), submitted)
    }

    /// The newest mail to this address. If there is none, blocks the thread for at most this long, in real time.
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

    /// Has an outbound rule of the workspace block sends to this address: 403, and a record among the rule evaluations.
    pub fn block_recipient(&self, address: &str) {
        self.shared.lock().blocked.push(address.to_owned());
    }

    /// Changes the state of an account, if there is one with this id.
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

    /// Changes the organization's plan. At first it has no limits.
    pub fn set_plan(&self, plan: Plan) {
        self.shared.lock().plan = plan;
    }

    /// Stores an incoming mail and sends `message.created`. Returns its id, or None if there is no such account.
    pub fn receive(&self, inbound: Inbound) -> Option<String> {
        inbound::receive(&self.shared, &mut self.shared.lock(), inbound)
    }

    /// Reports an event of an accepted mail to every webhook that subscribed to it. False if there is no such mail.
    pub fn report(&self, mail_id: &str, event: &MailEvent) -> bool {
        events::mail_with_id(&self.shared, &mut self.shared.lock(), mail_id, event)
    }

    /// Reports an event of an account, which does not change the account. False if there is no such account.
    pub fn report_grant(&self, grant_id: &str, event: GrantEvent) -> bool {
        let mut state = self.shared.lock();
        let account = state.account(grant_id).map(|held| held.account.clone());
        let known = account.map(|account| events::grant(&self.shared, &mut state, &account, event));
        known.is_some()
    }

    /// Sends a notification of this type with this `data` and the application's id.
    pub fn notify(&self, kind: &str, data: serde_json::Value) {
        notify::notify(&self.shared, &mut self.shared.lock(), kind, data);
    }

    /// Adds a webhook with a known secret, without a challenge. No triggers mean all of them.
    pub fn add_webhook(&self, url: &str, secret: &str, triggers: &[&str]) {
        let triggers = triggers.iter().map(|&trigger| trigger.to_owned()).collect();
        webhooks::add(
            &mut self.shared.lock(),
            url.to_owned(),
            secret.to_owned(),
            triggers,
        );
    }

    /// Has the webhook to this address ask for compressed notifications (`compressed_delivery`).
    pub fn compress_notifications_to(&self, url: &str) {
        for webhook in &mut self.shared.lock().webhooks {
            webhook.compressed |= webhook.url == url;
        }
    }

    /// Every finished attempt to deliver a notification, oldest first.
    pub fn notified(&self) -> Vec<Notified> {
        self.shared.lock().notified.clone()
    }

    /// Moves the stand-in's clock forward. Stored answers age, delays end, days pass.
    pub fn advance_clock(&self, by: Duration) {
        self.shared.clock.advance(by);
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Fails if the thread has already ended, which is fine.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
