//! `relayctl verify`: verifies a captured request as the relay does, and says why it fails.

use crate::{
    clock,
    failure::Failure,
    secrets,
    sign::{Signer, sign_with},
    ui::{BAD, DIM, GOOD, Ui, length},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use clerk_nylas_relay::{
    model::time::UnixMillis,
    signature::{BadSignature, SignatureHeaders, TIMESTAMP_TOLERANCE_SECONDS, verify_clerk},
};
use serde_json::json;
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

/// The arguments of `verify`.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// The body, byte for byte as it came; - is standard input
    #[arg(long, value_name = "FILE")]
    pub body: PathBuf,
    /// The headers: `Name: value` lines, or a JSON object
    #[arg(long, value_name = "FILE")]
    pub headers: Option<PathBuf>,
    /// One header, as often as needed
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub header: Vec<String>,
    /// When the request came, as Unix seconds; otherwise the clock is not checked
    #[arg(long, value_name = "SECONDS")]
    pub at: Option<u64>,
    /// Checks the clock as if the request came now
    #[arg(long, conflicts_with = "at")]
    pub now: bool,
    /// A file with the signing secret; otherwise the environment's CLERK_WEBHOOK_SIGNING_SECRET, or .dev.vars
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
}

/// Why a request is not valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The relay's own reason, or a more precise one.
    pub reason: &'static str,
    /// What is wrong.
    pub cause: String,
    /// How to fix it.
    pub fix: String,
}

fn cause(reason: &'static str, cause: impl Into<String>, fix: impl Into<String>) -> Cause {
    Cause {
        reason,
        cause: cause.into(),
        fix: fix.into(),
    }
}

/// Runs `verify`. Returns whether the request is valid.
pub fn run(args: &VerifyArgs, ui: &Ui) -> Result<bool, Failure> {
    let body = read(&args.body)?;
    let mut headers = match &args.headers {
        Some(file) => read_headers(&String::from_utf8_lossy(&read(file)?)),
        None => Vec::new(),
    };
    for header in &args.header {
        headers.extend(read_headers(header));
    }
    let found = secrets::require(
        "CLERK_WEBHOOK_SIGNING_SECRET",
        args.secret_file.as_deref(),
        Path::new("."),
    )?;
    let signers = Signer::parse_all(found.secret.reveal(), &found.from)?;
    let at = match (args.at, args.now) {
        (Some(seconds), _) => Some(UnixMillis::from_seconds(seconds)),
        (None, true) => Some(clock::now()),
        (None, false) => None,
    };
    match verify(&headers, &body, &signers, found.secret.reveal(), at) {
        Ok(valid) => {
            ui.line(format!(
                "{GOOD}valid{GOOD:#} {}: signed with the secret from {}",
                valid.id, found.from
            ));
            ui.line(format!(
                "{DIM}signed at {}, {}{DIM:#}",
                clock::utc(valid.signed_at),
                valid.age()
            ));
            ui.document(&json!({
                "ok": true, "verdict": "valid", "id": valid.id, "signed_at": valid.signed_at.0,
            }));
            Ok(true)
        }
        Err(why) => {
            ui.line(format!(
                "{BAD}not valid{BAD:#} ({})\n  cause: {}\n  fix: {}",
                why.reason, why.cause, why.fix
            ));
            ui.document(&json!({
                "ok": false, "verdict": "invalid", "reason": why.reason, "cause": why.cause, "fix": why.fix,
            }));
            Ok(false)
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let read = if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(file)
    };
    read.map_err(|error| {
        Failure::usage(
            format!("{} cannot be read: {error}", file.display()),
            "save the captured request's headers and body into two files",
        )
    })
}

/// `Name: value` lines, or a JSON object of texts or lists of texts.
fn read_headers(text: &str) -> Vec<(String, String)> {
    if let Ok(serde_json::Value::Object(object)) = serde_json::from_str(text) {
        let pairs = object.into_iter().filter_map(|(name, value)| {
            let value = value
                .as_array()
                .and_then(|list| list.first())
                .unwrap_or(&value);
            Some((name.to_lowercase(), value.as_str()?.to_owned()))
        });
        return pairs.collect();
    }
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned()))
        .collect()
}

/// A valid request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valid {
    /// The message.
    pub id: String,
    /// When this attempt was signed.
    pub signed_at: UnixMillis,
}

impl Valid {
    fn age(&self) -> String {
        let ago = clerk_nylas_relay::model::time::millis(clock::now().since(self.signed_at));
        let tolerance = TIMESTAMP_TOLERANCE_SECONDS.saturating_mul(1000);
        if ago > tolerance {
            format!(
                "{} ago: sent again now, it would be refused as too old",
                length(ago)
            )
        } else {
            format!("{} ago", length(ago))
        }
    }
}

/// Verifies a request with the relay's own verifier. If that fails, looks for the cause.
///
/// `at` is when the request came. Without it the clock is not checked.
pub fn verify(
    headers: &[(String, String)],
    body: &[u8],
    signers: &[Signer],
    secret_text: &str,
    at: Option<UnixMillis>,
) -> Result<Valid, Cause> {
    let header = |name: &str| {
        let found = headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    };
    let picked = SignatureHeaders::pick(header);
    let prefix = if ["id", "timestamp", "signature"]
        .iter()
        .any(|part| header(&format!("svix-{part}")).is_some())
    {
        "svix"
    } else {
        "webhook"
    };
    let part = |name: &str| header(&format!("{prefix}-{name}")).unwrap_or_default();
    let (id, timestamp, signature) = (part("id"), part("timestamp"), part("signature"));
    let signed_at = timestamp
        .parse()
        .map(UnixMillis::from_seconds)
        .unwrap_or_default();
    let secrets: Vec<_> = signers.iter().map(|signer| signer.secret.clone()).collect();
    let verify_at =
        |body: &[u8], at: UnixMillis| verify_clerk(&picked, body, &secrets, at).map(|_| ());
    let came = at.unwrap_or(signed_at);
    let bad = match verify_at(body, came) {
        Ok(()) => return Ok(Valid { id, signed_at }),
        Err(bad) => bad,
    };
    let off = |length_ms: u64| {
        let also = match verify_at(body, signed_at) {
            Ok(()) => "; nothing else is wrong with it",
            Err(_) => "; and the signature does not match either",
        };
        format!(
            "it was signed at {}, {} {also}",
            clock::utc(signed_at),
            length(length_ms)
        )
        .replace(" ;", ";")
    };
    Err(match bad {
        BadSignature::HeadersMissing => missing(prefix, &header),
        BadSignature::IdMalformed => cause(
            "id_malformed",
            format!(
                "{prefix}-id holds something other than 1 to 128 letters, digits, `_`, `-`, `.`"
            ),
            "pass the header on as it came",
        ),
        BadSignature::TimestampMalformed => cause(
            "timestamp_malformed",
            format!("{prefix}-timestamp is not a whole number of seconds"),
            "pass the header on as it came",
        ),
        BadSignature::TimestampTooOld if timestamp_in_milliseconds(&timestamp) => {
            in_milliseconds(prefix)
        }
        BadSignature::TimestampTooNew if timestamp_in_milliseconds(&timestamp) => {
            in_milliseconds(prefix)
        }
        BadSignature::TimestampTooOld => cause(
            "timestamp_too_old",
            off(clerk_nylas_relay::model::time::millis(
                came.since(signed_at),
            )) + " before it came; five minutes are allowed",
            "a replay, a queue in between, or a clock: compare both machines' clocks with `date -u`",
        ),
        BadSignature::TimestampTooNew => cause(
            "timestamp_too_new",
            off(clerk_nylas_relay::model::time::millis(
                signed_at.since(came),
            )) + " after it came; five minutes are allowed",
            "the receiving machine's clock is slow: compare both clocks with `date -u`",
        ),
        BadSignature::NoMatch => no_match(&NoMatch {
            id: &id,
            timestamp: &timestamp,
            signature: &signature,
            body,
            signers,
            secret_text,
            verify: &|body| verify_at(body, signed_at).is_ok(),
        }),
    })
}

fn timestamp_in_milliseconds(timestamp: &str) -> bool {
    timestamp.len() == 13
}

fn in_milliseconds(prefix: &str) -> Cause {
    cause(
        "timestamp_malformed",
        format!("{prefix}-timestamp is in milliseconds"),
        "sign with whole seconds",
    )
}

fn missing(prefix: &str, header: &impl Fn(&str) -> Option<String>) -> Cause {
    let parts = ["id", "timestamp", "signature"];
    let absent: Vec<String> = parts
        .iter()
        .map(|part| format!("{prefix}-{part}"))
        .filter(|name| header(name).is_none())
        .collect();
    if absent.len() == parts.len() {
        return cause(
            "signature_headers_missing",
            "there is no svix-id, svix-timestamp and svix-signature",
            "the request is not Clerk's, or something in between drops headers: pass them on",
        );
    }
    let mixed = prefix == "svix"
        && absent
            .iter()
            .any(|name| header(&name.replace("svix", "webhook")).is_some());
    let hint = if mixed {
        ": svix-* and webhook-* headers are mixed, and a request is signed under one name"
    } else {
        ""
    };
    cause(
        "signature_headers_missing",
        format!(
            "{} missing{hint}",
            absent.join(" and ") + if absent.len() == 1 { " is" } else { " are" }
        ),
        "pass all three headers on as they came",
    )
}

struct NoMatch<'a> {
    id: &'a str,
    timestamp: &'a str,
    signature: &'a str,
    body: &'a [u8],
    signers: &'a [Signer],
    secret_text: &'a str,
    verify: &'a dyn Fn(&[u8]) -> bool,
}

fn no_match(request: &NoMatch<'_>) -> Cause {
    const REASON: &str = "no_matching_signature";
    let entries: Vec<&str> = request
        .signature
        .split(' ')
        .filter(|entry| !entry.is_empty())
        .collect();
    let with_version: Vec<&str> = entries
        .iter()
        .filter_map(|entry| entry.strip_prefix("v1,"))
        .collect();
    if with_version.is_empty() {
        let what = if entries.iter().any(|entry| entry.starts_with("v1a,")) {
            "only asymmetric signatures (v1a)"
        } else {
            "no signature of version v1 (`v1,` and base64)"
        };
        return cause(
            REASON,
            format!("the signature header holds {what}"),
            "pass the header on whole, with its spaces and commas",
        );
    }
    let readable = |entry: &&str| STANDARD.decode(entry).is_ok_and(|bytes| bytes.len() == 32);
    if !with_version.iter().any(readable) {
        return cause(
            REASON,
            "the signature is not the base64 of 32 bytes: it was cut, or decoded as a form (`+` became a space)",
            "pass the header on as it came",
        );
    }
    if let Some(change) = body_change(request.body, request.verify) {
        return cause(
            "body_changed",
            format!("the body is not what was signed: {change}"),
            "verify the raw bytes, before any parser, framework or editor touches them",
        );
    }
    let matches = |made: String| entries.contains(&made.as_str());
    let swapped = request
        .signers
        .iter()
        .any(|signer| matches(signer.sign(request.timestamp, request.id, request.body)));
    if swapped {
        return cause(
            REASON,
            "it was signed over timestamp.id.body",
            "the order is id.timestamp.body",
        );
    }
    for part in request
        .secret_text
        .split([',', ' ', '\n'])
        .filter(|part| !part.is_empty())
    {
        let bare = part.strip_prefix("whsec_").unwrap_or(part);
        for key in [part, bare] {
            if matches(sign_with(
                key.as_bytes(),
                request.id,
                request.timestamp,
                request.body,
            )) {
                return cause(
                    "secret_as_text",
                    "it was signed with the secret's text as the key",
                    "the key is the base64-decoded part after whsec_",
                );
            }
        }
    }
    if request.body.is_empty() {
        return cause(
            "body_changed",
            "the body is empty",
            "capture the request with its body",
        );
    }
    cause(
        REASON,
        "headers and body are well-formed, and no known change of the body explains it",
        "the secret is most likely another endpoint's: each endpoint in Clerk, and each of development and \
         production, has its own; or somebody forged the request",
    )
}

/// The change that was made to the body, if it is a known one: without it, the signature matches.
fn body_change(body: &[u8], verify: &dyn Fn(&[u8]) -> bool) -> Option<&'static str> {
    if body.strip_prefix(b"\xef\xbb\xbf").is_some_and(verify) {
        return Some("a byte order mark was put before it");
    }
    let trimmed = body.trim_ascii();
    if trimmed.len() != body.len() && verify(trimmed) {
        return Some("white space was added around it (a line break at the end, usually)");
    }
    let with = |end: &[u8]| [body, end].concat();
    if verify(&with(b"\n")) || verify(&with(b"\r\n")) {
        return Some("its last line break was cut off");
    }
    let text = std::str::from_utf8(body).ok()?;
    if verify(text.replace("\r\n", "\n").as_bytes())
        || verify(text.replace('\n', "\r\n").as_bytes())
    {
        return Some("its line breaks were converted");
    }
    let compact = compact(text);
    let unescaped = unescape(&compact);
    let forms = [
        compact.clone(),
        unescaped.clone(),
        escape_html(&compact),
        escape_html(&unescaped),
        escape_unicode(&compact),
        compact.replace("\\/", "/"),
    ];
    if forms.iter().any(|form| verify(form.as_bytes())) {
        return Some("it was parsed and serialised again (spaces or escapes differ)");
    }
    // The original order of keys is lost, but the sender may have sorted them, too.
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    verify(value.to_string().as_bytes())
        .then_some("it was parsed and serialised again (the order of keys differs)")
}

/// The JSON text without the white space between its tokens.
fn compact(text: &str) -> String {
    let (mut inside, mut escaped) = (false, false);
    text.chars()
        .filter(|letter| {
            if inside {
                match letter {
                    _ if escaped => escaped = false,
                    '\\' => escaped = true,
                    '"' => inside = false,
                    _ => {}
                }
                return true;
            }
            inside = *letter == '"';
            !letter.is_ascii_whitespace()
        })
        .collect()
}

/// Replaces each `\uXXXX` by its character, except for those that JSON must escape.
fn unescape(text: &str) -> String {
    let mut units: Vec<u16> = Vec::new();
    let mut result = String::new();
    let mut rest = text;
    loop {
        let unit = rest
            .strip_prefix("\\u")
            .and_then(|after| {
                Some((
                    u16::from_str_radix(after.get(..4)?, 16).ok()?,
                    after.get(4..)?,
                ))
            })
            .filter(|(unit, _)| *unit >= 0x20 && !matches!(unit, 0x22 | 0x5c));
        if let Some((unit, after)) = unit {
            units.push(unit);
            rest = after;
            continue;
        }
        result.push_str(&String::from_utf16_lossy(&units));
        units.clear();
        // `\\` is skipped as a pair, so that its second half does not begin another escape.
        let step = if rest.starts_with('\\') {
            2
        } else {
            rest.chars().next().map_or(0, char::len_utf8)
        };
        let (Some(taken), Some(after)) = (rest.get(..step), rest.get(step..)) else {
            result.push_str(rest);
            return result;
        };
        if taken.is_empty() {
            return result;
        }
        result.push_str(taken);
        rest = after;
    }
}

/// Escapes `<`, `>` and `&`, as Go does in JSON.
fn escape_html(text: &str) -> String {
    text.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}

/// Escapes everything beyond ASCII, as Python does in JSON.
fn escape_unicode(text: &str) -> String {
    let mut result = String::new();
    for letter in text.chars() {
        if letter.is_ascii() {
            result.push(letter);
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                result.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_text_is_taken_apart_without_losing_its_order() {
        assert_eq!(
            compact("{ \"b\" : \"x \\\" y\",\n \"a\": [1, 2] }"),
            "{\"b\":\"x \\\" y\",\"a\":[1,2]}"
        );
        assert_eq!(
            unescape("\"\\u003cp\\u003e \\u00e9 \\ud83d\\ude00 \\n \\\\u003c \\u0022\""),
            "\"<p> é 😀 \\n \\\\u003c \\u0022\""
        );
        assert_eq!(escape_unicode("é😀"), "\\u00e9\\ud83d\\ude00");
    }
}
