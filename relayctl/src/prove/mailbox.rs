//! What is asked of Nylas, with mails from the account to itself.

use super::{
    answer::{Answer, answer, is_accepted, is_replayed, short, untold, verdict},
    mailer::{Letter, subject},
    prober::{LOOKED_AT, Prober},
};
use crate::{
    clock::{self, Stopwatch},
    failure::Failure,
    http::{Reply, list, text},
    nylas::{encode, ok},
    ui::Ui,
};
use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use clerk_nylas_relay::{delivery::attempt::RECONCILING_TIME, model::route::KEY_TRUSTED_FOR};
use serde_json::Value;
use std::time::Duration;

/// The mails that are looked for by their metadata.
const LOOKED_FOR: [&str; 3] = ["1", "2", "3"];
/// When a client hangs up on a send, as a share of the time that a send takes, in hundredths.
const HANG_UPS: [u32; 3] = [50, 25, 75];

/// How many sends there are at most: three mails, one repeated, one changed, a refusal twice, two for each hang-up, one
/// over SMTP, and two at the end, or when they were held.
pub const SENDS_MAX: u32 = 16;

/// Keys that were used, for the question how long they are kept.
pub struct Keys {
    first: Letter,
    refused: Letter,
    since: Stopwatch,
    /// Whether each was replayed when it was asked again at once.
    replays: bool,
    refusal_replays: bool,
    /// Whether Nylas accepted the mails at all.
    pub accepted: bool,
}

/// Asks everything but how long answers are kept.
pub fn ask(prober: &Prober<'_>, ui: &Ui) -> (Vec<Answer>, Keys) {
    let mut keys = Keys {
        first: prober.mailer.letter(
            &prober.name("1"),
            "<p>The first mail of relayctl prove.</p>",
        ),
        refused: prober.mailer.malformed(&prober.name("refused")),
        since: Stopwatch::start(),
        replays: false,
        refusal_replays: false,
        accepted: false,
    };
    let mut answers = Vec::new();
    ui.note("sending three mails, and looking for them ...");
    let shown = shown_by_metadata(prober, &keys);
    let (shown, takes) = match shown {
        Ok((answer, shown)) => {
            answers.push(answer);
            keys.accepted = true;
            shown
        }
        Err(came) => {
            let rest = [
                "shown-by-metadata",
                "success-replayed",
                "other-bytes-refused",
                "key-held-on-hang-up",
                "folders-are-ids",
                "auto-submitted-kept",
                "text-part-made",
            ];
            answers.extend(rest.map(|id| untold(id, format!("no mail was accepted: {came}"))));
            answers.push(refusal_replayed(prober, &mut keys));
            return (answers, keys);
        }
    };
    ui.note("asking again under keys that were used ...");
    answers.push(success_replayed(prober, &mut keys));
    answers.push(other_bytes(prober));
    answers.push(refusal_replayed(prober, &mut keys));
    ui.note("hanging up on a send ...");
    answers.push(hang_up(prober, takes, shown));
    ui.note("looking at the mail as it arrived ...");
    answers.push(told("folders-are-ids", folders(prober)));
    answers.extend(arrived(prober));
    (answers, keys)
}

fn told(id: &'static str, asked: Result<Answer, Failure>) -> Answer {
    asked.unwrap_or_else(|failure| untold(id, failure.message))
}

/// The messages that `metadata_pair` finds under a name.
fn found(prober: &Prober<'_>, name: &str) -> Result<Vec<Value>, Failure> {
    let path = format!(
        "/v3/grants/{}/messages?metadata_pair={}",
        prober.grant_id,
        encode(&format!("key1:{name}"))
    );
    let reply = prober.nylas.get(&path)?;
    ok(&reply)?;
    Ok(list(&reply.json(), "/data").to_vec())
}

type Shown = (Duration, Duration);

/// Sends three mails and looks for each. Returns the longest time until one showed, and the shortest a send took.
fn shown_by_metadata(prober: &Prober<'_>, keys: &Keys) -> Result<(Answer, Shown), String> {
    const ID: &str = "shown-by-metadata";
    let (mut longest, mut takes, mut missing) = (Duration::ZERO, Duration::MAX, false);
    // The connection is there before the first is timed.
    let _ = prober.nylas.grant(prober.grant_id);
    for number in LOOKED_FOR {
        let name = prober.name(number);
        let other = prober
            .mailer
            .letter(&name, "<p>A mail of relayctl prove.</p>");
        let letter = if number == "1" { &keys.first } else { &other };
        let sending = Stopwatch::start();
        let reply = prober.mailer.send(&name, letter);
        let sent = reply.map_err(|failure| failure.message)?;
        if !is_accepted(&sent) {
            return Err(format!("Nylas answered {}", short(&sent)));
        }
        takes = takes.min(sending.elapsed());
        let looking = Stopwatch::start();
        loop {
            let messages = found(prober, &name).map_err(|failure| failure.message)?;
            longest = longest.max(looking.elapsed());
            if !messages.is_empty() {
                break;
            }
            // One that does not show is enough to know.
            if missing || looking.elapsed() > prober.pace.seconds(60) {
                missing = true;
                break;
            }
            prober.pace.pause();
        }
    }
    let limit = prober.pace.seconds(RECONCILING_TIME.as_secs());
    let came = match missing {
        true => format!("one did not show within {} ms", longest.as_millis()),
        false => format!("the last showed after {} ms", longest.as_millis()),
    };
    let found = answer(ID, verdict(!missing && longest <= limit), came);
    Ok((found, (longest, takes)))
}

fn success_replayed(prober: &Prober<'_>, keys: &mut Keys) -> Answer {
    const ID: &str = "success-replayed";
    let name = prober.name("1");
    match prober.mailer.send(&name, &keys.first) {
        Err(failure) => untold(ID, failure.message),
        Ok(reply) => {
            keys.replays = is_accepted(&reply) && is_replayed(&reply);
            answer(ID, verdict(keys.replays), short(&reply))
        }
    }
}

fn other_bytes(prober: &Prober<'_>) -> Answer {
    const ID: &str = "other-bytes-refused";
    let name = prober.name("3");
    let other = prober.mailer.letter(&name, "<p>Another body.</p>");
    match prober.mailer.send(&name, &other) {
        Err(failure) => untold(ID, failure.message),
        Ok(reply) => {
            let refused = reply.code == 409 && is_type(&reply, "invalid_idempotent_request");
            let came = match (is_accepted(&reply), is_replayed(&reply)) {
                (true, true) => format!(
                    "{}: the first answer, as if nothing differed",
                    short(&reply)
                ),
                (true, false) => format!("{}: a mail of its own", short(&reply)),
                (false, _) => short(&reply),
            };
            match refused || is_accepted(&reply) {
                true => answer(ID, verdict(refused), came),
                false => untold(ID, came),
            }
        }
    }
}

/// Whether the error's type is this one, with or without `api.`.
fn is_type(reply: &Reply, kind: &str) -> bool {
    let body = reply.json();
    let is = text(&body, "/error/type");
    is.strip_prefix("api.").unwrap_or(is) == kind
}

fn refusal_replayed(prober: &Prober<'_>, keys: &mut Keys) -> Answer {
    const ID: &str = "refusal-replayed";
    let name = prober.name("refused");
    let twice = prober
        .mailer
        .send(&name, &keys.refused)
        .and_then(|first| Ok((first, prober.mailer.send(&name, &keys.refused)?)));
    match twice {
        Err(failure) => untold(ID, failure.message),
        Ok((first, second)) => {
            let came = format!("{}, then {}", short(&first), short(&second));
            if !(400..500).contains(&first.code) || first.code == 429 || is_replayed(&first) {
                return untold(ID, came);
            }
            keys.refusal_replays = second.code == first.code && is_replayed(&second);
            answer(ID, verdict(keys.refusal_replays), came)
        }
    }
}

/// Hangs up on a send, and asks for the same again. What counts is how many mails there are in the end, and whether the
/// send was surely under way: only an answer 409 proves that.
fn hang_up(prober: &Prober<'_>, takes: Duration, shown: Duration) -> Answer {
    const ID: &str = "key-held-on-hang-up";
    let mut said = Vec::new();
    for (number, share) in HANG_UPS.iter().enumerate() {
        match one_hang_up(prober, number, *share, takes, shown) {
            Err(failure) => said.push(failure.message),
            Ok((Some(holds), came)) => return answer(ID, verdict(holds), came),
            Ok((None, came)) => said.push(came),
        }
    }
    said.dedup();
    untold(ID, said.join("; "))
}

fn one_hang_up(
    prober: &Prober<'_>,
    number: usize,
    share: u32,
    takes: Duration,
    shown: Duration,
) -> Result<(Option<bool>, String), Failure> {
    let name = prober.name(&format!("hang-up-{number}"));
    let letter = prober
        .mailer
        .letter(&name, "<p>A mail of relayctl prove.</p>");
    // A connection that is already there, and about how long the way takes.
    let on_the_way = Stopwatch::start();
    let _ = prober.nylas.grant(prober.grant_id);
    let way = on_the_way.elapsed().min(takes);
    let working = takes.saturating_sub(way);
    let limit = way
        .saturating_add(
            working
                .saturating_mul(share)
                .checked_div(100)
                .unwrap_or_default(),
        )
        .max(Duration::from_millis(1));
    let cut = prober.mailer.send_within(&name, &letter, Some(limit));
    if cut.is_ok() {
        let came = format!("a send was answered within {} ms", limit.as_millis());
        return Ok((None, came));
    }
    let after = format!(
        "hung up after {} ms of about {} ms",
        limit.as_millis(),
        takes.as_millis()
    );
    let again = prober.mailer.send(&name, &letter)?;
    let came = format!("{after}; asked again: {}", short(&again));
    if again.code == 409 && is_type(&again, "concurrent_idempotent_request") {
        let count = settled(prober, &name, takes, shown)?;
        let came = format!("{came}; mails in the end: {count}");
        return Ok(((count > 0).then_some(count < 2), came));
    }
    if !is_accepted(&again) {
        return Ok((None, came));
    }
    let count = settled(prober, &name, takes, shown)?;
    let came = format!("{came}; mails in the end: {count}");
    Ok(((count > 1).then_some(false), came))
}

/// How many mails there are of a name once nothing more can come. Two are enough to know.
fn settled(
    prober: &Prober<'_>,
    name: &str,
    takes: Duration,
    shown: Duration,
) -> Result<usize, Failure> {
    let wait = prober
        .pace
        .seconds(3)
        .saturating_add(takes.saturating_mul(3))
        .saturating_add(shown.saturating_mul(2).min(prober.pace.seconds(40)));
    let watch = Stopwatch::start();
    loop {
        let count = found(prober, name)?.len();
        if count > 1 || watch.elapsed() > wait {
            return Ok(count);
        }
        prober.pace.pause();
    }
}

fn folders(prober: &Prober<'_>) -> Result<Answer, Failure> {
    const ID: &str = "folders-are-ids";
    let path = format!("/v3/grants/{}/folders?limit=200", prober.grant_id);
    let reply = prober.nylas.get(&path)?;
    ok(&reply)?;
    let folders = reply.json();
    let with = |attribute: &str| {
        let mut all = list(&folders, "/data").iter();
        let found = all.find(|folder| {
            let mut attributes = list(folder, "/attributes").iter();
            attributes.any(|known| known.as_str() == Some(attribute))
        });
        found.map(|folder| text(folder, "/id").to_owned())
    };
    let name = prober.name(LOOKED_AT);
    let Some(mail) = found(prober, &name)?.first().cloned() else {
        return Ok(untold(ID, "the mail is not shown"));
    };
    let held: Vec<&str> = list(&mail, "/folders")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let is_id = |held: &&str| {
        let mut all = list(&folders, "/data").iter();
        all.any(|folder| text(folder, "/id") == *held)
    };
    let is_name = |held: &&str| {
        let mut all = list(&folders, "/data").iter();
        all.any(|folder| text(folder, "/name").eq_ignore_ascii_case(held))
    };
    let kind = if held.is_empty() {
        return Ok(untold(ID, "the mail is in no folder"));
    } else if held.iter().all(is_id) {
        "ids"
    } else if held.iter().all(is_name) {
        "names"
    } else {
        "neither ids nor names of the list"
    };
    let (sent, junk) = (with("\\Sent"), with("\\Junk"));
    let is_in_sent = sent.as_deref().is_some_and(|sent| held.contains(&sent));
    let listed = match &sent {
        None => false,
        Some(sent) => newest(prober, sent)?
            .iter()
            .any(|message| text(message, "/id") == text(&mail, "/id")),
    };
    let yes = |is: bool| if is { "yes" } else { "no" };
    let came = format!(
        "folders of a sent mail are {kind}; a folder with \\Sent: {}, the mail in it: {}, listed by it: {}; one with \
         \\Junk: {}",
        yes(sent.is_some()),
        yes(is_in_sent),
        yes(listed),
        yes(junk.is_some()),
    );
    let holds = kind == "ids" && is_in_sent && listed && junk.is_some();
    Ok(answer(ID, verdict(holds), came))
}

/// The newest messages of a folder.
fn newest(prober: &Prober<'_>, folder: &str) -> Result<Vec<Value>, Failure> {
    let since = clock::now().seconds().saturating_sub(3600);
    let path = format!(
        "/v3/grants/{}/messages?in={}&received_after={since}&limit=50&select=id,subject",
        prober.grant_id,
        encode(folder)
    );
    let reply = prober.nylas.get(&path)?;
    ok(&reply)?;
    Ok(list(&reply.json(), "/data").to_vec())
}

/// The id of a mail as it came in.
fn incoming(prober: &Prober<'_>) -> Result<Option<String>, Failure> {
    let Some(inbox) = prober.nylas.folders(prober.grant_id)?.inbox else {
        return Ok(None);
    };
    let wanted = subject(&prober.name(LOOKED_AT));
    let watch = Stopwatch::start();
    loop {
        let messages = newest(prober, &inbox)?;
        let mut messages = messages.iter();
        if let Some(message) = messages.find(|message| text(message, "/subject") == wanted) {
            return Ok(Some(text(message, "/id").to_owned()));
        }
        if watch.elapsed() > prober.pace.seconds(60) {
            return Ok(None);
        }
        prober.pace.pause();
    }
}

fn arrived(prober: &Prober<'_>) -> Vec<Answer> {
    let ids = ["auto-submitted-kept", "text-part-made"];
    let id = match incoming(prober) {
        Ok(Some(id)) => id,
        Ok(None) => {
            return ids
                .map(|id| untold(id, "the mail did not come into the inbox within a minute"))
                .into();
        }
        Err(failure) => return ids.map(|id| untold(id, failure.message.clone())).into(),
    };
    let [auto_submitted, text_part] = ids;
    let read = |fields: &str| -> Result<Value, Failure> {
        let path = format!(
            "/v3/grants/{}/messages/{}?fields={fields}",
            prober.grant_id,
            encode(&id)
        );
        let reply = prober.nylas.get(&path)?;
        ok(&reply)?;
        Ok(reply.json())
    };
    let headers = read("include_headers");
    let header = |name: &str| {
        let message = headers.as_ref().ok()?;
        let mut all = list(message, "/data/headers").iter();
        let found = all.find(|header| text(header, "/name").eq_ignore_ascii_case(name));
        found.map(|header| text(header, "/value").to_owned())
    };
    let has_headers = headers
        .as_ref()
        .is_ok_and(|message| !list(message, "/data/headers").is_empty());
    let kept = match (header("auto-submitted"), has_headers) {
        (Some(value), _) => answer(
            auto_submitted,
            verdict(value.trim().eq_ignore_ascii_case("auto-generated")),
            "the header is there",
        ),
        (None, true) => answer(auto_submitted, verdict(false), "the header is gone"),
        (None, false) => untold(auto_submitted, "Nylas showed no headers"),
    };
    let mime = read("raw_mime").ok();
    let mime = mime
        .as_ref()
        .and_then(|message| decoded(text(message, "/data/raw_mime")));
    let kind = match mime {
        Some(mime) => Some(mime.contains("content-type: text/plain")),
        // What the headers alone say.
        None => {
            header("content-type").map(|kind| kind.to_lowercase().contains("multipart/alternative"))
        }
    };
    let made = match kind {
        Some(true) => answer(text_part, verdict(true), "a part in text/plain"),
        Some(false) => answer(text_part, verdict(false), "HTML alone"),
        None => untold(text_part, "Nylas showed neither the MIME nor its type"),
    };
    vec![kept, made]
}

/// Base64 of URLs, padded or not, in lower case.
fn decoded(encoded: &str) -> Option<String> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let plain = encoded.replace('+', "-").replace('/', "_");
    let bytes = GeneralPurpose::new(&URL_SAFE, config).decode(plain).ok()?;
    let text = String::from_utf8_lossy(&bytes).to_lowercase();
    (!text.is_empty()).then_some(text)
}

/// Asks under the used keys once more: at the end, or after they were held for as long as was asked for. Only then,
/// because being asked for may prolong it.
pub fn still_kept(prober: &Prober<'_>, keys: &Keys, ui: &Ui) -> Answer {
    const ID: &str = "answers-kept";
    if !keys.replays || !keys.refusal_replays {
        return untold(ID, "they were not replayed at once, so they cannot be kept");
    }
    let left = prober.hold.saturating_sub(keys.since.elapsed());
    if !left.is_zero() {
        ui.note("waiting until the keys are as old as --hold says ...");
        std::thread::sleep(left);
    }
    let age = keys.since.elapsed();
    let asked = |name: &str, letter: &Letter| -> Result<Option<String>, Failure> {
        let reply = prober.mailer.send(&prober.name(name), letter)?;
        Ok((!is_replayed(&reply)).then(|| short(&reply)))
    };
    let forgotten = asked("1", &keys.first).and_then(|forgotten| match forgotten {
        None => asked("refused", &keys.refused),
        known => Ok(known),
    });
    match forgotten {
        Err(failure) => untold(ID, failure.message),
        Ok(Some(came)) => {
            let came = format!("forgotten within {} s: {came}", seconds(age));
            answer(ID, verdict(false), came)
        }
        Ok(None) => {
            let came = format!("kept for {} s at least", seconds(age));
            // What the relay trusts them for.
            match age >= prober.pace.seconds(KEY_TRUSTED_FOR.as_secs()) {
                true => answer(ID, verdict(true), came),
                false => untold(ID, format!("{came}; `--hold 60` asks for the hour")),
            }
        }
    }
}

/// With a tenth, because it may be less than one.
fn seconds(length: Duration) -> String {
    format!("{:.1}", length.as_secs_f64())
}
