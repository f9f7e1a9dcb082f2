//! Who is authorized as an operator.

use crate::model::secret::Secret;
use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Whether the `Authorization` header has the token: `Bearer <token>`, or, for browsers, `Basic` with any user name and
/// the token as the password.
pub fn is_authorized(authorization: &str, token: &Secret) -> bool {
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

/// Whether a browser sent the request from another site's page.
///
/// This is the CSRF guard: browsers attach Basic credentials to cross-site posts, but pages can't set `Sec-Fetch-Site`.
pub fn is_cross_site(sec_fetch_site: Option<&str>) -> bool {
    sec_fetch_site.is_some_and(|site| site != "same-origin" && site != "none")
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
}
