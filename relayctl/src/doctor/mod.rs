//! `relayctl doctor`: what is wrong, why, and how to fix it. `docs/doctor.md` has a section for every check.

mod args;
mod clerk;
mod config;
mod dns;
mod finding;
mod nylas;
mod patient;
mod smtp;
mod worker;

pub use args::{DoctorArgs, Group};
pub use finding::{Finding, State};

use crate::{
    failure::Failure,
    http::Http,
    local,
    ui::{BAD, BOLD, DIM, GOOD, Ui, WARN},
};
use patient::Patient;
use serde_json::{Value, json};

/// Every check: its id, which is also its section in `docs/doctor.md`, and what it asks.
pub const CHECKS: &[(&str, &str)] = &[
    ("config-file", "wrangler.toml is there and can be read"),
    (
        "config-api-base",
        "NYLAS_API_BASE is an address the relay accepts",
    ),
    (
        "config-accounts",
        "NYLAS_GRANT_ID or NYLAS_ACCOUNTS names the account that sends",
    ),
    ("config-budget", "INLINE_SEND_BUDGET_MS is in its range"),
    ("config-templates", "TEMPLATES names templates Clerk has"),
    ("config-ledger", "the KV namespace is bound as LEDGER"),
    (
        "config-queue",
        "the queue is bound, consumed, and its dead letters are stored",
    ),
    (
        "config-inbox",
        "what nobody waits for has a queue of its own",
    ),
    (
        "config-clerk-secret",
        "CLERK_WEBHOOK_SIGNING_SECRET is a secret",
    ),
    ("config-nylas-key", "NYLAS_API_KEY is well-formed"),
    (
        "config-nylas-webhook-secret",
        "NYLAS_WEBHOOK_SECRET is a secret",
    ),
    (
        "config-replies",
        "REPLY_WEBHOOK_URL, its secret and REPLY_FORWARD_TO can be used",
    ),
    (
        "config-operator",
        "ADMIN_TOKEN, ALERT_WEBHOOK_URL, NYLAS_DAILY_CAP and NYLAS_MONTHLY_CAP can be used",
    ),
    (
        "config-smtp",
        "SMTP_HOST, SMTP_PORT and SMTP_PASSWORD can be used",
    ),
    ("config-schedule", "the Worker is woken to look around"),
    (
        "config-secrets-in-vars",
        "no secret stands in wrangler.toml",
    ),
    ("clerk-key", "Clerk accepts CLERK_SECRET_KEY"),
    (
        "clerk-templates",
        "which templates Clerk leaves to the relay",
    ),
    (
        "clerk-filter",
        "every template left to the relay passes TEMPLATES",
    ),
    (
        "clerk-from",
        "Clerk's From name is the account's local part",
    ),
    ("clerk-domain", "the account's domain is the application's"),
    ("nylas-reachable", "Nylas' API answers"),
    ("nylas-key", "Nylas accepts NYLAS_API_KEY"),
    (
        "nylas-region",
        "the account is in the region of NYLAS_API_BASE",
    ),
    ("nylas-grant", "the account is there"),
    ("nylas-provider", "the account is an Agent Account"),
    ("nylas-status", "the grant is valid"),
    ("nylas-blocked", "the account is not blocked"),
    (
        "nylas-address",
        "the configured address is the account's own",
    ),
    ("nylas-name", "mails have a display name"),
    (
        "nylas-sent-today",
        "mails sent today, against the daily cap",
    ),
    (
        "nylas-webhook",
        "Nylas notifies this Worker of answers and bounces",
    ),
    ("nylas-webhook-status", "that webhook is active"),
    (
        "nylas-webhook-triggers",
        "that webhook has the triggers the relay needs",
    ),
    (
        "nylas-smtp",
        "the mail server takes the account's app password",
    ),
    ("worker-url", "the Worker's address is known, and https"),
    ("worker-reachable", "the Worker answers"),
    (
        "worker-as-svix",
        "nothing at Cloudflare stops Clerk's sender before the Worker",
    ),
    ("worker-version", "the Worker is of this version"),
    ("worker-settings", "the Worker's settings are complete"),
    ("worker-clock", "clocks agree"),
    (
        "worker-signature",
        "the Worker accepts the signing secret known here",
    ),
    (
        "worker-forgery",
        "the Worker refuses signatures that anybody could make",
    ),
    ("worker-challenge", "the Worker echoes Nylas' challenge"),
    (
        "worker-notifications",
        "the Worker refuses unsigned notifications",
    ),
    ("worker-admin", "the operator API answers"),
    ("worker-accounts", "no account is down"),
    ("worker-dead-letters", "there are no dead letters"),
    ("worker-backlog", "no mail has waited for over a minute"),
    ("dns-mx", "answers to the sender's domain are delivered"),
    ("dns-spf", "the sender's domain has one SPF record"),
    ("dns-dkim", "the sender's domain has its DKIM key"),
    ("dns-dmarc", "the sender's domain has a DMARC policy"),
];

/// Why `--local` skips what only a real relay has.
const ABSENT: &str = "`make dev` plays neither Clerk's API nor a name service";

/// All findings, in the order of [`CHECKS`].
pub fn examine(args: &DoctorArgs, http: &Http, ui: &Ui) -> Result<Vec<Finding>, Failure> {
    let mut patient = Patient::new(args, http)?;
    let wanted = |group: Group| args.only.is_empty() || args.only.contains(&group);
    let is_local = local::is_local();
    let absent = |id| finding::skip(id, ABSENT, "");
    let mut findings = Vec::new();
    if wanted(Group::Config) {
        findings.extend(config::checks(&patient));
    }
    // The other groups need the accounts' addresses from Nylas.
    let needs_nylas = [Group::Nylas, Group::Clerk, Group::Worker, Group::Dns]
        .into_iter()
        .any(wanted);
    if needs_nylas {
        ui.note("asking Nylas ...");
        let found = nylas::checks(&mut patient);
        if wanted(Group::Nylas) {
            findings.extend(found);
            findings.push(smtp::check(&patient));
        }
    }
    if wanted(Group::Clerk) && is_local {
        findings.extend(clerk::CHECKS.map(absent));
    } else if wanted(Group::Clerk) {
        ui.note("asking Clerk ...");
        findings.extend(clerk::checks(&patient));
    }
    if wanted(Group::Worker) {
        ui.note("asking the Worker ...");
        findings.extend(worker::checks(&patient));
    }
    if wanted(Group::Dns) && is_local {
        findings.extend(dns::CHECKS.map(absent));
    } else if wanted(Group::Dns) {
        ui.note("looking up names ...");
        findings.extend(dns::checks(&patient));
    }
    findings.sort_by_key(|finding| CHECKS.iter().position(|(id, _)| *id == finding.id));
    Ok(findings)
}

/// Runs `doctor`. Returns whether nothing failed.
pub fn run(args: &DoctorArgs, http: &Http, ui: &Ui) -> Result<bool, Failure> {
    if args.list {
        for (id, asks) in CHECKS {
            ui.line(format!("{id:<28} {DIM}{asks}{DIM:#}"));
        }
        let list: Vec<Value> = CHECKS
            .iter()
            .map(|(id, asks)| json!({"id": id, "asks": asks}))
            .collect();
        ui.document(&json!({"ok": true, "checks": list}));
        return Ok(true);
    }
    let findings = examine(args, http, ui)?;
    Ok(report(&findings, args.strict, ui))
}

/// Prints the findings. Returns whether all is well.
pub fn report(findings: &[Finding], strict: bool, ui: &Ui) -> bool {
    let mut group = "";
    for finding in findings {
        if finding.state == State::Skip {
            continue;
        }
        let (name, _) = finding.id.split_once('-').unwrap_or((finding.id, ""));
        if name != group {
            group = name;
            ui.line(format!("\n{BOLD}{group}{BOLD:#}"));
        }
        let style = match finding.state {
            State::Pass => GOOD,
            State::Warn => WARN,
            State::Fail => BAD,
            State::Skip => DIM,
        };
        ui.line(format!(
            "  {style}{}{style:#} {:<28} {}",
            finding.state.name(),
            finding.id,
            finding.cause
        ));
        if !finding.fix.is_empty() {
            ui.line(format!("       fix: {}", finding.fix));
        }
        if finding.state >= State::Warn {
            ui.line(format!("       {DIM}docs/doctor.md#{}{DIM:#}", finding.id));
        }
    }
    let count = |state: State| {
        findings
            .iter()
            .filter(|finding| finding.state == state)
            .count()
    };
    let [passed, warned, failed, skipped] =
        [State::Pass, State::Warn, State::Fail, State::Skip].map(count);
    let ok = failed == 0 && !(strict && warned > 0);
    if let Some(skipped) = finding::skipped(findings) {
        ui.line(format!("\n{DIM}skip{DIM:#}  {skipped}"));
    }
    ui.line(format!(
        "\n{BOLD}{passed} passed, {warned} warned, {failed} failed, {skipped} skipped{BOLD:#}"
    ));
    ui.document(&json!({
        "ok": ok,
        "counts": {"pass": passed, "warn": warned, "fail": failed, "skip": skipped},
        "checks": findings.iter().map(Finding::document).collect::<Vec<_>>(),
    }));
    ok
}
