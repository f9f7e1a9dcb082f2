//! Values that settings have, and what they are made of.

use super::origin::ApiBase;
use crate::{model::secret::Secret, signature::SigningSecret};

/// The API of Nylas' United States region.
pub const NYLAS_API_BASE_DEFAULT: &str = "https://api.us.nylas.com";
/// Clerk's Backend API.
pub const CLERK_API_BASE_DEFAULT: &str = "https://api.clerk.com";
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

/// What Clerk's Backend API is asked with.
#[derive(Clone, Debug)]
pub struct ClerkAccess {
    /// `CLERK_API_BASE`.
    pub base: ApiBase,
    /// `CLERK_SECRET_KEY`.
    pub key: Secret,
}

/// Which bindings the Worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The KV namespace `LEDGER`: required.
    pub ledger: bool,
    /// The queue `OUTBOX`: without it Clerk is asked to repeat a mail that could not be sent.
    pub outbox: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn read(settings: &[(&str, &str)], outbox: bool) -> Config {
        let needed = [
            (
                "CLERK_WEBHOOK_SIGNING_SECRET",
                "whsec_eBu8e2sIrFkw0EI7vgc7oBhpj8BJMwRr",
            ),
            ("NYLAS_API_KEY", "nyk_v0_key"),
            ("NYLAS_GRANT_ID", "g1"),
        ];
        let get = |name: &str| {
            let mut all = settings.iter().chain(&needed);
            let found = all.find(|(candidate, _)| *candidate == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let bound = Bound {
            ledger: true,
            outbox,
        };
        Config::read(get, bound).unwrap()
    }

    fn wrong(config: &Config) -> Vec<&'static str> {
        let problems = config.degraded.iter();
        problems.map(|problem| problem.name).collect()
    }

    #[test]
    fn clerks_api_is_asked_at_its_own_address_unless_another_is_set() {
        let config = read(&[("CLERK_SECRET_KEY", "sk_live_PLANTED")], true);
        let access = config.clerk_api.unwrap();
        assert_eq!(access.base.as_str(), "https://api.clerk.com");
        assert_eq!(access.key.reveal(), "sk_live_PLANTED");
        assert!(!format!("{access:?}").contains("PLANTED"));
        for base in ["https://api.clerk.example/", "http://127.0.0.1:1"] {
            let settings = [("CLERK_SECRET_KEY", "sk_test_1"), ("CLERK_API_BASE", base)];
            let access = read(&settings, true).clerk_api.unwrap();
            assert_eq!(access.base.as_str(), base.trim_end_matches('/'));
        }
    }

    #[test]
    fn without_a_key_nothing_is_handed_back_and_nothing_is_wrong() {
        let config = read(&[("CLERK_API_BASE", "nowhere")], true);
        assert!(config.clerk_api.is_none());
        assert!(wrong(&config).is_empty());
    }

    #[test]
    fn a_wrong_access_to_clerks_api_switches_only_that_off() {
        let key = ("CLERK_SECRET_KEY", "sk_live_1");
        for (settings, outbox, expected) in [
            (
                vec![("CLERK_SECRET_KEY", "pk_live_1")],
                true,
                "CLERK_SECRET_KEY",
            ),
            (
                vec![("CLERK_SECRET_KEY", "sk_live 1")],
                true,
                "CLERK_SECRET_KEY",
            ),
            (
                vec![key, ("CLERK_API_BASE", "http://api.clerk.com")],
                true,
                "CLERK_API_BASE",
            ),
            (
                vec![key, ("CLERK_API_BASE", "https://api.clerk.com/v1")],
                true,
                "CLERK_API_BASE",
            ),
            // It goes through the queue.
            (vec![key], false, "CLERK_SECRET_KEY"),
        ] {
            let config = read(&settings, outbox);
            assert_eq!(wrong(&config), [expected]);
            assert!(config.clerk_api.is_none());
        }
    }
}
