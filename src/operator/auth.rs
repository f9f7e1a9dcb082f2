//! Who is authorized as an operator.

use crate::{
    model::{
        log::{Level, Record},
        outcome::{Event, Outcome, Reason},
        secret::Secret,
        time::MINUTE,
    },
    ports::Ports,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use std::time::Duration;
use subtle::ConstantTimeEq;

/// How long a wrong token waits for its answer.
const FAILED_LOGIN_DELAY: Duration = Duration::from_secs(1);

/// Whether the request is an operator's. A wrong token is answered late, and logged once a minute and instance, so that
/// a stranger cannot fill the log.
///
/// The delay costs no CPU, and nothing is stored: there is no lock-out, which a stranger could turn against the
/// operator, and a good token never waits. Guesses that are made at the same time wait at the same time, so what holds
/// against many of them is the token's length. Without any token nothing was guessed: so a browser asks for one.
pub async fn authorize<P: Ports>(ports: &P, authorization: &str, token: &Secret) -> bool {
    let is_authorized = is_authorized(authorization, token);
    if !is_authorized && !authorization.is_empty() {
        const LOGGED: &str = "failed_login";
        if ports.recall(LOGGED).is_none() {
            ports.remember(LOGGED, "", MINUTE);
            ports.log(&Record {
                level: Level::Warning,
                // Nothing of the request is logged: it may be a good token with a typing mistake.
                ..Record::new(Event::Operator, Outcome::Unauthorized, Reason::WrongToken)
            });
        }
        ports.sleep(FAILED_LOGIN_DELAY).await;
    }
    is_authorized
}

/// Whether the `Authorization` header has the token: `Bearer <token>`, or, for browsers, `Basic` with any user name and
/// the token as the password.
fn is_authorized(authorization: &str, token: &Secret) -> bool {
    let shown = match authorization.split_once(' ') {
        Some(("Bearer", shown)) => shown.trim().to_owned(),
        Some(("Basic", encoded)) => {
            let decoded = STANDARD.decode(encoded.trim()).unwrap_or_default();
            let decoded = String::from_utf8(decoded).unwrap_or_default();
            decoded
                .split_once(':')
                .map_or_else(String::new, |(_, password)| password.to_owned())
        }
        _ => return false,
    };
    // Comparing digests in constant time does not even show the length of the token.
    Sha256::digest(shown)
        .ct_eq(&Sha256::digest(token.reveal()))
        .into()
}

/// Whether a browser sent the request from another site's page; `origin` is the relay's own.
///
/// This is the CSRF guard: browsers attach Basic credentials to cross-site posts, but pages can set neither header.
/// Either of them is enough to refuse, because not every browser sends both. Who sends neither is no browser.
pub fn is_cross_site(
    sec_fetch_site: Option<&str>,
    origin_header: Option<&str>,
    origin: &str,
) -> bool {
    sec_fetch_site.is_some_and(|site| site != "same-origin" && site != "none")
        || origin_header.is_some_and(|from| from != origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_authorizes_as_bearer_or_as_a_browsers_password() {
        let token = Secret::new("0123456789abcdef");
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert!(is_authorized("Bearer 0123456789abcdef", &token));
        assert!(is_authorized(&basic("anybody:0123456789abcdef"), &token));
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcdeg",
            "Bearer 0123456789abcdef0",
            "bearer 0123456789abcdef",
            "0123456789abcdef",
            "Basic !!!",
            &basic("0123456789abcdef"),
            &basic("0123456789abcdef:"),
        ] {
            assert!(!is_authorized(wrong, &token), "{wrong}");
        }
    }

    #[test]
    fn a_page_of_another_site_gives_itself_away_by_either_header() {
        const OWN: &str = "https://relay.example";
        let is_refused = |site, from| is_cross_site(site, from, OWN);
        // The command line, the page's own form, an address that was typed in.
        for (site, from) in [
            (None, None),
            (Some("same-origin"), Some(OWN)),
            (Some("none"), None),
            (None, Some(OWN)),
        ] {
            assert!(!is_refused(site, from), "{site:?} {from:?}");
        }
        for from in [
            "https://evil.example",
            "https://relay.example.evil.example",
            "http://relay.example",
            "https://relay.example:8443",
            "https://other.relay.example",
            "null",
            "",
        ] {
            assert!(is_refused(None, Some(from)), "{from:?}");
            assert!(is_refused(Some("same-origin"), Some(from)), "{from:?}");
        }
        for site in ["cross-site", "same-site", ""] {
            assert!(is_refused(Some(site), None), "{site:?}");
            assert!(is_refused(Some(site), Some(OWN)), "{site:?}");
        }
    }
}
