//! Addresses that something private may be sent to.

/// The scheme and host requests go to, without a trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiBase(String);

impl ApiBase {
    /// https anywhere; http on loopback only, because the key travels with every request.
    pub fn parse(text: &str) -> Option<Self> {
        let base = text.strip_suffix('/').unwrap_or(text);
        let (is_https, authority) = scheme_of(base)?;
        is_origin(is_https, authority).then(|| Self(base.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a stand-in on this machine, so that no mail leaves it.
    pub fn is_loopback(&self) -> bool {
        scheme_of(&self.0).is_some_and(|(_, authority)| is_loopback(authority))
    }
}

/// Whether it is https, and what follows the scheme. `None`: it is neither https nor http.
fn scheme_of(url: &str) -> Option<(bool, &str)> {
    match url.strip_prefix("https://") {
        Some(rest) => Some((true, rest)),
        None => url.strip_prefix("http://").map(|rest| (false, rest)),
    }
}

/// Whether what is private may go there: https anywhere, http on loopback only.
fn is_origin(is_https: bool, authority: &str) -> bool {
    let is_host = !authority.is_empty()
        && authority.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']')
        });
    is_host && (is_https || is_loopback(authority))
}

/// Whether a host, with a port or without, is this machine.
pub(super) fn is_loopback(authority: &str) -> bool {
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    };
    matches!(name, "127.0.0.1" | "localhost" | "[::1]")
}

/// Whether the text is an address something private may be posted to.
pub fn is_endpoint(url: &str) -> bool {
    let Some((is_https, rest)) = scheme_of(url) else {
        return false;
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    is_origin(is_https, authority)
        && rest
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#')
}
