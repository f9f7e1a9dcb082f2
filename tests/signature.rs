//! The verifier against the official libraries, on generated requests, valid and invalid: `svix` is Clerk's sender, and
//! `standardwebhooks` is the reference of the scheme.
//!
//! Intended differences, each with a test below:
//!
//! - A timestamp with a sign or leading zeros. The libraries verify over the number that they parsed. The relay refuses
//!   a sign and verifies over the text of the header, so that a request has one reading.
//! - An id that is empty, or has other characters than letters, digits, `_`, `-`. The libraries accept it. The relay
//!   refuses it, because the id becomes a key, a header, a query and a log field; and one with a `.`, because what is
//!   signed is `id.timestamp.body`, which then has two readings.
//! - `svix-*` and `webhook-*` headers mixed. The libraries accept them. The relay refuses them, because a request is
//!   signed under one name.
//! - A body that is not UTF-8. `svix` refuses it. The relay verifies its bytes, because the signature is over bytes.
//! - A secret without padding, or with white space around it. The libraries refuse it. The relay accepts it, because
//!   people paste secrets.
//! - A secret shorter than 16 bytes. The libraries accept it (`standardwebhooks` even an empty one). The relay refuses
//!   it, because it can be guessed.

// A test may stop at its first mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use clerk_nylas_relay::{
    model::time::UnixMillis,
    signature::{SignatureHeaders, SigningSecret, verify_clerk},
};
use proptest::{collection::vec, prelude::*, sample::select};
use std::time::{SystemTime, UNIX_EPOCH};

/// The libraries read the system's clock, so the requests are signed with times around now.
#[allow(clippy::disallowed_methods)]
fn now_seconds() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since_epoch.as_secs()).unwrap()
}

/// A signed request: its three headers and its body.
#[derive(Clone, Debug)]
struct Signed {
    prefix: &'static str,
    id: String,
    timestamp: String,
    signature: String,
    body: String,
}

fn relay_accepts(secret: &str, signed: &Signed) -> bool {
    let headers = SignatureHeaders::pick(|name| match name.strip_prefix(signed.prefix)? {
        "-id" => Some(signed.id.clone()),
        "-timestamp" => Some(signed.timestamp.clone()),
        "-signature" => Some(signed.signature.clone()),
        _ => None,
    });
    let secret = SigningSecret::parse(secret).unwrap();
    let now = UnixMillis::from_seconds(u64::try_from(now_seconds()).unwrap());
    verify_clerk(&headers, signed.body.as_bytes(), &[secret], now).is_ok()
}

fn header_map(signed: &Signed, prefix: &str) -> Option<http::HeaderMap> {
    let mut headers = http::HeaderMap::new();
    for (name, value) in [
        ("id", &signed.id),
        ("timestamp", &signed.timestamp),
        ("signature", &signed.signature),
    ] {
        let name = http::HeaderName::try_from(format!("{prefix}-{name}")).ok()?;
        headers.insert(name, http::HeaderValue::from_str(value).ok()?);
    }
    Some(headers)
}

fn svix_accepts(secret: &str, signed: &Signed) -> bool {
    let webhook = svix::webhooks::Webhook::new(secret).unwrap();
    header_map(signed, signed.prefix)
        .is_some_and(|headers| webhook.verify(signed.body.as_bytes(), &headers).is_ok())
}

fn standardwebhooks_accepts(secret: &str, signed: &Signed) -> bool {
    let webhook = standardwebhooks::Webhook::new(secret).unwrap();
    header_map(signed, "webhook")
        .is_some_and(|headers| webhook.verify(signed.body.as_bytes(), &headers).is_ok())
}

fn sign(secret: &str, id: &str, timestamp: i64, body: &str) -> String {
    let webhook = svix::webhooks::Webhook::new(secret).unwrap();
    webhook.sign(id, timestamp, body.as_bytes()).unwrap()
}

/// How a request is made invalid, or not.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Nothing,
    Body,
    Id,
    Timestamp,
    Signature(usize),
    OtherSecret,
}

fn damages() -> impl Strategy<Value = Damage> {
    prop_oneof![
        3 => Just(Damage::Nothing),
        1 => Just(Damage::Body),
        1 => Just(Damage::Id),
        1 => Just(Damage::Timestamp),
        3 => (0..60_usize).prop_map(Damage::Signature),
        1 => Just(Damage::OtherSecret),
    ]
}

/// Lists of signatures, with the valid one among others or missing.
fn lists() -> impl Strategy<Value = Vec<&'static str>> {
    vec(
        select(vec![
            "GOOD",
            "GOOD",
            "v1,",
            "v1",
            "",
            "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
            "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "garbage",
        ]),
        1..5,
    )
}

const SECRETS: [&str; 2] = [
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_relay_accepts_what_the_libraries_accept(
        prefix in select(vec!["svix", "webhook"]),
        id in "[A-Za-z0-9_-]{1,40}",
        body in "\\PC{0,200}",
        off in -320..320_i64,
        damage in damages(),
        list in lists(),
    ) {
        // Close to the limit of the tolerance, the clock may tick between two calls.
        prop_assume!(!(298..=302).contains(&off.abs()));
        let time = now_seconds() + off;
        let secret = SECRETS[0];
        let signing_secret = if matches!(damage, Damage::OtherSecret) { SECRETS[1] } else { secret };
        let mut good = sign(signing_secret, &id, time, &body);
        if let Damage::Signature(at) = damage {
            let at = at % good.len();
            let replacement = if good.as_bytes()[at] == b'A' { "B" } else { "A" };
            good.replace_range(at..=at, replacement);
        }
        let signed = Signed {
            prefix,
            id: if matches!(damage, Damage::Id) { format!("{id}x") } else { id },
            timestamp: if matches!(damage, Damage::Timestamp) { (time + 1).to_string() } else { time.to_string() },
            signature: list.join(" ").replace("GOOD", &good),
            body: if matches!(damage, Damage::Body) { format!("{body} ") } else { body },
        };
        let accepted = relay_accepts(secret, &signed);
        prop_assert_eq!(accepted, svix_accepts(secret, &signed), "svix: {:?}", signed);
        prop_assert_eq!(accepted, standardwebhooks_accepts(secret, &signed), "standardwebhooks: {:?}", signed);
    }
}

fn signed_now(id: &str, timestamp: impl Fn(i64) -> String) -> Signed {
    let now = now_seconds();
    Signed {
        prefix: "svix",
        id: id.to_owned(),
        timestamp: timestamp(now),
        signature: sign(SECRETS[0], id, now, "{}"),
        body: "{}".to_owned(),
    }
}

#[test]
fn difference_a_timestamp_is_taken_as_it_is_written() {
    for spelling in [|now: i64| format!("+{now}"), |now: i64| format!("0{now}")] {
        let signed = signed_now("msg_1", spelling);
        assert!(svix_accepts(SECRETS[0], &signed));
        assert!(!relay_accepts(SECRETS[0], &signed));
    }
}

#[test]
fn difference_an_id_is_plain() {
    for id in ["a b", "a/b", "a:1", "a,b", "a.b"] {
        let signed = signed_now(id, |now| now.to_string());
        assert!(svix_accepts(SECRETS[0], &signed), "{id}");
        assert!(!relay_accepts(SECRETS[0], &signed), "{id}");
    }
}

#[test]
fn difference_header_families_are_not_mixed() {
    let signed = signed_now("msg_1", |now| now.to_string());
    let mut headers = header_map(&signed, "webhook").unwrap();
    let id = headers.remove("webhook-id").unwrap();
    headers.insert("svix-id", id);
    let webhook = svix::webhooks::Webhook::new(SECRETS[0]).unwrap();
    assert!(webhook.verify(signed.body.as_bytes(), &headers).is_ok());
    let mixed = SignatureHeaders::pick(|name| {
        let value = headers.get(name)?;
        Some(value.to_str().ok()?.to_owned())
    });
    let secret = SigningSecret::parse(SECRETS[0]).unwrap();
    let now = UnixMillis::from_seconds(u64::try_from(now_seconds()).unwrap());
    assert!(verify_clerk(&mixed, signed.body.as_bytes(), &[secret], now).is_err());
}

#[test]
fn difference_bytes_are_judged_as_bytes() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use hmac::{Hmac, Mac};
    let now = now_seconds();
    let body = b"\xff\xfe{}";
    let key = STANDARD
        .decode(SECRETS[0].trim_start_matches("whsec_"))
        .unwrap();
    let mac = Hmac::<sha2::Sha256>::new_from_slice(&key)
        .unwrap()
        .chain_update(format!("msg_1.{now}."))
        .chain_update(body);
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let headers = SignatureHeaders::pick(|name| match name {
        "svix-id" => Some("msg_1".to_owned()),
        "svix-timestamp" => Some(now.to_string()),
        "svix-signature" => Some(signature.clone()),
        _ => None,
    });
    let secret = SigningSecret::parse(SECRETS[0]).unwrap();
    let at = UnixMillis::from_seconds(u64::try_from(now).unwrap());
    assert!(verify_clerk(&headers, body, &[secret], at).is_ok());
}

#[test]
fn difference_secrets_are_read_as_pasted_and_short_ones_refused() {
    for pasted in [
        " whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
        "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        assert!(svix::webhooks::Webhook::new(pasted).is_err(), "{pasted:?}");
        assert!(SigningSecret::parse(pasted).is_ok(), "{pasted:?}");
    }
    assert!(standardwebhooks::Webhook::new("").is_ok());
    assert!(SigningSecret::parse("").is_err());
    assert!(svix::webhooks::Webhook::new("whsec_AAAA").is_ok());
    assert!(SigningSecret::parse("whsec_AAAA").is_err());
}
