//! `status`, `list`, `tail`, `redrive`, `inspect`: commands that call the Worker's operator API. They print ids,
//! kinds, templates, outcomes and times.

use crate::{
    clock,
    failure::Failure,
    http::{Ask, Http, Reply, list, relay_base, text},
    nylas::encode,
    secrets,
    ui::{BAD, BOLD, Cell, DIM, GOOD, Ui, WARN, length, styled_table, table},
};
use anstyle::Style;
use clap::{Args, builder::PossibleValuesParser};
use clerk_nylas_relay::{
    ledger::mail::MailState,
    model::{
        id::SvixId,
        secret::Secret,
        time::{MINUTE, UnixMillis, away, millis},
    },
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

/// Where the Worker is, and the token for it.
#[derive(Args, Clone, Debug)]
pub struct Target {
    /// The relay's address
    #[arg(long, env = "RELAY_URL", default_value = "http://127.0.0.1:8787")]
    pub url: String,
    /// A file with the token; otherwise the environment's ADMIN_TOKEN, or .dev.vars
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// The arguments of `status`.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// The message, as Clerk's Message Attempts shows it: msg_...; without it, the whole relay
    pub svix_id: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: Target,
}

/// The arguments of `list`.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// How many, newest first
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub limit: u64,
    /// Only those in this state, or of which Nylas reported this
    #[arg(long, value_parser = states())]
    pub state: Option<String>,
    /// Only those to this address; the relay compares keyed hashes
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["dead", "replies"])]
    pub to: Option<String>,
    /// Only of this template
    #[arg(long)]
    pub slug: Option<String>,
    /// The dead letters
    #[arg(long, conflicts_with_all = ["state", "replies"])]
    pub dead: bool,
    /// The users' answers
    #[arg(long)]
    pub replies: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: Target,
}

/// What Nylas reports of a mail that was sent.
const EVENTS: [&str; 5] = ["delivered", "bounced", "complained", "failed", "resent"];

/// The states that there are. `rejected` is also an event.
fn states() -> PossibleValuesParser {
    let states = MailState::ALL.map(MailState::as_str);
    PossibleValuesParser::new(states.into_iter().chain(EVENTS))
}

/// The arguments of `tail`.
#[derive(Args, Debug)]
pub struct TailArgs {
    /// Seconds between two looks; more while nothing happens
    #[arg(long, default_value_t = 10.0)]
    pub every: f64,
    /// Ends after that many looks; otherwise never
    #[arg(long)]
    pub looks: Option<u64>,
    /// How many of those that were there before
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=100))]
    pub before: u64,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: Target,
}

/// The arguments of `redrive`.
#[derive(Args, Debug)]
#[group(id = "which", required = true, multiple = false)]
pub struct RedriveArgs {
    /// The dead letter of this message
    #[arg(group = "which")]
    pub svix_id: Option<String>,
    /// Every dead letter
    #[arg(long, group = "which")]
    pub dead: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: Target,
}

/// The arguments of `inspect`.
#[derive(Args, Debug)]
pub struct InspectArgs {
    /// Only this template
    pub slug: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: Target,
}

/// The operator API of one Worker.
pub(crate) struct Admin<'a> {
    http: &'a Http,
    base: String,
    token: Secret,
    /// Where the token was found.
    from: String,
}

impl<'a> Admin<'a> {
    pub(crate) fn new(target: &Target, http: &'a Http) -> Result<Self, Failure> {
        crate::http::check_url(&target.url)?;
        let found = secrets::require("ADMIN_TOKEN", target.token_file.as_deref(), Path::new("."))?;
        secrets::check_admin_token(&found.secret, &found.from)?;
        let base = relay_base(&target.url).to_owned();
        if !crate::http::is_private(&base) {
            return Err(Failure::usage(
                format!("{base} is not a plain https address: the token would travel in the open"),
                "use the https address, without a user name",
            ));
        }
        Ok(Self {
            http,
            base,
            token: found.secret,
            from: found.from,
        })
    }

    pub(crate) fn call(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reply, Failure> {
        let mut ask =
            Ask::get(format!("{}/api/admin/{path}", self.base)).bearer(self.token.reveal());
        ask.method = method;
        if let Some(body) = body {
            ask = ask.json(method, body);
        }
        let reply = self.http.call(&ask)?;
        match reply.code {
            401 => Err(Failure::new(
                format!("the Worker has another ADMIN_TOKEN than {}", self.from),
                "use the one it has, or store this one: `npx wrangler secret put ADMIN_TOKEN`",
            )),
            404 if path == "summary" || text(&reply.json(), "/status").is_empty() => {
                Err(Failure::new(
                    format!("there is no operator API at {}", self.base),
                    "check --url; the Worker has the API only with an ADMIN_TOKEN: `npx wrangler secret put \
                     ADMIN_TOKEN`",
                ))
            }
            500.. => Err(Failure::new(
                format!("the Worker answered {}", reply.code),
                "`npx wrangler tail` shows why; try again",
            )),
            _ => Ok(reply),
        }
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        let reply = self.call("GET", path, None)?;
        if reply.code == 200 {
            Ok(reply.json())
        } else if reply.code == 404 {
            // A route without an id is missing only if the whole API is.
            Err(Failure::new(
                format!("there is no operator API at {}", self.base),
                "check --url; the Worker has the API only with an ADMIN_TOKEN: `npx wrangler secret put ADMIN_TOKEN`",
            ))
        } else {
            Err(unexpected(&reply))
        }
    }

    /// The newest deliveries that match, newest first, with what Nylas reported of each; those to one address, if one
    /// is named. Two list operations.
    fn deliveries(
        &self,
        to: Option<&str>,
        limit: u64,
        matches: impl Fn(&Value) -> bool,
    ) -> Result<Vec<Value>, Failure> {
        // The filter is applied here, so the Worker is asked for as many as it gives at once.
        const PATH: &str = "deliveries?limit=1000&events=true";
        let Some(to) = to else {
            return Ok(matching(&self.get(PATH)?, limit, matches));
        };
        // In the body: an address is not for anybody's log of requests.
        let reply = self.call("POST", PATH, Some(&json!({"address": to})))?;
        match reply.code {
            200 => Ok(matching(&reply.json(), limit, matches)),
            400 => Err(Failure::usage(
                format!("{to} is not one plain e-mail address"),
                "--to jane@example.com",
            )),
            _ => Err(unexpected(&reply)),
        }
    }
}

/// The first deliveries of an answer that match.
fn matching(all: &Value, limit: u64, matches: impl Fn(&Value) -> bool) -> Vec<Value> {
    let matching = list(all, "/deliveries").iter().filter(|row| matches(row));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    matching.take(limit).cloned().collect()
}

pub(crate) fn unexpected(reply: &Reply) -> Failure {
    Failure::new(
        format!("the Worker answered {} {}", reply.code, reply.status()),
        "the Worker may be of another version: `relayctl doctor --only worker`",
    )
}

fn message(text: &str) -> Result<SvixId, Failure> {
    SvixId::parse(text).ok_or_else(|| {
        Failure::usage(
            "that is not a message's id",
            "copy it from Clerk's dashboard, Webhooks, Message Attempts: msg_...",
        )
    })
}

pub(crate) fn number(value: &Value, pointer: &str) -> Option<u64> {
    value.pointer(pointer).and_then(Value::as_u64)
}

pub(crate) fn time(value: &Value, pointer: &str) -> String {
    number(value, pointer).map_or_else(|| "-".to_owned(), |at| clock::utc(UnixMillis(at)))
}

fn for_time(value: &Value, pointer: &str) -> String {
    number(value, pointer).map_or_else(|| "-".to_owned(), length)
}

/// How long ago it was, or how long it will be.
fn ago(value: &Value, pointer: &str) -> String {
    number(value, pointer).map_or_else(|| "-".to_owned(), |at| away(at, clock::now().0))
}

/// The state as it is shown: of a mail that was sent, what Nylas reported.
fn shown(delivery: &Value) -> &str {
    match (text(delivery, "/state"), text(delivery, "/fate")) {
        ("sent", event) if !event.is_empty() => event,
        (state, _) => state,
    }
}

/// Whether something has waited for longer than a user does.
fn is_too_long(ms: u64) -> bool {
    ms >= millis(MINUTE)
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

fn colour(state: &str) -> Style {
    match state {
        "sent" | "delivered" | "up" | "redriven" => GOOD,
        "queued" | "waiting" | "resent" => WARN,
        "rejected" | "expired" | "dead_lettered" | "bounced" | "complained" | "failed" | "down" => {
            BAD
        }
        _ => Style::new(),
    }
}

/// Runs `status`. Returns whether the message was sent or still can be.
pub fn status(args: &StatusArgs, http: &Http, ui: &Ui) -> Result<bool, Failure> {
    let admin = Admin::new(&args.target, http)?;
    let Some(id) = &args.svix_id else {
        return summary(&admin, ui);
    };
    let id = message(id)?;
    let reply = admin.call("GET", &format!("deliveries/{id}"), None)?;
    if reply.code == 404 {
        return Err(Failure::new(
            format!("the relay knows no message {id}"),
            "it never came (look at Clerk's Message Attempts), was not for the relay (delivered_by_clerk, filtered, \
             ignored), or is older than the ledger remembers",
        ));
    }
    if reply.code != 200 {
        return Err(unexpected(&reply));
    }
    let body = reply.json();
    let delivery = body.get("delivery").cloned().unwrap_or_default();
    let state = text(&delivery, "/state");
    let (seen, style) = (shown(&delivery), colour(shown(&delivery)));
    ui.line(format!(
        "{style}{seen}{style:#} {id} {DIM}{}{DIM:#}",
        text(&delivery, "/reason")
    ));
    let is_waiting = matches!(state, "queued" | "waiting");
    if is_waiting {
        ui.line(format!(
            "  it waits for {}",
            or_dash(text(&delivery, "/waits_for"))
        ));
    }
    let at = number(&delivery, "/at").unwrap_or_default();
    let made = at.saturating_sub(number(&delivery, "/age_ms").unwrap_or_default());
    let waiting = clock::now().0.saturating_sub(made);
    let waited = match is_waiting {
        true => format!("{}, and still waits", length(waiting)),
        false => for_time(&delivery, "/age_ms"),
    };
    // A Worker of 0.2.0 gives no address.
    let account = match text(&delivery, "/account_email") {
        "" => or_dash(text(&delivery, "/account")),
        email => email,
    };
    let rows = [
        ("template", or_dash(text(&delivery, "/slug")).to_owned()),
        (
            "at",
            format!("{}, {}", time(&delivery, "/at"), ago(&delivery, "/at")),
        ),
        ("user waited", waited),
        ("next try", ago(&delivery, "/retry_at")),
        (
            "Nylas said last",
            or_dash(text(&delivery, "/said")).to_owned(),
        ),
        (
            "attempts",
            number(&delivery, "/attempts").map_or_else(|| "-".into(), |count| count.to_string()),
        ),
        ("account", account.to_owned()),
        (
            "message at Nylas",
            or_dash(text(&delivery, "/message_id")).to_owned(),
        ),
        (
            "thread at Nylas",
            or_dash(text(&delivery, "/thread_id")).to_owned(),
        ),
        (
            "user at Clerk",
            or_dash(text(&delivery, "/user_id")).to_owned(),
        ),
        ("became of it", or_dash(text(&delivery, "/fate")).to_owned()),
    ];
    for (name, value) in rows.iter().filter(|(_, value)| value != "-") {
        ui.line(format!("  {name:<18} {value}"));
    }
    let history = list(&body, "/history");
    for entry in history {
        let line = format!(
            "  {DIM}{}{DIM:#} {} {}",
            time(entry, "/at"),
            text(entry, "/event"),
            text(entry, "/reason")
        );
        ui.line(line.trim_end());
    }
    let dead = body.get("dead_letter") == Some(&Value::Bool(true));
    if dead {
        ui.line(format!(
            "  it is among the dead letters: {BOLD}relayctl redrive {id}{BOLD:#} sends it again"
        ));
    }
    ui.document(
        &json!({"ok": true, "delivery": delivery, "dead_letter": dead, "history": history}),
    );
    Ok(colour(seen) != BAD && !(is_waiting && is_too_long(waiting)))
}

fn summary(admin: &Admin<'_>, ui: &Ui) -> Result<bool, Failure> {
    let summary = admin.get("summary")?;
    ui.line(format!(
        "{BOLD}{}{BOLD:#} version {}",
        admin.base,
        text(&summary, "/version")
    ));
    // A Worker of 0.2.0 does not say what Nylas reported.
    let states = summary
        .get("shown")
        .or(summary.get("deliveries"))
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let counts: Vec<String> = states
        .iter()
        .filter(|(_, count)| count.as_u64() != Some(0))
        .map(|(state, count)| {
            let style = colour(state);
            format!("{style}{count} {state}{style:#}")
        })
        .collect();
    ui.line(format!("  mails     {}", counts.join(", ")));
    let ms = |name: &str| for_time(&summary, &format!("/latency_ms/{name}"));
    ui.line(format!(
        "  waited    p50 {}, p90 {}, p99 {}",
        ms("p50"),
        ms("p90"),
        ms("p99")
    ));
    let found = list(&summary, "/attention");
    for one in found {
        let since = match number(one, "/since") {
            Some(_) => format!("since {}, {}", time(one, "/since"), ago(one, "/since")),
            None => String::new(),
        };
        ui.line(format!(
            "  {WARN}look at{WARN:#}   {} {DIM}{since}{DIM:#}",
            text(one, "/says")
        ));
    }
    let oldest = number(&summary, "/oldest_queued_ms").unwrap_or_default();
    if number(&summary, "/oldest_queued_ms").is_some() {
        ui.line(format!(
            "  waiting   the oldest for {}",
            for_time(&summary, "/oldest_queued_ms")
        ));
    }
    let mut all_up = true;
    for account in list(&summary, "/accounts") {
        let state = text(account, "/state");
        all_up &= state != "down";
        let style = colour(state);
        let sent = match (number(account, "/sent_today"), number(account, "/cap")) {
            (Some(sent), Some(cap)) => format!("{sent} of {cap} sent today"),
            (Some(sent), None) => format!("{sent} sent today"),
            _ => String::new(),
        };
        let until = match (state, number(account, "/until")) {
            ("down", Some(_)) => format!(
                "{} until {}",
                text(account, "/reason"),
                time(account, "/until")
            ),
            _ => text(account, "/reason").to_owned(),
        };
        ui.line(
            format!(
                "  account   {} {style}{state}{style:#} {sent} {until}",
                match text(account, "/email") {
                    "" => text(account, "/grant_id"),
                    email => email,
                }
            )
            .trim_end(),
        );
    }
    let ok = all_up && found.is_empty() && !is_too_long(oldest);
    ui.document(&json!({"ok": ok, "summary": summary}));
    Ok(ok)
}

fn delivery_row(delivery: &Value) -> Vec<Cell> {
    let state = shown(delivery);
    let reason = match text(delivery, "/reason") {
        "accepted_by_nylas" => "",
        reason => reason,
    };
    vec![
        dim(ago(delivery, "/at")),
        text(delivery, "/svix_id").to_owned().into(),
        or_dash(text(delivery, "/slug")).to_owned().into(),
        Cell {
            text: state.to_owned(),
            style: colour(state),
        },
        for_time(delivery, "/age_ms").into(),
        dim(reason.to_owned()),
    ]
}

fn dim(text: String) -> Cell {
    Cell { text, style: DIM }
}

/// What is printed of a dead letter. A Worker of 0.2.0 lists a whole reply.
fn dead_letter(entry: &Value) -> Value {
    let fields = ["id", "kind", "at", "slug"].into_iter();
    let shown = fields.filter_map(|name| Some((name.to_owned(), entry.get(name)?.clone())));
    Value::Object(shown.collect())
}

/// Runs `list`.
pub fn run_list(args: &ListArgs, http: &Http, ui: &Ui) -> Result<bool, Failure> {
    let admin = Admin::new(&args.target, http)?;
    let matches = |entry: &Value| {
        args.slug
            .as_deref()
            .is_none_or(|slug| text(entry, "/slug") == slug)
            && args
                .state
                .as_deref()
                .is_none_or(|state| text(entry, "/state") == state || text(entry, "/fate") == state)
    };
    let (name, found, mut rows) = if args.dead {
        let all = admin.get("dead")?;
        let found: Vec<Value> = list(&all, "/dead_letters")
            .iter()
            .filter(|entry| matches(entry))
            .map(dead_letter)
            .collect();
        let rows = found
            .iter()
            .map(|entry| {
                vec![
                    dim(ago(entry, "/at")),
                    text(entry, "/id").to_owned().into(),
                    or_dash(text(entry, "/kind")).to_owned().into(),
                    or_dash(text(entry, "/slug")).to_owned().into(),
                ]
            })
            .collect::<Vec<_>>();
        ("dead_letters", found, rows)
    } else if args.replies {
        let all = admin.get("replies")?;
        let found = list(&all, "/replies").to_vec();
        let rows = found
            .iter()
            .map(|entry| {
                let to: Vec<&str> = list(entry, "/handed_to")
                    .iter()
                    .filter_map(Value::as_str)
                    .collect();
                vec![
                    dim(ago(entry, "/at")),
                    text(entry, "/id").to_owned().into(),
                    text(entry, "/class").to_owned().into(),
                    or_dash(text(entry, "/svix_id")).to_owned().into(),
                    to.join(", ").into(),
                    text(entry, "/held_back").to_owned().into(),
                ]
            })
            .collect::<Vec<_>>();
        ("replies", found, rows)
    } else {
        let found = admin.deliveries(args.to.as_deref(), args.limit, matches)?;
        let rows = found.iter().map(delivery_row).collect::<Vec<_>>();
        ("deliveries", found, rows)
    };
    rows.truncate(usize::try_from(args.limit).unwrap_or(usize::MAX));
    if rows.is_empty() {
        ui.line(format!("no {}", name.replace('_', " ")));
    }
    for row in styled_table(&rows) {
        ui.line(row);
    }
    ui.document(&json!({"ok": true, name: found}));
    Ok(true)
}

/// The longest pause between two looks of `tail`, unless a longer one is asked for: 360 looks a day.
const IDLE: Duration = Duration::from_secs(240);
/// After so many looks `tail` looks only that often, so that a day of it stays within 1,000 list operations.
const LOOKS_AT_FULL_SPEED: u64 = 100;
/// What a look costs: the mails, and what Nylas reported of them.
const LISTS_A_LOOK: u64 = 2;

/// How long `tail` waits for its next look: twice as long as before while nothing happens.
fn pause_after(every: Duration, before: Duration, looks: u64, has_news: bool) -> Duration {
    let longest = IDLE.max(every);
    if looks >= LOOKS_AT_FULL_SPEED {
        longest
    } else if has_news {
        every
    } else {
        before.saturating_mul(2).clamp(every, longest)
    }
}

/// Runs `tail`: prints new deliveries, changes of state and what Nylas reports, oldest first, until it is interrupted.
pub fn tail(args: &TailArgs, http: &Http, ui: &Ui) -> Result<bool, Failure> {
    if !(0.1..=3600.0).contains(&args.every) {
        return Err(Failure::usage(
            "--every takes seconds from 0.1 to 3600",
            "--every 10",
        ));
    }
    let admin = Admin::new(&args.target, http)?;
    ui.note(format!(
        "a look every {} s, up to every {} s while nothing happens or after {LOOKS_AT_FULL_SPEED} looks: each is \
         {LISTS_A_LOOK} list operations, and Cloudflare's free plan has 1,000 a day",
        args.every,
        IDLE.as_secs()
    ));
    let every = Duration::from_secs_f64(args.every);
    let mut pause = every;
    let mut seen: BTreeSet<(String, String, u64)> = BTreeSet::new();
    let (mut look, mut failures) = (0_u64, 0_u32);
    loop {
        match admin.deliveries(None, 100, |_| true) {
            Ok(found) => {
                failures = 0;
                let key = |delivery: &Value| {
                    let attempts = number(delivery, "/attempts").unwrap_or(0);
                    (
                        text(delivery, "/svix_id").to_owned(),
                        shown(delivery).to_owned(),
                        attempts,
                    )
                };
                let mut new: Vec<&Value> = found
                    .iter()
                    .filter(|delivery| !seen.contains(&key(delivery)))
                    .collect();
                if look == 0 {
                    new.truncate(usize::try_from(args.before).unwrap_or(0));
                }
                let has_news = !new.is_empty();
                for delivery in new.into_iter().rev() {
                    let state = shown(delivery);
                    let style = colour(state);
                    ui.line(format!(
                        "{DIM}{}{DIM:#} {style}{state:<14}{style:#} {} {} {DIM}{} {}{DIM:#}",
                        time(delivery, "/at"),
                        text(delivery, "/svix_id"),
                        or_dash(text(delivery, "/slug")),
                        text(delivery, "/reason"),
                        for_time(delivery, "/age_ms"),
                    ));
                    ui.document(delivery);
                }
                pause = pause_after(every, pause, look, has_news);
                // An entry that left the list of the newest does not return to it, so it need not be remembered.
                seen = found.iter().map(key).collect();
            }
            // `tail` may run for days, so one failed request does not end it.
            Err(failure) if look > 0 && failures < 5 => {
                failures = failures.saturating_add(1);
                ui.note(format!("{}; trying again", failure.message));
            }
            Err(failure) => return Err(failure),
        }
        look = look.saturating_add(1);
        // `relayctl tail | head` closes the pipe.
        if args.looks.is_some_and(|looks| look >= looks) || std::io::stdout().flush().is_err() {
            return Ok(true);
        }
        std::thread::sleep(pause);
    }
}

/// Runs `redrive`. Returns whether every dead letter went back into the queue.
pub fn redrive(args: &RedriveArgs, http: &Http, ui: &Ui) -> Result<bool, Failure> {
    let admin = Admin::new(&args.target, http)?;
    let ids: Vec<String> = match &args.svix_id {
        Some(id) => vec![message(id)?.as_str().to_owned()],
        None => {
            let all = admin.get("dead")?;
            list(&all, "/dead_letters")
                .iter()
                .map(|entry| text(entry, "/id").to_owned())
                .collect()
        }
    };
    if ids.is_empty() {
        ui.line("there are no dead letters");
    }
    let (mut ok, mut done) = (true, Vec::new());
    for id in ids {
        // The id of a dead letter that could not be read can hold any character, so it is encoded in the path.
        let reply = admin.call(
            "POST",
            &format!("dead/{}/redrive", encode(&id)),
            Some(&json!({})),
        )?;
        let (style, status, says) = match reply.code {
            200 => (
                GOOD,
                "redriven",
                "it is in the queue again: relayctl status",
            ),
            404 => (
                BAD,
                "not_found",
                "there is no such dead letter: it was redriven, or is older than a week",
            ),
            409 => (
                WARN,
                "expired",
                "its content is of no use any more: the user asks for another",
            ),
            _ => return Err(unexpected(&reply)),
        };
        ok &= reply.code == 200;
        ui.line(format!(
            "{style}{status:<10}{style:#} {id} {DIM}{says}{DIM:#}"
        ));
        done.push(json!({"id": id, "status": status}));
    }
    ui.document(&json!({"ok": ok, "redriven": done}));
    Ok(ok)
}

/// Runs `inspect`: prints the shape of the first real event of each template.
pub fn inspect(args: &InspectArgs, http: &Http, ui: &Ui) -> Result<bool, Failure> {
    let admin = Admin::new(&args.target, http)?;
    let all = admin.get("shapes")?;
    let found: Vec<&Value> = list(&all, "/templates")
        .iter()
        .filter(|template| {
            args.slug
                .as_deref()
                .is_none_or(|slug| text(template, "/slug") == slug)
        })
        .collect();
    if found.is_empty() {
        ui.line("no event of it has come yet: in Clerk's dashboard, sign in with a test user");
    }
    for template in &found {
        ui.line(format!(
            "{BOLD}{}{BOLD:#} {DIM}first seen {}{DIM:#}",
            or_dash(text(template, "/slug")),
            time(template, "/at")
        ));
        let rows: Vec<Vec<String>> = list(template, "/fields")
            .iter()
            .map(|field| {
                let length = number(field, "/length")
                    .map_or_else(String::new, |length| format!("{length} long"));
                vec![
                    format!("  {}", text(field, "/path")),
                    text(field, "/type").to_owned(),
                    length,
                ]
            })
            .collect();
        for row in table(&rows) {
            ui.line(row);
        }
    }
    ui.document(&json!({"ok": !found.is_empty(), "templates": found}));
    Ok(!found.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    #[test]
    fn a_day_of_tail_stays_within_the_free_plans_list_operations() {
        let Command::Tail(default) = Cli::parse_from(["relayctl", "tail"]).command else {
            panic!("tail is a command");
        };
        let every = Duration::from_secs_f64(default.every);
        for has_news in [true, false] {
            let (mut elapsed, mut pause, mut looks) = (Duration::ZERO, every, 0_u64);
            while elapsed < Duration::from_secs(24 * 3600) {
                pause = pause_after(every, pause, looks, has_news);
                elapsed += pause;
                looks += 1;
            }
            assert!(looks * LISTS_A_LOOK < 950, "{looks} looks");
        }
    }

    #[test]
    fn tail_slows_down_while_nothing_happens_and_is_quick_again_after() {
        let seconds = Duration::from_secs;
        let (every, slow) = (seconds(10), pause_after(seconds(10), seconds(10), 1, false));
        assert_eq!(slow, seconds(20));
        assert_eq!(pause_after(every, seconds(200), 5, false), IDLE);
        assert_eq!(pause_after(every, IDLE, 6, true), every);
        assert_eq!(
            pause_after(seconds(600), seconds(600), 7, false),
            seconds(600)
        );
    }
}
