//! Is this request really from Clerk, or really from Nylas?
//!
//! Verification is a change of type: only [`verify_clerk`] and [`verify_nylas`] make a
//! [`VerifiedWebhook`] and a [`VerifiedNotification`], and what parses a body takes nothing else.
//!
//! Clerk sends through Svix (<https://docs.svix.com/receiving/verifying-payloads/how-manual>), whose
//! scheme is also published as Standard Webhooks (<https://www.standardwebhooks.com>). Neither
//! official crate works here: both ask `SystemTime`, which panics on `wasm32-unknown-unknown`.

use crate::time::UnixMillis;
use base64::{
    Engine,
    alphabet::STANDARD as STANDARD_ALPHABET,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use hmac::{Hmac, Mac};
use serde::Serialize;
use sha2::Sha256;
use std::fmt;

type HmacSha256 = Hmac<Sha256>;

/// How far the signed timestamp may lie from now, in either direction, inclusive. Svix' own value.
pub const TIMESTAMP_TOLERANCE_SECONDS: u64 = 300;

/// The shortest key accepted. Svix makes 24 bytes; an empty or tiny key would be guessable.
pub const SIGNING_KEY_BYTES_MIN: usize = 16;

/// Signs Nylas' test events for everybody alike, so it proves nothing
/// (<https://developer.nylas.com/docs/reference/api/webhook-notifications/>).
pub const NYLAS_MOCK_SECRET: &str = "mock-webhook-secret";

/// Signing secrets that everybody can read, so a signature made with one of them proves nothing: the one `make dev`
/// signs with (`scripts/dev-secret`), and the examples of Svix' documentation
/// (<https://docs.svix.com/receiving/verifying-payloads/how-manual>, <https://api.svix.com/docs>).
pub const PUBLIC_SIGNING_SECRETS: [&str; 3] = [
    "whsec_Y2xlcmstbnlsYXMtcmVsYXktbG9jYWwtZGV2",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
];

/// The id of one Clerk message: the same for every attempt, resend and replay of it. It is the
/// relay's key for everything: deduplication, Nylas' idempotency, the ledger, the logs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct SvixId(String);

impl SvixId {
    /// Longest id accepted. With a generation it must fit Nylas' 256 characters, and with a prefix
    /// KV's 512 bytes; Svix makes 31.
    pub const LENGTH_MAX: usize = 128;

    /// Letters, digits, `_`, `-` and `.`: what Svix uses. So an id is safe in a URL, in a log, as a
    /// key, and beside a separator.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=Self::LENGTH_MAX).contains(&text.len());
        let plain = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
        (fits && plain).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SvixId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The key behind one `whsec_...` signing secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(Vec<u8>);

impl SigningSecret {
    /// Reads `whsec_<base64>` or bare base64, with or without padding; surrounding white space is
    /// dropped, because secrets are pasted. The error says what is wrong, never the value.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const ANY_PADDING: GeneralPurpose = GeneralPurpose::new(
            &STANDARD_ALPHABET,
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
        );
        let text = text.trim();
        let encoded = text.strip_prefix("whsec_").unwrap_or(text);
        let key = ANY_PADDING.decode(encoded).map_err(
            |_| "is not a signing secret: copy it again from the endpoint's page, `whsec_` and all",
        )?;
        if key.len() < SIGNING_KEY_BYTES_MIN {
            return Err(
                "is too short: copy the whole signing secret, at least 16 bytes after `whsec_`",
            );
        }
        Ok(Self(key))
    }

    /// Whether everybody knows this secret. Keys are compared, so another spelling of it is found, too.
    pub fn is_public(&self) -> bool {
        PUBLIC_SIGNING_SECRETS
            .iter()
            .any(|public| Self::parse(public).is_ok_and(|public| public == *self))
    }

    /// Signs a webhook of our own in the same scheme: the value of `webhook-signature`
    /// (<https://www.standardwebhooks.com>).
    pub fn sign(&self, id: &str, signed_at: UnixMillis, body: &str) -> String {
        let timestamp = signed_at.seconds().to_string();
        let mut signature = String::from("v1,");
        if let Some(mut mac) = self.mac() {
            for part in [id, ".", &timestamp, ".", body] {
                mac.update(part.as_bytes());
            }
            STANDARD.encode_string(mac.finalize().into_bytes(), &mut signature);
        }
        signature
    }

    fn mac(&self) -> Option<HmacSha256> {
        HmacSha256::new_from_slice(&self.0).ok()
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningSecret(..)")
    }
}

/// Why a request was not believed. For the log; the caller is told nothing but `bad_signature`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadSignature {
    HeadersMissing,
    IdMalformed,
    TimestampMalformed,
    TimestampTooOld,
    TimestampTooNew,
    NoMatch,
}

impl BadSignature {
    pub fn reason(self) -> &'static str {
        match self {
            Self::HeadersMissing => "signature_headers_missing",
            Self::IdMalformed => "id_malformed",
            Self::TimestampMalformed => "timestamp_malformed",
            Self::TimestampTooOld => "timestamp_too_old",
            Self::TimestampTooNew => "timestamp_too_new",
            Self::NoMatch => "no_matching_signature",
        }
    }
}

/// The three headers of one family, `svix-*` or `webhook-*`, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignatureHeaders {
    id: Option<String>,
    timestamp: Option<String>,
    signature: Option<String>,
}

impl SignatureHeaders {
    /// Takes the `svix-*` family, or `webhook-*` when no `svix-*` header is there at all. They are
    /// never mixed: a request is signed under one name.
    pub fn pick(header: impl Fn(&str) -> Option<String>) -> Self {
        let family = |prefix: &str| Self {
            id: header(&format!("{prefix}-id")),
            timestamp: header(&format!("{prefix}-timestamp")),
            signature: header(&format!("{prefix}-signature")),
        };
        let svix = family("svix");
        if svix == Self::default() {
            family("webhook")
        } else {
            svix
        }
    }
}

/// A request that one of the configured secrets signed, recently.
pub struct VerifiedWebhook<'a> {
    pub id: SvixId,
    /// When this attempt was signed: new on every attempt, unlike the event's own time.
    pub signed_at: UnixMillis,
    pub body: &'a [u8],
}

/// Believes a request of Clerk's, or says why not.
///
/// ```
/// use clerk_nylas_relay::webhook::{SignatureHeaders, SigningSecret, verify_clerk};
/// use clerk_nylas_relay::time::UnixMillis;
///
/// let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
/// let headers = SignatureHeaders::pick(|name| match name {
///     "svix-id" => Some("msg_p5jXN8AQM9LWM0D4loKWxJek".into()),
///     "svix-timestamp" => Some("1614265330".into()),
///     "svix-signature" => Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".into()),
///     _ => None,
/// });
/// let body = br#"{"test": 2432232314}"#;
/// let webhook = verify_clerk(&headers, body, &[secret], UnixMillis::from_seconds(1614265330)).unwrap();
/// assert_eq!(webhook.id.as_str(), "msg_p5jXN8AQM9LWM0D4loKWxJek");
/// ```
pub fn verify_clerk<'a>(
    headers: &SignatureHeaders,
    body: &'a [u8],
    secrets: &[SigningSecret],
    now: UnixMillis,
) -> Result<VerifiedWebhook<'a>, BadSignature> {
    let (Some(id), Some(timestamp), Some(signatures)) =
        (&headers.id, &headers.timestamp, &headers.signature)
    else {
        return Err(BadSignature::HeadersMissing);
    };
    let svix_id = SvixId::parse(id).ok_or(BadSignature::IdMalformed)?;
    let signed_at = parse_timestamp(timestamp).ok_or(BadSignature::TimestampMalformed)?;
    let now_seconds = now.seconds();
    if now_seconds.saturating_sub(signed_at) > TIMESTAMP_TOLERANCE_SECONDS {
        return Err(BadSignature::TimestampTooOld);
    }
    if signed_at.saturating_sub(now_seconds) > TIMESTAMP_TOLERANCE_SECONDS {
        return Err(BadSignature::TimestampTooNew);
    }
    let candidates = signatures
        .split(' ')
        .filter_map(|entry| entry.strip_prefix("v1,"))
        .filter_map(|encoded| STANDARD.decode(encoded).ok())
        .filter(|signature| signature.len() == 32)
        .collect::<Vec<_>>();
    let matched = secrets.iter().any(|secret| {
        let Some(mut mac) = secret.mac() else {
            return false;
        };
        for part in [
            id.as_bytes(),
            b".".as_slice(),
            timestamp.as_bytes(),
            b".",
            body,
        ] {
            mac.update(part);
        }
        candidates
            .iter()
            .any(|signature| mac.clone().verify_slice(signature).is_ok())
    });
    if !matched {
        return Err(BadSignature::NoMatch);
    }
    Ok(VerifiedWebhook {
        id: svix_id,
        signed_at: UnixMillis::from_seconds(signed_at),
        body,
    })
}

/// Digits only, at most twelve: no sign, space, fraction or exponent.
fn parse_timestamp(text: &str) -> Option<u64> {
    let strict = (1..=12).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    strict.then(|| text.parse().ok()).flatten()
}

/// A notification that one of the configured secrets of Nylas' signed.
pub struct VerifiedNotification<'a> {
    pub body: &'a [u8],
}

/// Believes a notification of Nylas', or says why not: `x-nylas-signature` is the hex HMAC-SHA256
/// of the raw body, keyed with the secret's text
/// (<https://developer.nylas.com/docs/v3/notifications/>). No time is signed.
pub fn verify_nylas<'a>(
    signature: Option<&str>,
    body: &'a [u8],
    secrets: &[crate::config::Secret],
) -> Result<VerifiedNotification<'a>, BadSignature> {
    let signature = signature.ok_or(BadSignature::HeadersMissing)?.trim();
    let signature = decode_hex(signature).ok_or(BadSignature::NoMatch)?;
    let matched = secrets.iter().any(|secret| {
        HmacSha256::new_from_slice(secret.reveal().as_bytes())
            .is_ok_and(|mac| mac.chain_update(body).verify_slice(&signature).is_ok())
    });
    if matched {
        Ok(VerifiedNotification { body })
    } else {
        Err(BadSignature::NoMatch)
    }
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text
        .chars()
        .map(|digit| {
            digit
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        })
        .collect::<Option<Vec<u8>>>()?;
    digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some((high << 4) | low),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests;
