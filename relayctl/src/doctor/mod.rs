//! `relayctl doctor`: what is wrong, why, what mends it. `docs/doctor.md` has a section for every check.

mod clerk;
mod config;
mod dns;
mod nylas;
mod worker;

use crate::{
    failure::Failure,
    http::Http,
    project::{Project, SECRETS},
    secrets::{self, Found},
    sign,
    ui::{BAD, BOLD, DIM, GOOD, Ui, WARN},
};
use clap::{Args, ValueEnum};
use clerk_nylas_relay::config::{Account, Bound, Config, Problem};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::PathBuf};

/// Every check: its id, which is also its section in `docs/doctor.md`, and what it asks.
pub const CHECKS: [(&str, &str); 49] = [
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
        "the queue is bound, consumed, and its dead letters are kept",
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
        "ADMIN_TOKEN, ALERT_WEBHOOK_URL and NYLAS_DAILY_CAP can be used",
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
        "Nylas tells this Worker about answers and bounces",
    ),
    ("nylas-webhook-status", "that webhook is active"),
    (
        "nylas-webhook-triggers",
        "that webhook has the triggers the relay needs",
    ),
    ("worker-url", "the Worker's address is known, and https"),
    ("worker-reachable", "the Worker answers"),
    ("worker-version", "the Worker is of this version"),
    ("worker-settings", "the Worker's settings are complete"),
    ("worker-clock", "clocks agree"),
    (
        "worker-signature",
        "the Worker believes the signing secret known here",
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

/// What `doctor` is told.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// The folder of wrangler.toml and .dev.vars
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub folder: PathBuf,
    /// The deployed Worker; without it, the address of Nylas' webhook is taken
    #[arg(long, env = "RELAY_URL")]
    pub url: Option<String>,
    /// Only these groups of checks
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Group>,
    /// Mails a day the plan allows each account, 0: no cap; otherwise NYLAS_DAILY_CAP, or 200 as on the free plan
    #[arg(long)]
    pub daily_cap: Option<u64>,
    /// Clerk's API
    #[arg(
        long,
        env = "CLERK_API_BASE",
        default_value = "https://api.clerk.com",
        hide_default_value = true
    )]
    pub clerk_base: String,
    /// The other region of Nylas' (for tests)
    #[arg(long, env = "RELAYCTL_OTHER_REGION", hide = true)]
    pub other_region: Option<String>,
    /// Where names are looked up (DNS over HTTPS, as JSON)
    #[arg(
        long,
        env = "RELAYCTL_DNS",
        default_value = "https://cloudflare-dns.com/dns-query"
    )]
    pub dns: String,
    /// The DKIM selector Nylas' dashboard shows for the domain
    #[arg(long, value_name = "SELECTOR")]
    pub dkim_selector: Option<String>,
    /// Treats warnings as failures (exit code 1)
    #[arg(long)]
    pub strict: bool,
    /// Names every check and does none
    #[arg(long)]
    pub list: bool,
    /// Leaves out the secrets of .dev.vars, which setup does not deploy
    #[arg(skip)]
    pub without_dev_vars: bool,
}

/// A group of checks: the first word of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Group {
    /// wrangler.toml, .dev.vars, the environment
    Config,
    /// Clerk's API, with CLERK_SECRET_KEY
    Clerk,
    /// Nylas' API, with NYLAS_API_KEY
    Nylas,
    /// The deployed Worker
    Worker,
    /// The sender's domain
    Dns,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Could not be done, because something it needs is not known here.
    Skip,
    /// All well.
    Pass,
    /// Works, but look at it.
    Warn,
    /// Does not work.
    Fail,
}

impl State {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Of [`CHECKS`].
    pub id: &'static str,
    /// How it ended.
    pub state: State,
    /// What was seen.
    pub cause: String,
    /// What mends it; empty when all is well.
    pub fix: String,
}

impl Finding {
    fn document(&self) -> Value {
        json!({
            "id": self.id, "state": self.state.name(), "cause": self.cause, "fix": self.fix,
            "docs": format!("docs/doctor.md#{}", self.id),
        })
    }
}

pub(crate) fn pass(id: &'static str, cause: impl Into<String>) -> Finding {
    Finding {
        id,
        state: State::Pass,
        cause: cause.into(),
        fix: String::new(),
    }
}

pub(crate) fn skip(id: &'static str, cause: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding {
        id,
        state: State::Skip,
        cause: cause.into(),
        fix: fix.into(),
    }
}

pub(crate) fn warn(id: &'static str, cause: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding {
        id,
        state: State::Warn,
        cause: cause.into(),
        fix: fix.into(),
    }
}

pub(crate) fn fail(id: &'static str, cause: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding {
        id,
        state: State::Fail,
        cause: cause.into(),
        fix: fix.into(),
    }
}

/// Everything the checks know and learn.
pub struct Patient<'a> {
    /// How to ask.
    pub http: &'a Http,
    /// What was said on the command line.
    pub args: &'a DoctorArgs,
    /// `wrangler.toml`, or why there is none.
    pub project: Result<Project, Failure>,
    /// What is known of the secrets here.
    pub secrets: BTreeMap<&'static str, Found>,
    /// The relay's own judgement of the settings; secrets not known here count as right.
    pub problems: Vec<Problem>,
    /// The accounts configured.
    pub accounts: Vec<Account>,
    /// What Nylas says the accounts' addresses are.
    pub addresses: Vec<String>,
    /// The Worker's address, and how it is known.
    pub url: Option<(String, &'static str)>,
}

impl<'a> Patient<'a> {
    /// Reads what is on this machine.
    pub fn new(args: &'a DoctorArgs, http: &'a Http) -> Result<Self, Failure> {
        let project = Project::read(&args.folder).and_then(|found| {
            found.ok_or_else(|| {
                Failure::new(
                    format!("there is no wrangler.toml in {}", args.folder.display()),
                    "run it in the project's folder, or name that with --folder; `relayctl setup` writes one",
                )
            })
        });
        let mut known = BTreeMap::new();
        for name in SECRETS.into_iter().chain(["CLERK_SECRET_KEY"]) {
            let found = if args.without_dev_vars {
                secrets::from_environment(name)
            } else {
                secrets::find(name, None, &args.folder)?
            };
            if let Some(found) = found {
                known.insert(name, found);
            }
        }
        let bound = project.as_ref().map_or(
            Bound {
                ledger: true,
                outbox: true,
            },
            Project::bound,
        );
        let placeholder = sign::random_secret()?;
        let setting = |name: &str| match (known.get(name), name) {
            (Some(found), _) => Some(found.secret.reveal().to_owned()),
            // Not known here is not the same as missing: the Worker may have it.
            (None, "CLERK_WEBHOOK_SIGNING_SECRET") => Some(placeholder.clone()),
            (None, "NYLAS_API_KEY") => Some("not-known-here".to_owned()),
            (None, "REPLY_WEBHOOK_SECRET") => {
                variable(project.as_ref().ok(), "REPLY_WEBHOOK_URL").map(|_| placeholder.clone())
            }
            (None, _) => variable(project.as_ref().ok(), name),
        };
        let problems = Config::read(setting, bound).err().unwrap_or_default();
        // The accounts even where another setting is wrong.
        let only_accounts = |name: &str| match name {
            "NYLAS_GRANT_ID" | "NYLAS_ACCOUNTS" | "NYLAS_FROM_NAME" => setting(name),
            "CLERK_WEBHOOK_SIGNING_SECRET" => Some(placeholder.clone()),
            "NYLAS_API_KEY" => Some("not-known-here".to_owned()),
            _ => None,
        };
        let accounts = Config::read(
            only_accounts,
            Bound {
                ledger: true,
                outbox: true,
            },
        )
        .map(|config| config.accounts)
        .unwrap_or_default();
        let url = args
            .url
            .as_deref()
            .map(|url| (crate::http::relay_base(url).to_owned(), "as given"));
        Ok(Self {
            http,
            args,
            project,
            secrets: known,
            problems,
            accounts,
            addresses: Vec::new(),
            url,
        })
    }

    /// A variable, from the environment or `wrangler.toml`.
    pub fn variable(&self, name: &str) -> Option<String> {
        variable(self.project.as_ref().ok(), name)
    }

    fn secret(&self, name: &str) -> Option<&str> {
        self.secrets.get(name).map(|found| found.secret.reveal())
    }

    /// The domains mails are sent from.
    fn domains(&self) -> Vec<String> {
        let mut domains: Vec<String> = self
            .addresses
            .iter()
            .filter_map(|address| address.rsplit_once('@'))
            .map(|(_, domain)| domain.to_lowercase())
            .collect();
        domains.sort();
        domains.dedup();
        domains
    }
}

/// A variable, from the environment or `wrangler.toml`.
pub fn variable(project: Option<&Project>, name: &str) -> Option<String> {
    let from_environment = std::env::var(name)
        .ok()
        .filter(|value| !value.trim().is_empty());
    from_environment.or_else(|| project?.var(name))
}

/// All findings, in the order of [`CHECKS`].
pub fn examine(args: &DoctorArgs, http: &Http, ui: &Ui) -> Result<Vec<Finding>, Failure> {
    let mut patient = Patient::new(args, http)?;
    let wanted = |group: Group| args.only.is_empty() || args.only.contains(&group);
    let mut findings = Vec::new();
    if wanted(Group::Config) {
        findings.extend(config::checks(&patient));
    }
    // The others need what Nylas says of the accounts, so it is asked in any case.
    let needs_nylas = [Group::Nylas, Group::Clerk, Group::Worker, Group::Dns]
        .into_iter()
        .any(wanted);
    if needs_nylas {
        ui.note("asking Nylas ...");
        let found = nylas::checks(&mut patient);
        if wanted(Group::Nylas) {
            findings.extend(found);
        }
    }
    if wanted(Group::Clerk) {
        ui.note("asking Clerk ...");
        findings.extend(clerk::checks(&patient));
    }
    if wanted(Group::Worker) {
        ui.note("asking the Worker ...");
        findings.extend(worker::checks(&patient));
    }
    if wanted(Group::Dns) {
        ui.note("looking up names ...");
        findings.extend(dns::checks(&patient));
    }
    findings.sort_by_key(|finding| CHECKS.iter().position(|(id, _)| *id == finding.id));
    Ok(findings)
}

/// Runs `doctor`; whether nothing failed.
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

/// Prints findings; whether all is well.
pub fn report(findings: &[Finding], strict: bool, ui: &Ui) -> bool {
    let mut group = "";
    for finding in findings {
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

/// Texts with commas between, at most so many.
pub(crate) fn some_of<Text: AsRef<str>>(texts: &[Text], at_most: usize) -> String {
    let shown: Vec<&str> = texts.iter().take(at_most).map(AsRef::as_ref).collect();
    match texts.len().saturating_sub(at_most) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
