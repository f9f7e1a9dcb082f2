//! Values that settings have, and what they are made of.

use crate::signature::SigningSecret;

/// The API of Nylas' United States region.
pub const NYLAS_API_BASE_DEFAULT: &str = "https://api.us.nylas.com";
/// How long a webhook may wait for Nylas. Svix gives up after 15 s and people after less.
pub const INLINE_SEND_BUDGET_MS_DEFAULT: u64 = 4_000;
/// With the hand-off to the queue this stays clear of Svix' 15 s.
pub const INLINE_SEND_BUDGET_MS_MAX: u64 = 10_000;

/// The shortest `ADMIN_TOKEN`: a shorter one could be guessed.
pub const ADMIN_TOKEN_BYTES_MIN: usize = 16;

/// The value of Clerk's signing secret until the real one is known: `relayctl setup` stores it, because a deployment
/// needs a value. It is no secret, so no request is verified with it, and `/health` says what is missing.
pub const CLERK_SECRET_PENDING: &str = "not-there-yet";

/// Whether `base`, a value of `NYLAS_API_BASE`, is a Nylas stand-in on this machine, so that no mail leaves it. Only
/// loopback addresses may use http.
pub fn is_nylas_local(base: &str) -> bool {
    base.starts_with("http://")
}

/// The agent that users' replies are handed to.
#[derive(Clone, Debug)]
pub struct Agent {
    /// `REPLY_WEBHOOK_URL`.
    pub url: String,
    /// `REPLY_WEBHOOK_SECRET`: signs every hand-off.
    pub secret: SigningSecret,
}

/// Which bindings the Worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The KV namespace `LEDGER`: required.
    pub ledger: bool,
    /// The queue `OUTBOX`: without it Clerk is asked to repeat a mail that could not be sent.
    pub outbox: bool,
}
