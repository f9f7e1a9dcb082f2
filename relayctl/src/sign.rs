//! Signs as Clerk's sender (Svix) and as Nylas do.
//!
//! [`clerk_nylas_relay::signature`] and Svix' own library verify these signatures (see `tests/trigger.rs`).

use crate::{failure::Failure, places::place};
use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use clerk_nylas_relay::signature::SigningSecret;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;

/// A signing secret that can sign requests.
#[derive(Clone)]
pub struct Signer {
    key: Vec<u8>,
    /// The same secret, in the relay's own type.
    pub secret: SigningSecret,
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Signer(..)")
    }
}

impl Signer {
    /// Reads a secret by the relay's own rule. Of several (during a rotation) the first signs.
    pub fn parse(text: &str, from: &str) -> Result<Self, Failure> {
        Self::parse_all(text, from)?
            .into_iter()
            .next()
            .ok_or_else(|| {
                Failure::usage(
                    format!("the signing secret from {from} is empty"),
                    format!("copy it from {}", place("CLERK_WEBHOOK_SIGNING_SECRET")),
                )
            })
    }

    /// Reads all of several secrets.
    pub fn parse_all(text: &str, from: &str) -> Result<Vec<Self>, Failure> {
        text.split(|letter: char| letter == ',' || letter.is_whitespace())
            .filter(|part| !part.is_empty())
            .map(|part| {
                let secret = SigningSecret::parse(part).map_err(|problem| {
                    Failure::usage(
                        format!("the signing secret from {from} {problem}"),
                        format!("copy it from {}", place("CLERK_WEBHOOK_SIGNING_SECRET")),
                    )
                })?;
                let any_padding = GeneralPurpose::new(
                    &base64::alphabet::STANDARD,
                    GeneralPurposeConfig::new()
                        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
                );
                let encoded = part.strip_prefix("whsec_").unwrap_or(part);
                let key = any_padding.decode(encoded).map_err(|_| {
                    Failure::usage(
                        format!("the signing secret from {from} is not base64"),
                        "copy it again",
                    )
                })?;
                Ok(Self { key, secret })
            })
            .collect()
    }

    /// A new random secret.
    pub fn random() -> Result<Self, Failure> {
        Self::parse(&random_secret()?, "nowhere")
    }

    /// The `svix-signature` of a request.
    pub fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        sign_with(&self.key, id, timestamp, body)
    }
}

/// A new random signing secret, as text.
pub fn random_secret() -> Result<String, Failure> {
    Ok(format!(
        "whsec_{}",
        STANDARD.encode(crate::secrets::random::<24>()?)
    ))
}

/// Svix' signature, with any bytes as the key.
pub fn sign_with(key: &[u8], id: &str, timestamp: &str, body: &[u8]) -> String {
    let code = hmac(
        key,
        &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body],
    );
    format!("v1,{}", STANDARD.encode(code))
}

/// The `x-nylas-signature` of a notification.
pub fn nylas(secret: &str, body: &[u8]) -> String {
    crate::secrets::hex(&hmac(secret.as_bytes(), &[body]))
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    // HMAC takes a key of any length, so this never fails.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}
