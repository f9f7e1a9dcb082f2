//! `relayctl trigger`: plays Clerk.
//!
//! It sends signed samples of every template, hostile variants with a check of the answer, and small loads.

use crate::{
    clock::{self, Stopwatch},
    failure::Failure,
    http::{Ask, Http, Reply, check_url, is_loopback, relay_base, text},
    places::place,
    sample::{self, Wanted},
    secrets,
    sign::Signer,
    ui::{BAD, BOLD, DIM, GOOD, Ui, WARN},
    wait,
};
use clap::{Args, ValueEnum};
use clerk_nylas_relay::{
    mail::receive::WEBHOOK_BYTES_MAX,
    model::{
        id::{SAMPLE_PREFIX, SvixId},
        mail::Slug,
        time::UnixMillis,
    },
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The arguments of `trigger`.
#[derive(Args, Debug)]
pub struct TriggerArgs {
    /// The template: verification_code, magic_link_sign_in, invitation ... `list` names all
    #[arg(default_value = "verification_code")]
    pub slug: String,
    /// The relay's webhook, or just its address
    #[arg(
        long,
        env = "RELAY_URL",
        default_value = "http://127.0.0.1:8787/api/webhooks/clerk"
    )]
    pub url: String,
    /// Who gets the mail (default on this machine: ada@example.com)
    #[arg(long)]
    pub to: Option<String>,
    /// Changes the event: a path inside its `data` (or after `event.`, in the event itself) and a value, JSON or text
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Sends something a sender should not, and checks the answer
    #[arg(long, value_enum, value_name = "VARIANT")]
    pub hostile: Option<Hostile>,
    /// How many messages
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub count: u64,
    /// How many of them a second; without it, as fast as they are answered
    #[arg(long)]
    pub rate: Option<f64>,
    /// How many at the same time, at most
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=256))]
    pub parallel: u64,
    /// The same request so many times at once: one mail must come of it
    #[arg(long, conflicts_with_all = ["count", "rate", "hostile"],
        value_parser = clap::value_parser!(u64).range(2..=100))]
    pub repeat: Option<u64>,
    /// The message's id; the same id again is the same message
    #[arg(long, value_name = "ID", conflicts_with_all = ["count", "hostile"])]
    pub id: Option<String>,
    /// Pretends that Clerk made the event so long ago
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub age: u64,
    /// An event of your own in place of a sample. Its time is set to now, and `delivered_by_clerk` to false
    #[arg(long, value_name = "FILE", conflicts_with_all = ["set", "hostile"])]
    pub file: Option<PathBuf>,
    /// Waits for what becomes of the mail, and exits with 0 only if it was sent. Needs ADMIN_TOKEN
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "60",
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub wait: Option<u64>,
    /// A file with the token for --wait; otherwise the environment's ADMIN_TOKEN, or .dev.vars
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Shows the event instead of sending it
    #[arg(long)]
    pub print: bool,
    /// A file with the signing secret; otherwise the environment's CLERK_WEBHOOK_SIGNING_SECRET, or .dev.vars
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
}

/// A request that a good sender does not make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Hostile {
    /// Every variant, one after another
    All,
    /// Signed with another secret: 400 bad_signature
    Forged,
    /// Without the signature's headers: 400 bad_signature
    Unsigned,
    /// Signed ten minutes ago: 400 bad_signature
    Stale,
    /// Signed ten minutes ahead: 400 bad_signature
    Future,
    /// One byte changed after signing: 400 bad_signature
    Tampered,
    /// Half of the body, with the signature of the whole: 400 bad_signature
    Truncated,
    /// svix-id beside webhook-signature: 400 bad_signature
    MixedHeaders,
    /// The same message twice: the second 200 duplicate (sends one mail)
    Replayed,
    /// Over 1 MiB: 413 too_large
    Oversized,
    /// Clerk sends this one itself: 200 delivered_by_clerk
    DeliveredByClerk,
    /// delivered_by_clerk is the text "false": 200 delivered_by_clerk
    DeliveredByText,
    /// Signed, but not JSON: 200 unusable
    Malformed,
    /// Another event, user.created: 200 ignored
    WrongType,
    /// Without a recipient: 200 unusable
    NoRecipient,
    /// Two recipients in one field: 200 unusable
    TwoRecipients,
    /// Without any body: 200 unusable
    NoBody,
    /// A mail older than its content is of use: 200 expired
    Expired,
    /// A header hidden in the subject: 200 sent, as one line (sends one mail)
    HeaderInjection,
    /// GET in place of POST: 405 method_not_allowed
    WrongMethod,
}

/// The answers that are correct.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    code: u16,
    statuses: &'static [&'static str],
}

const ACCEPTED: Expected = Expected {
    code: 200,
    statuses: &["sent", "queued"],
};

/// The right answers to a message that may have come before.
const ACCEPTED_OR_KNOWN: Expected = Expected {
    code: 200,
    statuses: &["sent", "queued", "duplicate"],
};

const fn expect(code: u16, statuses: &'static [&'static str]) -> Expected {
    Expected { code, statuses }
}

impl Hostile {
    /// The answer it must get. A variant of several requests is judged by the last.
    pub fn expected(self) -> Expected {
        match self {
            Self::Forged
            | Self::Unsigned
            | Self::Stale
            | Self::Future
            | Self::Tampered
            | Self::Truncated
            | Self::MixedHeaders => expect(400, &["bad_signature"]),
            Self::Replayed => expect(200, &["duplicate"]),
            Self::Oversized => expect(413, &["too_large"]),
            Self::DeliveredByClerk | Self::DeliveredByText => expect(200, &["delivered_by_clerk"]),
            Self::Malformed | Self::NoRecipient | Self::TwoRecipients | Self::NoBody => {
                expect(200, &["unusable"])
            }
            Self::WrongType => expect(200, &["ignored"]),
            Self::Expired => expect(200, &["expired"]),
            Self::WrongMethod => expect(405, &["method_not_allowed"]),
            Self::HeaderInjection | Self::All => ACCEPTED,
        }
    }

    fn sends_a_mail(self) -> bool {
        matches!(self, Self::Replayed | Self::HeaderInjection | Self::All)
    }

    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// One request and its answer.
#[derive(Clone, Debug)]
struct Attempt {
    id: String,
    variant: Option<String>,
    expected: Expected,
    result: Result<Reply, Failure>,
}

impl Attempt {
    fn as_expected(&self) -> bool {
        self.result.as_ref().is_ok_and(|reply| {
            reply.code == self.expected.code
                && self.expected.statuses.contains(&reply.status().as_str())
        }) && self.held().is_none()
    }

    /// Why the mail was only queued, if that is for the operator to fix: it would wait until it is too old.
    fn held(&self) -> Option<String> {
        let reply = self.result.as_ref().ok()?;
        if reply.status() != "queued" {
            return None;
        }
        remedy(text(&reply.json(), "/reason"))
    }

    fn is_queued(&self) -> bool {
        matches!(&self.result, Ok(reply) if reply.status() == "queued")
    }

    fn label(&self) -> String {
        match &self.result {
            Ok(reply) => format!("{} {}", reply.code, shown_status(reply)),
            Err(_) => "no answer".to_owned(),
        }
    }

    fn document(&self) -> Value {
        let expected = json!({"code": self.expected.code, "status": self.expected.statuses});
        let mut document = match &self.result {
            Ok(reply) => {
                let body = reply.json();
                json!({
                    "code": reply.code, "status": body.get("status"), "reason": body.get("reason"),
                    "ms": tenths(reply.took_ms),
                })
            }
            Err(failure) => json!({"error": failure.message, "fix": failure.fix}),
        };
        if let Some(document) = document.as_object_mut() {
            document.insert("id".to_owned(), json!(self.id));
            document.insert("variant".to_owned(), json!(self.variant));
            document.insert("expected".to_owned(), expected);
            document.insert("as_expected".to_owned(), json!(self.as_expected()));
        }
        document
    }
}

fn shown_status(reply: &Reply) -> String {
    let status = reply.status();
    if status.is_empty() {
        "(not the relay's answer)".to_owned()
    } else {
        status
    }
}

/// Runs `trigger`. Returns whether every answer was correct.
pub fn run(args: &TriggerArgs, http: &Http, ui: &Ui) -> Result<bool, Failure> {
    if args.slug == "list" {
        let slugs = sample::slugs();
        for slug in &slugs {
            let ttl = Slug::new(Some(slug)).ttl();
            ui.line(format!(
                "{slug:<40} {DIM}of use for {}{DIM:#}",
                crate::ui::length(clerk_nylas_relay::model::time::millis(ttl))
            ));
        }
        ui.document(&json!({"ok": true, "slugs": slugs}));
        return Ok(true);
    }
    check_url(&args.url)?;
    let url = format!("{}/api/webhooks/clerk", relay_base(&args.url));
    if let Some(id) = &args.id
        && SvixId::parse(id).is_none()
    {
        return Err(Failure::usage(
            format!("\"{id}\" is no message id"),
            "letters, digits, _ and -: --id msg_again",
        ));
    }
    let sends = args.hostile.is_none_or(Hostile::sends_a_mail);
    let to = match (&args.to, is_loopback(&url) || !sends || args.print) {
        (Some(to), _) => to.clone(),
        (None, true) => "ada@example.com".to_owned(),
        (None, false) => {
            return Err(Failure::usage(
                "this relay is not on this machine, so the mail really goes out",
                "say who gets it: --to you@example.com",
            ));
        }
    };
    let set = args
        .set
        .iter()
        .map(|change| read_change(change))
        .collect::<Result<Vec<_>, _>>()?;
    let wanted = Wanted {
        slug: args.slug.clone(),
        to,
        at: clock::now(),
        set,
    };
    let file = args.file.as_deref().map(read_event).transpose()?;
    if args.print {
        let event = match file {
            Some(event) => event,
            None => sample::event(&wanted)?,
        };
        ui.line(format!("{event:#}"));
        ui.document(&event);
        return Ok(true);
    }
    let rate = match args.rate {
        Some(rate) if !(rate > 0.0 && rate <= 10_000.0) => {
            return Err(Failure::usage(
                "--rate takes a number of messages a second, above 0",
                "--rate 5",
            ));
        }
        rate => rate,
    };
    let found = secrets::require(
        "CLERK_WEBHOOK_SIGNING_SECRET",
        args.secret_file.as_deref(),
        std::path::Path::new("."),
    )?;
    let signer = Signer::parse(found.secret.reveal(), &found.from)?;
    let sender = Sender {
        http,
        url: &url,
        signer: &signer,
        wanted: &wanted,
        file: file.as_ref(),
        id: args.id.as_deref(),
        age: Duration::from_secs(args.age),
    };
    let waiter = match args.wait {
        Some(seconds) => Some(wait::Waiter::new(
            http,
            &args.url,
            args.token_file.clone(),
            Duration::from_secs(seconds),
        )?),
        None => None,
    };

    let watch = Stopwatch::start();
    let attempts = match args.hostile {
        Some(Hostile::All) => {
            let mut attempts = Vec::new();
            for variant in Hostile::value_variants() {
                if *variant != Hostile::All {
                    attempts.extend(sender.hostile(*variant)?);
                }
            }
            attempts
        }
        Some(variant) => {
            sender.many(args.count, args.parallel, rate, || sender.hostile(variant))?
        }
        None => match args.repeat {
            Some(times) => sender.repeated(times)?,
            None => sender.many(args.count, args.parallel, rate, || sender.plain())?,
        },
    };
    let mut ok = attempts.iter().all(Attempt::as_expected);
    let elapsed = watch.elapsed();
    let (mut mails, mut outcomes) = (None, Vec::new());
    if args.repeat.is_some() {
        let id = attempts.first().map_or("", |attempt| &attempt.id);
        mails = wait::mails_at_stand_in(http, id);
        ok &= mails.is_none_or(|mails| mails == 1);
    }
    report(&attempts, elapsed, mails, ui);
    if let Some(waiter) = &waiter {
        let mut ids: Vec<&str> = attempts.iter().map(|attempt| attempt.id.as_str()).collect();
        ids.dedup();
        for id in ids {
            let outcome = waiter.wait(id, ui)?;
            ok &= outcome.is_sent;
            outcomes.push(outcome.document);
        }
    }
    ui.document(&document(&attempts, ok, elapsed, &url, mails, &outcomes));
    Ok(ok)
}

/// An event from a file, as if it had been made now and were left to the relay.
fn read_event(file: &std::path::Path) -> Result<Value, Failure> {
    let wrong = |problem: String| {
        Failure::usage(
            format!("{} is no event: {problem}", file.display()),
            "`relayctl trigger --print` shows one",
        )
    };
    let content = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let mut event: Value =
        serde_json::from_slice(&content).map_err(|error| wrong(error.to_string()))?;
    if !event.is_object() {
        return Err(wrong("it is no JSON object".to_owned()));
    }
    sample::set(&mut event, "timestamp", json!(clock::now().0))?;
    if event.get("data").is_some_and(Value::is_object) {
        sample::set(&mut event, "data.delivered_by_clerk", json!(false))?;
    }
    Ok(event)
}

/// What to do about an account that cannot send, by the reason of an answer. `None`: the relay helps itself.
fn remedy(reason: &str) -> Option<String> {
    let remedy = match reason {
        "account_unauthorized" => {
            return Some(format!(
                "Nylas refuses NYLAS_API_KEY: `npx wrangler secret put NYLAS_API_KEY` with a key of the application \
                 ({})",
                place("NYLAS_API_KEY")
            ));
        }
        "account_gone" | "account_removed" => {
            return Some(format!(
                "Nylas has no such account: NYLAS_GRANT_ID in wrangler.toml ({}), the region in NYLAS_API_BASE",
                place("NYLAS_GRANT_ID")
            ));
        }
        "account_forbidden" | "account_paused" | "account_domain_not_verified" => {
            "Nylas does not let the account send: dashboard.nylas.com, Agent Accounts"
        }
        "account_address_unknown" => {
            "NYLAS_ACCOUNTS names no address: relayctl doctor --only config"
        }
        "account_daily_quota" => "the account's mails for today are used up",
        "no_account" => "no account can send at present: relayctl status",
        _ => return None,
    };
    Some(remedy.to_owned())
}

/// `path=value`; the value is JSON if it reads as JSON, else text.
fn read_change(change: &str) -> Result<(String, Value), Failure> {
    let (path, value) = change.split_once('=').ok_or_else(|| {
        Failure::usage(
            format!("\"{change}\" is not PATH=VALUE"),
            "for example --set data.otp_code=424242",
        )
    })?;
    // In Clerk's events a code is text, even if it has only digits.
    let looks_like_a_code = path.ends_with("_code");
    let value = match serde_json::from_str::<Value>(value) {
        Ok(read) if !(looks_like_a_code && read.is_number()) => read,
        _ => json!(value),
    };
    Ok((path.to_owned(), value))
}

struct Sender<'a> {
    http: &'a Http,
    url: &'a str,
    signer: &'a Signer,
    wanted: &'a Wanted,
    /// An event that is sent in place of a sample.
    file: Option<&'a Value>,
    /// The id, in place of a new one.
    id: Option<&'a str>,
    /// How long ago the event was made.
    age: Duration,
}

/// A message id as long as Svix' own. The Worker knows by it that no user waits for the mail.
pub fn message_id() -> Result<String, Failure> {
    Ok(format!("{SAMPLE_PREFIX}{}", secrets::random_hex::<10>()?))
}

/// The request as Svix makes it.
pub fn signed(url: &str, signer: &Signer, id: &str, at: UnixMillis, body: Vec<u8>) -> Ask {
    let timestamp = at.seconds().to_string();
    let signature = signer.sign(id, &timestamp, &body);
    Ask {
        method: "POST",
        url: url.to_owned(),
        body: Some(body),
        ..Ask::default()
    }
    .header("content-type", "application/json")
    .header("svix-id", id)
    .header("svix-timestamp", timestamp)
    .header("svix-signature", signature)
}

impl Sender<'_> {
    fn event(&self, set: &[(&str, Value)]) -> Result<Value, Failure> {
        let mut wanted = Wanted {
            at: UnixMillis(
                clock::now()
                    .0
                    .saturating_sub(clerk_nylas_relay::model::time::millis(self.age)),
            ),
            ..self.wanted.clone()
        };
        let changes = set
            .iter()
            .map(|(path, value)| ((*path).to_owned(), value.clone()));
        wanted.set.extend(changes);
        sample::event(&wanted)
    }

    fn request(&self) -> Result<(String, Ask), Failure> {
        let id = match self.id {
            Some(id) => id.to_owned(),
            None => message_id()?,
        };
        let event = match self.file {
            Some(event) => event.clone(),
            None => self.event(&[])?,
        };
        let body = event.to_string().into_bytes();
        let ask = signed(self.url, self.signer, &id, clock::now(), body);
        Ok((id, ask))
    }

    fn plain(&self) -> Result<Vec<Attempt>, Failure> {
        let (id, ask) = self.request()?;
        let expected = if self.id.is_some() {
            ACCEPTED_OR_KNOWN
        } else {
            ACCEPTED
        };
        Ok(vec![self.attempt(id, None, expected, &ask)])
    }

    /// The same request many times, at once.
    fn repeated(&self, times: u64) -> Result<Vec<Attempt>, Failure> {
        let (id, ask) = self.request()?;
        self.many(times, times, None, || {
            Ok(vec![self.attempt(
                id.clone(),
                None,
                ACCEPTED_OR_KNOWN,
                &ask,
            )])
        })
    }

    fn attempt(
        &self,
        id: String,
        variant: Option<String>,
        expected: Expected,
        ask: &Ask,
    ) -> Attempt {
        Attempt {
            id,
            variant,
            expected,
            result: self.http.call(ask),
        }
    }

    fn hostile(&self, variant: Hostile) -> Result<Vec<Attempt>, Failure> {
        let id = message_id()?;
        let now = clock::now();
        let text_of = |event: Value| event.to_string().into_bytes();
        let changed = |path: &str, value: Value| self.event(&[(path, value)]).map(text_of);
        let far = Duration::from_secs(600);
        let sign = |at: UnixMillis, body: Vec<u8>| signed(self.url, self.signer, &id, at, body);
        let ask = match variant {
            Hostile::All => return Ok(Vec::new()),
            Hostile::Forged => {
                let body = text_of(self.event(&[])?);
                signed(self.url, &Signer::random()?, &id, now, body)
            }
            Hostile::Unsigned => {
                let mut ask = sign(now, text_of(self.event(&[])?));
                ask.headers.retain(|(name, _)| !name.starts_with("svix-"));
                ask
            }
            Hostile::Stale => {
                let at = UnixMillis(now.0.saturating_sub(600_000));
                sign(at, text_of(self.event(&[])?))
            }
            Hostile::Future => sign(now.plus(far), text_of(self.event(&[])?)),
            Hostile::Tampered => {
                let mut ask = sign(now, text_of(self.event(&[])?));
                if let Some(last) = ask.body.as_mut().and_then(|body| body.last_mut()) {
                    *last ^= 1;
                }
                ask
            }
            Hostile::Truncated => {
                let mut ask = sign(now, text_of(self.event(&[])?));
                if let Some(body) = ask.body.as_mut() {
                    body.truncate(body.len() / 2);
                }
                ask
            }
            Hostile::MixedHeaders => {
                let mut ask = sign(now, text_of(self.event(&[])?));
                for (name, _) in &mut ask.headers {
                    if name == "svix-signature" {
                        *name = "webhook-signature".to_owned();
                    }
                }
                ask
            }
            Hostile::Replayed => {
                let ask = sign(now, text_of(self.event(&[])?));
                let name = Some(variant.name());
                let first = self.attempt(id.clone(), name.clone(), ACCEPTED, &ask);
                let second = self.attempt(id, name, variant.expected(), &ask);
                return Ok(vec![first, second]);
            }
            Hostile::Oversized => sign(
                now,
                changed(
                    "body",
                    json!("x".repeat(WEBHOOK_BYTES_MAX.saturating_add(1))),
                )?,
            ),
            Hostile::DeliveredByClerk => sign(now, changed("delivered_by_clerk", json!(true))?),
            Hostile::DeliveredByText => sign(now, changed("delivered_by_clerk", json!("false"))?),
            Hostile::Malformed => sign(now, b"{\"type\":\"email.created\",".to_vec()),
            Hostile::WrongType => sign(now, changed("event.type", json!("user.created"))?),
            Hostile::NoRecipient => sign(now, changed("to_email_address", Value::Null)?),
            Hostile::TwoRecipients => sign(
                now,
                changed("to_email_address", json!("ada@example.com,eve@example.com"))?,
            ),
            Hostile::NoBody => {
                let event = self.event(&[("body", Value::Null), ("body_plain", Value::Null)])?;
                sign(now, text_of(event))
            }
            Hostile::Expired => {
                let ttl = Slug::new(Some(&self.wanted.slug)).ttl();
                let made = now.0.saturating_sub(
                    clerk_nylas_relay::model::time::millis(ttl).saturating_add(60_000),
                );
                sign(now, changed("event.timestamp", json!(made))?)
            }
            Hostile::HeaderInjection => sign(
                now,
                changed("subject", json!("Harmless\r\nBcc: eve@example.com"))?,
            ),
            Hostile::WrongMethod => Ask::get(self.url),
        };
        Ok(vec![self.attempt(
            id,
            Some(variant.name()),
            variant.expected(),
            &ask,
        )])
    }

    /// Makes the attempts `count` times, at `rate` a second, on a few threads.
    fn many(
        &self,
        count: u64,
        parallel: u64,
        rate: Option<f64>,
        one: impl Fn() -> Result<Vec<Attempt>, Failure> + Sync,
    ) -> Result<Vec<Attempt>, Failure> {
        let (next, all) = (AtomicU64::new(0), Mutex::new(Ok(Vec::new())));
        let watch = Stopwatch::start();
        let work = || loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return;
            }
            if let Some(rate) = rate {
                #[allow(clippy::cast_precision_loss)] // Exact: at most 100,000 samples.
                let due = Duration::from_secs_f64(number as f64 / rate);
                std::thread::sleep(due.saturating_sub(watch.elapsed()));
            }
            let made = one();
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            match (all.as_mut(), made) {
                (Ok(attempts), Ok(made)) => attempts.extend(made),
                (Ok(_), Err(failure)) => *all = Err(failure),
                (Err(_), _) => return,
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..parallel.min(count) {
                scope.spawn(work);
            }
        });
        all.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tenths(ms: f64) -> f64 {
    (ms * 10.0).round() / 10.0
}

/// The value below which that share of the sorted values lies (nearest rank).
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

fn statuses(attempts: &[Attempt]) -> BTreeMap<String, u64> {
    let mut statuses: BTreeMap<String, u64> = BTreeMap::new();
    for attempt in attempts {
        let count = statuses.entry(attempt.label()).or_default();
        *count = count.saturating_add(1);
    }
    statuses
}

/// p50, p90, p99 and the longest, and how many there are.
fn latencies(attempts: &[Attempt]) -> ([f64; 4], usize) {
    let mut times: Vec<f64> = attempts
        .iter()
        .filter_map(|attempt| attempt.result.as_ref().ok())
        .map(|reply| reply.took_ms)
        .collect();
    times.sort_by(f64::total_cmp);
    let shares = [0.5, 0.9, 0.99, 1.0].map(|share| tenths(percentile(&times, share)));
    (shares, times.len())
}

fn document(
    attempts: &[Attempt],
    ok: bool,
    elapsed: Duration,
    url: &str,
    mails: Option<usize>,
    outcomes: &[Value],
) -> Value {
    let ([p50, p90, p99, max], count) = latencies(attempts);
    json!({
        "ok": ok, "url": url, "statuses": statuses(attempts), "seconds": elapsed.as_secs_f64(),
        "latency_ms": {"p50": p50, "p90": p90, "p99": p99, "max": max, "count": count},
        "attempts": attempts.iter().map(Attempt::document).collect::<Vec<_>>(),
        "mails": mails, "outcomes": outcomes,
    })
}

fn counted(count: usize, what: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {what}{end}")
}

/// Prints the answers. `mails`: how many mails came of one request that was made many times, if that is known.
fn report(attempts: &[Attempt], elapsed: Duration, mails: Option<usize>, ui: &Ui) {
    let few = attempts.len() <= 40;
    for attempt in attempts
        .iter()
        .filter(|attempt| few || !attempt.as_expected())
        .take(40)
    {
        show(attempt, ui);
    }
    if attempts.len() < 2 {
        return;
    }
    let shown: Vec<String> = statuses(attempts)
        .iter()
        .map(|(status, count)| format!("{count} x {status}"))
        .collect();
    let shown = shown.join(", ");
    if let Some(mails) = mails {
        let answers = counted(attempts.len(), "answer");
        ui.line(format!(
            "{BOLD}{answers}, {}{BOLD:#}: {shown}",
            counted(mails, "mail")
        ));
        return;
    }
    ui.line(format!(
        "{BOLD}{} requests{BOLD:#} in {:.1} s: {shown}",
        attempts.len(),
        elapsed.as_secs_f64(),
    ));
    let ([p50, p90, p99, max], _) = latencies(attempts);
    ui.line(format!(
        "latency: p50 {p50} ms, p90 {p90} ms, p99 {p99} ms, max {max} ms"
    ));
}

fn show(attempt: &Attempt, ui: &Ui) {
    let right = attempt.as_expected();
    let (style, mark) = match (attempt.held(), right) {
        (Some(_), _) => (WARN, "HELD"),
        (None, true) if attempt.is_queued() => (WARN, "wait"),
        (None, true) => (GOOD, "ok  "),
        (None, false) => (BAD, "FAIL"),
    };
    let name = attempt.variant.as_deref().unwrap_or(&attempt.id);
    match &attempt.result {
        Ok(reply) => {
            let body = reply.json();
            let reason = text(&body, "/reason");
            ui.line(format!(
                "{style}{mark}{style:#} {name:<20} {} {} {DIM}{reason} ({:.0} ms){DIM:#}",
                reply.code,
                shown_status(reply),
                reply.took_ms
            ));
            if let Some(remedy) = attempt.held() {
                ui.line(format!(
                    "     it waits in the queue, and would wait in vain\n     fix: {remedy}"
                ));
            } else if right && attempt.is_queued() && attempt.variant.is_none() {
                ui.line(format!(
                    "     {DIM}the relay goes on by itself; --wait, or: relayctl status {}{DIM:#}",
                    attempt.id
                ));
            } else if !right {
                ui.line(format!(
                    "     expected {} {}; {}",
                    attempt.expected.code,
                    attempt.expected.statuses.join(" or "),
                    advice(reply.code, &reply.status())
                ));
            }
        }
        Err(failure) => ui.line(format!(
            "{style}{mark}{style:#} {name:<20} {}\n     fix: {}",
            failure.message, failure.fix
        )),
    }
}

/// What an answer means, and what to do about it.
pub fn advice(code: u16, status: &str) -> &'static str {
    match (code, status) {
        (_, "bad_signature") => {
            "the relay holds another signing secret, or the clocks differ by over five minutes: relayctl doctor"
        }
        (_, "misconfigured") => "GET /health names the setting: relayctl doctor",
        (_, "retry") => "Nylas failed and no queue accepted the mail: relayctl doctor",
        (_, "rejected") => "Nylas refused this mail for good: the recipient's address, usually",
        (_, "suppressed") => {
            "the recipient bounced or complained before: relayctl suppression list"
        }
        (_, "filtered") => "the template is not among TEMPLATES",
        (_, "expired") => "the event was older than its content is of use",
        (_, "duplicate") => "a message with this id was sent or queued before",
        (_, "too_large") => "the body is over 1 MiB",
        (_, "sent" | "queued") => "the relay accepted what it should have refused: report it",
        (404, _) => "there is no relay at this address: check --url",
        (500..=599, _) => "the Worker failed: npx wrangler tail",
        _ => "docs/operations.md explains the answers",
    }
}
