//! Is this request really from Clerk, or really from Nylas?
//!
//! Verification is a change of type: only [`Claim::verify`] makes a [`VerifiedWebhook`] and only [`verify_nylas`] makes
//! a [`VerifiedNotification`]. Whoever parses a body takes nothing else.
//!
//! Clerk sends through Svix (<https://docs.svix.com/receiving/verifying-payloads/how-manual>), whose scheme is also
//! published as Standard Webhooks (<https://www.standardwebhooks.com>). Neither official crate works here: both ask
//! `SystemTime`, which panics on `wasm32-unknown-unknown`.
//!
//! Signatures are compared by `hmac` itself, in constant time.

use crate::model::{id::SvixId, outcome::Reason, secret::Secret, time::UnixMillis};
use base64::{
    Engine,
    alphabet::STANDARD as STANDARD_ALPHABET,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;

type HmacSha256 = Hmac<Sha256>;

/// How far the signed timestamp may be from now, in either direction, inclusive. Svix uses the same value.
pub const TIMESTAMP_TOLERANCE_SECONDS: u64 = 300;

/// The shortest key accepted. Svix makes 24 bytes; an empty or tiny key would be guessable.
pub const SIGNING_KEY_BYTES_MIN: usize = 16;

/// The secret that Nylas signs everybody's test events with, so a signature made with it proves nothing
/// (<https://developer.nylas.com/docs/reference/api/webhook-notifications/>).
pub const NYLAS_MOCK_SECRET: &str = "mock-webhook-secret";

/// Signing secrets that everybody can read, so a signature made with one of them proves nothing: the one that `make
/// dev` uses (`scripts/dev-secret`), and the examples in Svix' documentation
/// (<https://docs.svix.com/receiving/verifying-payloads/how-manual>, <https://api.svix.com/docs>).
pub const PUBLIC_SIGNING_SECRETS: [&str; 3] = [
    "whsec_Y2xlcmstbnlsYXMtcmVsYXktbG9jYWwtZGV2",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
];

/// The key behind one `whsec_...` signing secret.
#[derive(Clone)]
pub struct SigningSecret {
    key: Vec<u8>,
    /// Keyed once, for every signature.
    mac: HmacSha256,
}

impl PartialEq for SigningSecret {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for SigningSecret {}

impl SigningSecret {
    /// Reads `whsec_<base64>` or bare base64, with or without padding. White space around it is dropped, because
    /// secrets are pasted.
    ///
    /// # Errors
    /// What is wrong, without the value.
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
        // HMAC takes a key of any length.
        let mac = HmacSha256::new_from_slice(&key).map_err(|_| "is not a signing secret")?;
        Ok(Self { key, mac })
    }

    /// Whether everybody knows this secret. The decoded keys are compared, so another spelling is recognized, too.
    pub fn is_public(&self) -> bool {
        PUBLIC_SIGNING_SECRETS
            .iter()
            .any(|public| Self::parse(public).is_ok_and(|public| public == *self))
    }

    /// Signs a webhook of our own in the same scheme: the value of `webhook-signature`
    /// (<https://www.standardwebhooks.com>).
    pub fn sign(&self, id: &str, signed_at: UnixMillis, body: &[u8]) -> String {
        let timestamp = signed_at.seconds().to_string();
        let mut signature = String::from("v1,");
        let mut mac = self.mac();
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        STANDARD.encode_string(mac.finalize().into_bytes(), &mut signature);
        signature
    }

    fn mac(&self) -> HmacSha256 {
        self.mac.clone()
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningSecret(..)")
    }
}

/// Why a request was not verified. Only the log says so: the answer is `bad_signature`, whatever the cause.
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
    pub fn reason(self) -> Reason {
        match self {
            Self::HeadersMissing => Reason::SignatureHeadersMissing,
            Self::IdMalformed => Reason::IdMalformed,
            Self::TimestampMalformed => Reason::TimestampMalformed,
            Self::TimestampTooOld => Reason::TimestampTooOld,
            Self::TimestampTooNew => Reason::TimestampTooNew,
            Self::NoMatch => Reason::NoMatchingSignature,
        }
    }
}

/// The id, time and signatures of a request, from its `svix-*` or its `webhook-*` headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignatureHeaders {
    id: Option<String>,
    timestamp: Option<String>,
    signature: Option<String>,
}

impl SignatureHeaders {
    /// Takes the `svix-*` family, or `webhook-*` when no `svix-*` header is there at all. They are
    /// never mixed: a request is signed under one name.
    pub fn pick(header: impl Fn(&'static str) -> Option<String>) -> Self {
        let svix = Self {
            id: header("svix-id"),
            timestamp: header("svix-timestamp"),
            signature: header("svix-signature"),
        };
        if svix != Self::default() {
            return svix;
        }
        Self {
            id: header("webhook-id"),
            timestamp: header("webhook-timestamp"),
            signature: header("webhook-signature"),
        }
    }
}

impl SignatureHeaders {
    /// What the headers claim. A request that does not claim enough, or not for now, is refused before its body is
    /// read.
    ///
    /// # Errors
    /// Why no body can make it a verified request.
    pub fn claim(&self, now: UnixMillis) -> Result<Claim, BadSignature> {
        let (Some(id), Some(timestamp), Some(signatures)) =
            (&self.id, &self.timestamp, &self.signature)
        else {
            return Err(BadSignature::HeadersMissing);
        };
        let id = SvixId::parse(id).ok_or(BadSignature::IdMalformed)?;
        let signed_at = parse_timestamp(timestamp).ok_or(BadSignature::TimestampMalformed)?;
        let now = now.seconds();
        if now.saturating_sub(signed_at) > TIMESTAMP_TOLERANCE_SECONDS {
            return Err(BadSignature::TimestampTooOld);
        }
        if signed_at.saturating_sub(now) > TIMESTAMP_TOLERANCE_SECONDS {
            return Err(BadSignature::TimestampTooNew);
        }
        let candidates = signatures
            .split(' ')
            .filter_map(|entry| entry.strip_prefix("v1,"))
            .filter_map(|encoded| STANDARD.decode(encoded).ok())
            .filter(|signature| signature.len() == 32)
            .collect();
        Ok(Claim {
            id,
            timestamp: timestamp.clone(),
            signed_at: UnixMillis::from_seconds(signed_at),
            candidates,
        })
    }
}

/// What a request's headers claim: an id, a time close to now, and signatures that may be right.
#[derive(Clone, Debug)]
pub struct Claim {
    id: SvixId,
    /// As it was signed.
    timestamp: String,
    signed_at: UnixMillis,
    candidates: Vec<Vec<u8>>,
}

impl Claim {
    /// Verifies the claim against the body.
    ///
    /// # Errors
    /// No configured secret made any of the signatures.
    pub fn verify<'a>(
        &self,
        body: &'a [u8],
        secrets: &[SigningSecret],
    ) -> Result<VerifiedWebhook<'a>, BadSignature> {
        let signed_parts = [
            self.id.as_str().as_bytes(),
            b".",
            self.timestamp.as_bytes(),
            b".",
            body,
        ];
        let matched = !self.candidates.is_empty()
            && secrets.iter().any(|secret| {
                let mut mac = secret.mac();
                for part in signed_parts {
                    mac.update(part);
                }
                let mut candidates = self.candidates.iter();
                // Compared in constant time.
                candidates.any(|signature| mac.clone().verify_slice(signature).is_ok())
            });
        if !matched {
            return Err(BadSignature::NoMatch);
        }
        Ok(VerifiedWebhook {
            id: self.id.clone(),
            signed_at: self.signed_at,
            body,
        })
    }
}

/// A request that was signed recently with one of the configured secrets. Only [`Claim::verify`] makes one.
#[derive(Debug)]
pub struct VerifiedWebhook<'a> {
    id: SvixId,
    signed_at: UnixMillis,
    body: &'a [u8],
}

impl<'a> VerifiedWebhook<'a> {
    pub fn id(&self) -> &SvixId {
        &self.id
    }

    /// When Svix signed this attempt. Every attempt is signed anew; the event's own time stays.
    pub fn signed_at(&self) -> UnixMillis {
        self.signed_at
    }

    /// The bytes that were signed.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }
}

/// Verifies a request from Clerk.
///
/// # Errors
/// Why it is not verified.
///
/// ```
/// use clerk_nylas_relay::signature::{SignatureHeaders, SigningSecret, verify_clerk};
/// use clerk_nylas_relay::model::time::UnixMillis;
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
/// assert_eq!(webhook.id().as_str(), "msg_p5jXN8AQM9LWM0D4loKWxJek");
/// ```
pub fn verify_clerk<'a>(
    headers: &SignatureHeaders,
    body: &'a [u8],
    secrets: &[SigningSecret],
    now: UnixMillis,
) -> Result<VerifiedWebhook<'a>, BadSignature> {
    headers.claim(now)?.verify(body, secrets)
}

/// Digits only, at most twelve: no sign, space, fraction or exponent.
fn parse_timestamp(text: &str) -> Option<u64> {
    let is_strict =
        (1..=12).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_strict.then(|| text.parse().ok()).flatten()
}

/// A notification that was signed with one of the configured secrets. Only [`verify_nylas`] makes one.
#[derive(Debug)]
pub struct VerifiedNotification<'a> {
    body: &'a [u8],
}

impl<'a> VerifiedNotification<'a> {
    /// The bytes that were signed: still compressed, if they came compressed.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }
}

/// Verifies a notification from Nylas: `x-nylas-signature` is the HMAC-SHA256 of the raw body in hex, keyed with the
/// secret's text (<https://developer.nylas.com/docs/v3/notifications/>). No time is signed.
///
/// # Errors
/// Why it is not verified.
pub fn verify_nylas<'a>(
    signature: Option<&str>,
    body: &'a [u8],
    secrets: &[Secret],
) -> Result<VerifiedNotification<'a>, BadSignature> {
    let signature = signature.ok_or(BadSignature::HeadersMissing)?.trim();
    let signature = hex::decode(signature).map_err(|_| BadSignature::NoMatch)?;
    let is_signed = secrets.iter().any(|secret| {
        HmacSha256::new_from_slice(secret.reveal().as_bytes())
            .is_ok_and(|mac| mac.chain_update(body).verify_slice(&signature).is_ok())
    });
    if is_signed {
        Ok(VerifiedNotification { body })
    } else {
        Err(BadSignature::NoMatch)
    }
}

#[cfg(test)]
mod tests;
