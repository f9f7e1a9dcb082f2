//! The signature headers and bodies of requests.
//!
//! An input is the headers, one a line, an empty line and the body. `{svix}` and `{nylas}` stand for the right
//! signatures, so that what is around them can be wrong.

use clerk_nylas_relay::{
    model::{secret::Secret, time::UnixMillis},
    signature::{
        SignatureHeaders, SigningSecret, TIMESTAMP_TOLERANCE_SECONDS, verify_clerk, verify_nylas,
    },
};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::sync::LazyLock;

pub const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const NYLAS_SECRET: &str = "a-secret-of-nylas";

pub static SECRET: LazyLock<SigningSecret> =
    LazyLock::new(|| SigningSecret::parse("whsec_Y2xlcmstbnlsYXMtcmVsYXktZnV6eg").unwrap());
static OTHER: LazyLock<SigningSecret> =
    LazyLock::new(|| SigningSecret::parse("whsec_YW5vdGhlci1rZXktb2YtdGhlLWZ1enplcg").unwrap());
pub static NYLAS: LazyLock<[Secret; 1]> = LazyLock::new(|| [Secret::new(NYLAS_SECRET)]);

/// What is inserted now and then.
#[rustfmt::skip]
pub const WORDS: &[&str] = &[
    "{svix}", "{nylas}", "v1,", "v1a,", "svix-", "webhook-", "signature:", "timestamp:", "1700000000", "\n\n",
    "\u{ff11}",
];

pub fn execute(input: &[u8]) {
    let end = input.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = input.split_at(end.unwrap_or(input.len()));
    let body = body.get(2..).unwrap_or_default();
    let head = String::from_utf8_lossy(head);
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known
                .eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    };
    clerks(&header, body);
    nylas(header("x-nylas-signature"), body);
}

fn clerks(header: &impl Fn(&str) -> Option<String>, body: &[u8]) {
    let family = ["svix-", "webhook-"].into_iter().find(|family| {
        let name = |which| header(&format!("{family}{which}"));
        name("id")
            .or(name("timestamp"))
            .or(name("signature"))
            .is_some()
    });
    let of = |which: &str| header(&format!("{}{which}", family?));
    let (id, timestamp) = (of("id"), of("timestamp"));
    // Over the timestamp as it is written, which another number may have, too.
    let right = |body: &[u8]| {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let key = STANDARD.decode("Y2xlcmstbnlsYXMtcmVsYXktZnV6eg==").unwrap();
        let mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        let mac = mac
            .chain_update(id.as_deref().unwrap_or_default())
            .chain_update(".")
            .chain_update(timestamp.as_deref().unwrap_or_default())
            .chain_update(".")
            .chain_update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    };
    let right_here = right(body);
    let pick = || {
        SignatureHeaders::pick(|name| {
            header(name).map(|value| {
                if name.ends_with("signature") {
                    value.replace("{svix}", &right_here)
                } else {
                    value
                }
            })
        })
    };
    let secrets = [OTHER.clone(), SECRET.clone()];
    let headers = pick();
    let verified = verify_clerk(&headers, body, &secrets, NOW);
    let signatures = of("signature").map(|value| value.replace("{svix}", &right_here));
    let is_signed = signatures.is_some_and(|value| value.split(' ').any(|one| one == right_here));
    let seconds: Option<u64> = timestamp
        .as_deref()
        .filter(|text| text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok());
    let is_recent =
        seconds.is_some_and(|at| at.abs_diff(NOW.seconds()) <= TIMESTAMP_TOLERANCE_SECONDS);
    let expected = is_signed
        && is_recent
        && id
            .as_deref()
            .is_some_and(|id| is_plain(id) && !id.contains('.'));
    assert_eq!(verified.is_ok(), expected, "{headers:?}: {verified:?}");
    let Ok(verified) = verified else {
        return;
    };
    assert_eq!(verified.body(), body);
    assert_eq!(Some(verified.id().as_str()), id.as_deref());
    // Another secret, another body.
    assert!(verify_clerk(&headers, body, &secrets[..1], NOW).is_err());
    let mut other = body.to_vec();
    match other.last_mut() {
        Some(last) => *last ^= 1,
        None => other.push(b' '),
    }
    assert!(verify_clerk(&headers, &other, &secrets, NOW).is_err());
}

fn nylas(signature: Option<String>, body: &[u8]) {
    let right = nylas_signature(body);
    let signature = signature.map(|value| value.replace("{nylas}", &right));
    let verified = verify_nylas(signature.as_deref(), body, &NYLAS[..]);
    let is_signed = signature.is_some_and(|value| value.trim().eq_ignore_ascii_case(&right));
    assert_eq!(verified.is_ok(), is_signed);
    assert!(verified.is_err() || verified.unwrap().body() == body);
}

/// As Nylas signs.
pub fn nylas_signature(body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(NYLAS_SECRET.as_bytes()).unwrap();
    hex::encode(mac.chain_update(body).finalize().into_bytes())
}

/// Whether an id may stand in a URL, a log and a key of KV.
pub fn is_plain(id: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (1..=128).contains(&id.len()) && id.bytes().all(is_letter)
}
