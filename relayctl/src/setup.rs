//! `relayctl setup`: from empty accounts to a working relay.
//!
//! Each step first looks at what exists at Nylas, Cloudflare and in the folder. It stores no progress of its own, so it
//! can be run again at any time and resumes where it stopped.
//!
//! The secrets that it stores at Cloudflare come from the environment or are typed. They never come from `.dev.vars`,
//! because secrets for development may be known to anybody.

use crate::{
    clock::{self, Stopwatch},
    doctor::{self, DoctorArgs, State},
    failure::Failure,
    http::{Ask, Http, check_given, is_private, list, relay_base, text},
    nylas::{Nylas, REGIONS, TRIGGERS, WEBHOOK_PATH, base, missing_triggers, ok, said},
    places::place,
    project::{Project, Settings},
    protection::{self, POLICY, Protection, SUMMARY},
    secrets::{self, Found},
    sign::Signer,
    smtp,
    templates::{
        self,
        guided::{self, Guided},
    },
    trigger,
    ui::{BOLD, DIM, GOOD, Ui, WARN},
    wrangler::Wrangler,
};
use clap::{Args, ValueEnum};
use clerk_nylas_relay::{
    config::{CLERK_SECRET_PENDING, NYLAS_API_BASE_DEFAULT, is_nylas_local},
    model::secret::Secret,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

/// The template of a new `wrangler.toml`.
const WRANGLER_TOML: &str = include_str!("../../wrangler.toml");
/// What a dry run adds where it could not look.
const UNSEEN: &str = " (not looked: wrangler is not logged in)";
const UNSEEN_AT_NYLAS: &str = " (not looked: NYLAS_API_KEY is not known)";
/// How long Cloudflare may take to bring a change to the Worker that answers.
const PROPAGATION: Duration = Duration::from_secs(45);
/// The setting that holds Clerk's signing secret.
const CLERK_SECRET: &str = "CLERK_WEBHOOK_SIGNING_SECRET";
/// The setting that says where alerts go.
const ALERTS: &str = "ALERT_WEBHOOK_URL";
/// The setting that holds the key to Clerk's API.
const CLERK_KEY: &str = "CLERK_SECRET_KEY";

/// The arguments of `setup`. It asks for whatever else it needs.
#[derive(Args, Clone, Debug)]
pub struct SetupArgs {
    /// The folder of wrangler.toml, which is written where it is missing
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub folder: PathBuf,
    /// Only these steps
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STEP")]
    pub only: Vec<Step>,
    /// Shows what would be done, and does nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Asks nothing: what is needed comes from options and the environment
    #[arg(long, short)]
    pub yes: bool,
    /// The Agent Account's address; several for several accounts
    #[arg(long, env = "NYLAS_EMAIL", value_delimiter = ',')]
    pub email: Vec<String>,
    /// The display name in From
    #[arg(long, env = "NYLAS_FROM_NAME")]
    pub from_name: Option<String>,
    /// Where Nylas is: us, eu, or an address
    #[arg(long, env = "NYLAS_API_BASE")]
    pub region: Option<String>,
    /// The Worker's address, where it is not the one wrangler prints (a domain of your own)
    #[arg(long, env = "RELAY_URL")]
    pub url: Option<String>,
    /// An already built Worker (index.js), where the folder is not the project's
    #[arg(long, value_name = "FILE")]
    pub worker: Option<String>,
    /// Also sets ADMIN_TOKEN: from this file, which is written with a new token where it is missing
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// How wrangler is run
    #[arg(long, env = "RELAYCTL_WRANGLER", default_value = "npx wrangler")]
    pub wrangler: String,
    /// Clerk's API
    #[arg(
        long,
        env = "CLERK_API_BASE",
        default_value = "https://api.clerk.com",
        hide = true
    )]
    pub clerk_base: String,
    /// Where names are looked up
    #[arg(
        long,
        env = "RELAYCTL_DNS",
        default_value = "https://cloudflare-dns.com/dns-query",
        hide = true
    )]
    pub dns: String,
}

/// The steps, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Step {
    /// The Agent Account at Nylas: made, or found by its address
    Account,
    /// wrangler.toml: the account, Nylas' region, the display name
    Settings,
    /// The KV namespace for the ledger
    Storage,
    /// The queue and its dead letters
    Queues,
    /// The secrets the Worker does not have yet
    Secrets,
    /// The Worker, if it differs from the deployed one
    Deploy,
    /// Nylas' webhook to the Worker, and its secret
    Webhook,
    /// Limits for strangers' mail, at Nylas, for the account's whole workspace
    Protection,
    /// What to click in Clerk, and its signing secret
    Clerk,
    /// All checks
    Doctor,
    /// Clerk's templates: one first, its mail seen, then the others, asked each time
    Templates,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// Nothing had to be done.
    Unchanged(String),
    /// It was done.
    Changed(String),
    /// It would be done without `--dry-run`.
    Would(String),
    /// The operator has to do it.
    Yours(String),
}

struct Setup<'a> {
    args: &'a SetupArgs,
    http: &'a Http,
    ui: &'a Ui,
    wrangler: Wrangler,
    logged_in: bool,
    /// Grant id, address, name.
    accounts: Vec<(String, String, String)>,
    from_name: Option<String>,
    url: Option<String>,
    key: Option<Found>,
    /// This run stored [`CLERK_SECRET_PENDING`].
    clerk_secret_is_pending: bool,
}

/// Runs `setup`. Returns whether nothing is left to do.
pub fn run(args: &SetupArgs, http: &Http, ui: &Ui) -> Result<bool, Failure> {
    check_given(args.url.as_deref())?;
    let mut setup = Setup {
        args,
        http,
        ui,
        wrangler: Wrangler {
            program: args.wrangler.clone(),
            folder: args.folder.clone(),
        },
        logged_in: false,
        accounts: Vec::new(),
        from_name: args.from_name.clone(),
        url: args
            .url
            .as_deref()
            .filter(|url| !url.is_empty())
            .map(|url| relay_base(url).to_owned()),
        key: None,
        clerk_secret_is_pending: false,
    };
    let (mut done, mut complete) = (Vec::new(), true);
    for step in Step::value_variants() {
        if !args.only.is_empty() && !args.only.contains(step) {
            continue;
        }
        let name = step
            .to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned());
        let outcome = match step {
            Step::Account => setup.account(),
            Step::Settings => setup.settings(),
            Step::Storage => setup.storage(),
            Step::Queues => setup.queues(),
            Step::Secrets => setup.secrets(),
            Step::Deploy => setup.deploy(),
            Step::Webhook => setup.webhook(),
            Step::Protection => setup.protection(),
            Step::Clerk => setup.clerk(),
            Step::Doctor => setup.doctor(),
            Step::Templates => setup.templates(complete),
        };
        let outcome = outcome.map_err(|failure| Failure {
            message: format!("step {name}: {}", failure.message),
            ..failure
        })?;
        let (style, word, says) = match &outcome {
            Outcome::Unchanged(says) => (GOOD, "as it should be", says),
            Outcome::Changed(says) => (GOOD, "done", says),
            Outcome::Would(says) => (WARN, "would be done", says),
            Outcome::Yours(says) => (WARN, "yours to do", says),
        };
        complete &= !matches!(outcome, Outcome::Yours(_));
        ui.line(format!(
            "{style}{word:<16}{style:#}{BOLD}{name}{BOLD:#}: {says}"
        ));
        let state = match outcome {
            Outcome::Unchanged(_) => "unchanged",
            Outcome::Changed(_) => "changed",
            Outcome::Would(_) => "would_change",
            Outcome::Yours(_) => "yours",
        };
        done.push(json!({"step": name, "state": state, "says": says}));
    }
    ui.document(&json!({"ok": complete, "url": setup.url, "steps": done}));
    Ok(complete)
}

impl Setup<'_> {
    fn can_ask(&self) -> bool {
        !self.args.yes && self.ui.can_ask()
    }

    fn question(&self, question: &str, missing: &str, fix: &str) -> Result<String, Failure> {
        if !self.can_ask() {
            return Err(Failure::usage(missing, fix));
        }
        typed(question).ok_or_else(|| Failure::usage(missing, fix))
    }

    fn api_key(&self) -> Result<Found, Failure> {
        const NAME: &str = "NYLAS_API_KEY";
        if let Some(found) = secrets::from_environment(NAME) {
            return Ok(found);
        }
        let asked = if self.can_ask() {
            secrets::ask(&format!("Nylas' API key ({})", place(NAME)), NAME)?
        } else {
            None
        };
        asked.map(Found::typed).ok_or_else(|| {
            Failure::usage(
                format!("{NAME} is not known"),
                format!(
                    "{}. Put it into the environment variable {NAME} (setup does not read .dev.vars: it holds secrets \
                     for development), and run setup again; what is done stays done",
                    place(NAME)
                ),
            )
        })
    }

    /// Reads Clerk's signing secret. A published one is refused, unless Nylas is a stand-in on this machine.
    fn clerk_signer(&self, secret: &Secret, from: &str) -> Result<Signer, Failure> {
        let api_base = self.api_base(self.project()?.as_ref())?;
        let signers = Signer::parse_all(secret.reveal(), from)?;
        if !is_nylas_local(&api_base) && signers.iter().any(|signer| signer.secret.is_public()) {
            return Err(Failure::usage(
                format!(
                    "the signing secret from {from} is a published example: \
                     with it, anybody could have mails sent in your name"
                ),
                format!("give the one of your own endpoint: {}", place(CLERK_SECRET)),
            ));
        }
        Signer::parse(secret.reveal(), from)
    }

    fn project(&self) -> Result<Option<Project>, Failure> {
        Project::read(&self.args.folder)
    }

    fn existing_project(&self) -> Result<Project, Failure> {
        self.project()?.ok_or_else(|| {
            Failure::new(
                format!(
                    "there is no wrangler.toml in {}",
                    self.args.folder.display()
                ),
                "`relayctl setup --only settings` writes it",
            )
        })
    }

    /// Whether Cloudflare can be asked. A dry run goes on without it, and says that it has not looked.
    fn may_look(&mut self) -> Result<bool, Failure> {
        match self.login() {
            Ok(()) => Ok(true),
            Err(_) if self.args.dry_run => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Whether this is a dry run that cannot ask Nylas.
    fn has_no_key(&self) -> bool {
        self.args.dry_run
            && self.key.is_none()
            && !self.can_ask()
            && secrets::from_environment("NYLAS_API_KEY").is_none()
    }

    fn login(&mut self) -> Result<(), Failure> {
        if !self.logged_in {
            self.wrangler.check_login()?;
            self.logged_in = true;
        }
        Ok(())
    }

    fn api_base(&self, project: Option<&Project>) -> Result<String, Failure> {
        let given = match self.args.region.as_deref() {
            Some(region) => {
                let known = REGIONS
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(region));
                Some(known.map_or(region, |(_, address)| address).to_owned())
            }
            None => project.and_then(|project| project.var("NYLAS_API_BASE")),
        };
        let wanted = given.unwrap_or_else(|| NYLAS_API_BASE_DEFAULT.to_owned());
        base(&wanted).ok_or_else(|| {
            Failure::usage(
                format!("{wanted} is neither a region nor an address the relay accepts"),
                "--region us, --region eu",
            )
        })
    }

    fn nylas(&mut self) -> Result<Nylas<'_>, Failure> {
        let base = self.api_base(self.project()?.as_ref())?;
        let key = match &self.key {
            Some(key) => key.clone(),
            None => self.api_key()?,
        };
        self.key = Some(key.clone());
        Ok(Nylas::new(self.http, base, key))
    }

    /// The configured grant ids.
    fn configured(project: Option<&Project>) -> Vec<String> {
        let Some(project) = project else {
            return Vec::new();
        };
        if let Some(grant_id) = project.var("NYLAS_GRANT_ID") {
            return vec![grant_id];
        }
        let accounts = project
            .var("NYLAS_ACCOUNTS")
            .and_then(|text| serde_json::from_str::<Value>(&text).ok());
        let accounts = accounts.unwrap_or_default();
        list(&accounts, "")
            .iter()
            .map(|account| text(account, "/grant_id").to_owned())
            .collect()
    }

    fn account(&mut self) -> Result<Outcome, Failure> {
        if self.has_no_key() {
            let emails = self.args.email.join(", ");
            let named = if emails.is_empty() {
                "the address you name (--email)"
            } else {
                &emails
            };
            return Ok(Outcome::Would(format!(
                "POST /v3/connect/custom for {named}; an account that exists is kept{UNSEEN_AT_NYLAS}"
            )));
        }
        let configured = Self::configured(self.project()?.as_ref());
        let mut emails = self.args.email.clone();
        emails.retain(|email| !email.trim().is_empty());
        let mut known = Vec::new();
        {
            let nylas = self.nylas()?;
            for id in &configured {
                let reply = nylas.grant(id)?;
                if reply.code == 404 {
                    continue;
                }
                ok(&reply)?;
                let grant = reply.json();
                known.push((
                    id.clone(),
                    text(&grant, "/data/email").to_owned(),
                    text(&grant, "/data/name").to_owned(),
                ));
            }
        }
        emails.retain(|email| {
            !known
                .iter()
                .any(|(_, address, _)| address.eq_ignore_ascii_case(email))
        });
        if emails.is_empty() && !known.is_empty() {
            let shown: Vec<&str> = known
                .iter()
                .map(|(_, address, _)| address.as_str())
                .collect();
            let says = format!("{} at Nylas", shown.join(", "));
            self.accounts = known;
            return Ok(Outcome::Unchanged(says));
        }
        if emails.is_empty() {
            let place = place("NYLAS_EMAIL");
            emails.push(self.question(
                &format!("The address your mails come from ({place})"),
                "the Agent Account's address is not known",
                &format!("--email login@mail.example.com ({place})"),
            )?);
            if self.from_name.is_none() {
                self.from_name = typed("The name they come from, as \"Acme\" (Enter: none)");
            }
        }
        let name = self.from_name.clone();
        if self.args.dry_run {
            self.accounts = known;
            let each = emails.iter().map(|email| {
                (
                    String::new(),
                    email.clone(),
                    name.clone().unwrap_or_default(),
                )
            });
            self.accounts.extend(each);
            return Ok(Outcome::Would(format!(
                "POST /v3/connect/custom for {}; an account that exists is kept",
                emails.join(", ")
            )));
        }
        let mut made = Vec::new();
        {
            let nylas = self.nylas()?;
            for email in &emails {
                let grant = nylas.create_account(email, name.as_deref())?;
                let id = text(&grant, "/id");
                if id.is_empty() {
                    return Err(Failure::new(
                        "Nylas gave no grant id",
                        format!("look into {}", place("NYLAS_GRANT_ID")),
                    ));
                }
                made.push((
                    id.to_owned(),
                    text(&grant, "/email").to_owned(),
                    text(&grant, "/name").to_owned(),
                ));
            }
        }
        known.extend(made);
        self.accounts = known;
        Ok(Outcome::Changed(format!("{} at Nylas", emails.join(", "))))
    }

    /// Finds out the accounts, if the step for them was not run.
    fn need_accounts(&mut self) -> Result<(), Failure> {
        if self.accounts.is_empty() {
            self.account()?;
        }
        Ok(())
    }

    fn settings(&mut self) -> Result<Outcome, Failure> {
        self.need_accounts()?;
        let existing = self.project()?;
        let api_base = self.api_base(existing.as_ref())?;
        let is_new = existing.is_none();
        let mut project = match existing {
            Some(project) => project,
            None => Project::parse(self.args.folder.join("wrangler.toml"), WRANGLER_TOML)?,
        };
        let before = project.text();
        if let Some(worker) = &self.args.worker {
            if project.main() != worker || project.is_built_by_wrangler() {
                project.use_built(worker);
            }
        } else if is_new && !self.args.folder.join("scripts/build").exists() {
            project.use_built("index.js");
        }
        let mut set = Vec::new();
        let mut change = |name: &str, value: Option<&str>| {
            if project.set_var(name, value) {
                set.push(format!("{name}={}", value.unwrap_or_default()));
            }
        };
        change("NYLAS_API_BASE", Some(&api_base));
        match self.accounts.as_slice() {
            [] => {}
            [(id, _, name)] => {
                change("NYLAS_GRANT_ID", Some(id));
                change("NYLAS_ACCOUNTS", None);
                if let Some(wanted) = self.from_name.as_deref().filter(|wanted| wanted != name) {
                    change("NYLAS_FROM_NAME", Some(wanted));
                }
            }
            several => {
                let from_name = self.from_name.as_deref();
                let accounts: Vec<Value> = several
                    .iter()
                    .map(|(id, email, name)| {
                        let name = from_name.unwrap_or(name);
                        if name.is_empty() {
                            json!({"grant_id": id, "email": email})
                        } else {
                            json!({"grant_id": id, "email": email, "name": name})
                        }
                    })
                    .collect();
                change("NYLAS_GRANT_ID", None);
                change("NYLAS_ACCOUNTS", Some(&Value::Array(accounts).to_string()));
            }
        }
        if !is_new && project.text() == before {
            return Ok(Outcome::Unchanged("wrangler.toml".to_owned()));
        }
        let verb = if is_new {
            "a new wrangler.toml"
        } else {
            "wrangler.toml"
        };
        let says = if set.is_empty() {
            verb.to_owned()
        } else {
            format!("{verb}: {}", set.join(", "))
        };
        if self.args.dry_run {
            return Ok(Outcome::Would(says));
        }
        if is_new {
            fs::create_dir_all(&self.args.folder).map_err(|error| {
                Failure::new(
                    format!("the folder cannot be made: {error}"),
                    "check its permissions",
                )
            })?;
        }
        project.write()?;
        Ok(Outcome::Changed(says))
    }

    fn storage(&mut self) -> Result<Outcome, Failure> {
        let planned =
            |args: &SetupArgs, project: Option<Project>| -> Result<Option<Project>, Failure> {
                match project {
                    Some(project) => Ok(Some(project)),
                    None if args.dry_run => Ok(None),
                    None => Err(Failure::new(
                        "there is no wrangler.toml",
                        "`relayctl setup --only settings` writes it",
                    )),
                }
            };
        let Some(mut project) = planned(self.args, self.project()?)? else {
            return Ok(Outcome::Would(
                "wrangler kv namespace create clerk-nylas-relay-ledger".to_owned(),
            ));
        };
        let title = format!("{}-ledger", project.name());
        if !self.may_look()? {
            return Ok(Outcome::Would(format!(
                "wrangler kv namespace create {title}, unless it exists{UNSEEN}"
            )));
        }
        let id_of = |all: &Value, wanted: &dyn Fn(&Value) -> bool| {
            list(all, "")
                .iter()
                .find(|namespace| wanted(namespace))
                .map(|namespace| text(namespace, "/id").to_owned())
        };
        let known = project.namespace("LEDGER").unwrap_or_default();
        let all = self.wrangler.json(&["kv", "namespace", "list"])?;
        if !known.is_empty() {
            return match id_of(&all, &|namespace| text(namespace, "/id") == known) {
                Some(_) => Ok(Outcome::Unchanged("the KV namespace LEDGER".to_owned())),
                None => Err(Failure::new(
                    format!(
                        "wrangler.toml binds LEDGER to a namespace {known} that this Cloudflare account does not have"
                    ),
                    "take the id out of wrangler.toml and run this again, or log in to the right account",
                )),
            };
        }
        let named = |namespace: &Value| text(namespace, "/title").eq_ignore_ascii_case(&title);
        let (id, made) = match id_of(&all, &named) {
            Some(id) => (id, false),
            None if self.args.dry_run => {
                return Ok(Outcome::Would(format!(
                    "wrangler kv namespace create {title}, its id into wrangler.toml"
                )));
            }
            None => {
                self.wrangler
                    .run(&["kv", "namespace", "create", &title], None)?;
                let all = self.wrangler.json(&["kv", "namespace", "list"])?;
                let id = id_of(&all, &named).ok_or_else(|| {
                    Failure::new(
                        format!("the namespace {title} was made and is not listed"),
                        "run it again in a minute",
                    )
                })?;
                (id, true)
            }
        };
        if self.args.dry_run {
            return Ok(Outcome::Would(format!(
                "the id of {title} into wrangler.toml"
            )));
        }
        project.set_namespace("LEDGER", &id);
        project.write()?;
        Ok(Outcome::Changed(format!(
            "KV namespace {title}{}, bound as LEDGER",
            if made { ", made" } else { "" }
        )))
    }

    fn queues(&mut self) -> Result<Outcome, Failure> {
        let names = match self.project()? {
            Some(project) => project.queues(),
            None => Project::parse(PathBuf::new(), WRANGLER_TOML)?.queues(),
        };
        if names.is_empty() {
            return Ok(Outcome::Unchanged(
                "wrangler.toml names no queue".to_owned(),
            ));
        }
        if !self.may_look()? {
            return Ok(Outcome::Would(format!(
                "wrangler queues create {}, those that do not exist{UNSEEN}",
                names.join(" and ")
            )));
        }
        let mut missing = Vec::new();
        for name in &names {
            let command = ["queues", "info", name];
            let info = self.wrangler.try_run(&command, None)?;
            if info.ok {
                continue;
            }
            if !info.says("does not exist") {
                info.checked(&command)?;
            }
            missing.push(name.as_str());
        }
        if missing.is_empty() {
            return Ok(Outcome::Unchanged(names.join(", ")));
        }
        if self.args.dry_run {
            return Ok(Outcome::Would(format!(
                "wrangler queues create {}",
                missing.join(" and ")
            )));
        }
        for name in &missing {
            self.wrangler.run(&["queues", "create", name], None)?;
        }
        Ok(Outcome::Changed(format!("{}, made", missing.join(", "))))
    }

    /// The names of the secrets that the Worker has. Without a Worker there are none.
    fn stored(&mut self) -> Result<Vec<String>, Failure> {
        if !self.may_look()? {
            return Ok(Vec::new());
        }
        let command = ["secret", "list", "--format", "json"];
        let printed = self.wrangler.try_run(&command, None)?;
        let no_worker = ["10007", "not found", "does not exist"];
        if !printed.ok && no_worker.iter().any(|words| printed.says(words)) {
            return Ok(Vec::new());
        }
        let stored = printed.checked_json(&command)?;
        Ok(list(&stored, "")
            .iter()
            .map(|secret| text(secret, "/name").to_owned())
            .collect())
    }

    fn secrets(&mut self) -> Result<Outcome, Failure> {
        if !self.args.dry_run {
            self.existing_project()?;
        }
        let stored = if self.project()?.is_some() {
            self.stored()?
        } else {
            Vec::new()
        };
        let has = |name: &str| stored.iter().any(|stored| stored == name);
        let mut wanted = vec!["NYLAS_API_KEY", CLERK_SECRET];
        // Offered at the first set-up, and to whoever asks for this step.
        let offers = !has("NYLAS_API_KEY") || self.args.only.contains(&Step::Secrets);
        let token_file = self.wanted_token(offers && !has("ADMIN_TOKEN"));
        let alerts = self.wanted_alerts(offers && !has(ALERTS))?;
        if token_file.is_some() {
            wanted.push("ADMIN_TOKEN");
        }
        if alerts.is_some() {
            wanted.push(ALERTS);
        }
        // With it the Worker hands templates back to Clerk while no account sends.
        let clerk_key = secrets::from_environment(CLERK_KEY);
        if clerk_key.is_some() {
            wanted.push(CLERK_KEY);
        }
        let project = self.project()?;
        if project.is_some_and(|project| project.var("SMTP_HOST").is_some()) {
            wanted.push("SMTP_PASSWORD");
        }
        wanted.retain(|name| !has(name));
        let clerk = secrets::from_environment(CLERK_SECRET);
        if let Some(found) = &clerk {
            self.clerk_signer(&found.secret, &found.from)?;
        }
        if wanted.is_empty() {
            return Ok(Outcome::Unchanged(format!(
                "the Worker has {}",
                stored.join(", ")
            )));
        }
        if self.args.dry_run {
            let unseen = if self.logged_in { "" } else { UNSEEN };
            return Ok(Outcome::Would(format!(
                "wrangler secret bulk: {}{unseen}",
                wanted.join(", ")
            )));
        }
        let mut values = serde_json::Map::new();
        for name in wanted {
            let value = match name {
                "NYLAS_API_KEY" => self.nylas()?.key.reveal().to_owned(),
                "SMTP_PASSWORD" => {
                    self.need_accounts()?;
                    let accounts = self.accounts.clone();
                    let passwords = smtp::renew_passwords(&self.nylas()?, &accounts)?;
                    passwords.reveal().to_owned()
                }
                "ADMIN_TOKEN" => admin_token(token_file.as_deref())?,
                ALERTS => alerts
                    .as_ref()
                    .map_or_else(String::new, |address| address.reveal().to_owned()),
                CLERK_KEY => clerk_key
                    .as_ref()
                    .map_or_else(String::new, |found| found.secret.reveal().to_owned()),
                _ => match &clerk {
                    Some(found) => found.secret.reveal().to_owned(),
                    // A deployment needs a value. This one makes the Worker refuse every request and say why. A
                    // random one would look like a real secret.
                    None => {
                        self.clerk_secret_is_pending = true;
                        CLERK_SECRET_PENDING.to_owned()
                    }
                },
            };
            values.insert(name.to_owned(), json!(value));
        }
        let names: Vec<String> = values.keys().cloned().collect();
        self.wrangler.run(
            &["secret", "bulk"],
            Some(&Value::Object(values).to_string()),
        )?;
        let pending = if self.clerk_secret_is_pending {
            " (Clerk's is still to come, in step clerk; until then the Worker sends no mail)"
        } else {
            ""
        };
        Ok(Outcome::Changed(format!(
            "{} stored at Cloudflare{pending}",
            names.join(", ")
        )))
    }

    /// The file of the operator's token: the one named, or a new one if whoever is asked wants the operator's page.
    fn wanted_token(&self, offers: bool) -> Option<PathBuf> {
        if self.args.admin_token_file.is_some() {
            return self.args.admin_token_file.clone();
        }
        if !offers || self.args.dry_run || !self.can_ask() {
            return None;
        }
        let file = self.args.folder.join("admin-token");
        let question = format!(
            "A token (ADMIN_TOKEN) for the operator's page /admin and for relayctl status, list, redrive? It goes to \
             Cloudflare, and into {} for you (Enter: yes; no)",
            file.display()
        );
        let is_refused =
            typed(&question).is_some_and(|answer| answer.to_ascii_lowercase().starts_with('n'));
        (!is_refused).then_some(file)
    }

    /// Where alerts go: from the environment, or asked.
    fn wanted_alerts(&self, offers: bool) -> Result<Option<Secret>, Failure> {
        let address = match secrets::from_environment(ALERTS) {
            Some(found) => Some(found.secret),
            None if !offers || self.args.dry_run || !self.can_ask() => None,
            None => secrets::ask(
                &format!(
                    "Where alerts go ({ALERTS}): the address of an incoming webhook, of your own or of a chat ({}; \
                     Enter: nowhere for now)",
                    place(ALERTS)
                ),
                ALERTS,
            )?,
        };
        match address {
            Some(address) if !is_private(address.reveal()) => Err(Failure::usage(
                format!("{ALERTS} is no https address"),
                place(ALERTS),
            )),
            address => Ok(address),
        }
    }

    fn deploy(&mut self) -> Result<Outcome, Failure> {
        let Some(project) = self.project()? else {
            if self.args.dry_run {
                return Ok(Outcome::Would("wrangler deploy".to_owned()));
            }
            self.existing_project()?;
            return Ok(Outcome::Unchanged(String::new()));
        };
        let main = self.args.folder.join(project.main());
        if !project.is_built_by_wrangler() && !main.exists() && !self.args.dry_run {
            return Err(Failure::new(
                format!("there is no built Worker at {}", main.display()),
                "unpack a release into the folder, or name its index.js with --worker; or work in the project's own \
                 folder",
            ));
        }
        let tag = fingerprint(&self.args.folder, &project);
        if !self.may_look()? {
            return Ok(Outcome::Would(format!(
                "wrangler deploy, unless this version runs{UNSEEN}"
            )));
        }
        if self.deployed_tag()?.as_deref() == Some(&tag) {
            if self.args.dry_run {
                return Ok(Outcome::Unchanged(format!("version {tag}")));
            }
            // An earlier deployment may have stored its code and failed before its queues, schedule and address.
            let printed = self.wrangler.run(&["triggers", "deploy"], None)?;
            self.take_url(&printed.out);
            if let Some(url) = &self.url {
                return Ok(Outcome::Unchanged(format!("{url}, version {tag}")));
            }
        }
        if self.args.dry_run {
            return Ok(Outcome::Would("wrangler deploy".to_owned()));
        }
        self.ui
            .note("deploying; the first time this compiles, which takes minutes ...");
        let printed = self.wrangler.run(
            &["deploy", "--tag", &tag, "--message", "relayctl setup"],
            None,
        )?;
        self.take_url(&printed.out);
        match &self.url {
            Some(url) => Ok(Outcome::Changed(url.clone())),
            None => Err(Failure::new(
                "wrangler deployed the Worker and printed no address",
                "give it a route or a workers.dev address, and name it with --url",
            )),
        }
    }

    /// The tag of the running version. A version made by a change of secrets has the tag of the one before.
    fn deployed_tag(&self) -> Result<Option<String>, Failure> {
        // wrangler prints no list if there is no Worker yet.
        let list_of = |args: &[&str]| -> Result<Value, Failure> {
            let printed = self.wrangler.try_run(args, None)?;
            Ok(printed.json().unwrap_or_default())
        };
        let deployments = list_of(&["deployments", "list", "--json"])?;
        let Some(last) = list(&deployments, "").last() else {
            return Ok(None);
        };
        let runs = text(last, "/versions/0/version_id");
        let versions = list_of(&["versions", "list", "--json"])?;
        let versions = list(&versions, "").iter().rev();
        let mut since = versions.skip_while(|version| text(version, "/id") != runs);
        Ok(since
            .find(|version| !text(version, "/annotations/workers~1tag").is_empty())
            .map(|version| text(version, "/annotations/workers~1tag").to_owned()))
    }

    /// Takes the address that wrangler printed, unless the operator gave one.
    fn take_url(&mut self, printed: &str) {
        let mut lines = printed
            .lines()
            .skip_while(|line| !line.contains("Deployed "))
            .map(str::trim);
        let first_word = |line: &str| line.split_whitespace().next().map(str::to_owned);
        let found = lines.find_map(|line| first_word(line).filter(|url| is_private(url)));
        if let (None, Some(url)) = (&self.url, found) {
            self.url = Some(relay_base(&url).to_owned());
        }
    }

    fn url_from_webhook(&mut self) -> Result<Option<String>, Failure> {
        let webhooks = self.nylas()?.webhooks()?;
        let mut ours = webhooks
            .iter()
            .map(|webhook| text(webhook, "/webhook_url"))
            .filter_map(|url| url.strip_suffix(WEBHOOK_PATH));
        Ok(match (ours.next(), ours.next()) {
            (Some(only), None) => Some(only.to_owned()),
            _ => None,
        })
    }

    fn need_url(&mut self) -> Result<String, Failure> {
        if self.url.is_none() {
            self.url = self.url_from_webhook()?;
        }
        self.url.clone().ok_or_else(|| {
            Failure::usage(
                "the Worker's address is not known",
                "run the step deploy as well, or name it with --url",
            )
        })
    }

    fn webhook(&mut self) -> Result<Outcome, Failure> {
        let unseen = if self.has_no_key() {
            UNSEEN_AT_NYLAS
        } else {
            ""
        };
        let is_unseen = !unseen.is_empty();
        if self.args.dry_run
            && (is_unseen || (self.url.is_none() && self.url_from_webhook()?.is_none()))
        {
            return Ok(Outcome::Would(format!(
                "POST /v3/webhooks to the Worker's {WEBHOOK_PATH} ({}), its secret to Cloudflare{unseen}",
                TRIGGERS.join(", ")
            )));
        }
        let address = format!("{}{WEBHOOK_PATH}", self.need_url()?);
        let existing = self
            .nylas()?
            .webhooks()?
            .into_iter()
            .find(|webhook| text(webhook, "/webhook_url") == address);
        let stored = self
            .stored()?
            .iter()
            .any(|name| name == "NYLAS_WEBHOOK_SECRET");
        let fixed = match &existing {
            Some(webhook) => self.fix_webhook(webhook)?,
            None => None,
        };
        let secret = match (existing, stored) {
            (Some(_), true) => return Ok(fixed.unwrap_or(Outcome::Unchanged(address))),
            (Some(_), false) if self.args.dry_run => {
                return Ok(Outcome::Would(
                    "a new secret for Nylas' webhook, to Cloudflare".to_owned(),
                ));
            }
            (None, _) if self.args.dry_run => {
                return Ok(Outcome::Would(format!(
                    "POST /v3/webhooks to {address}, its secret to Cloudflare"
                )));
            }
            // An earlier run created the webhook and lost its secret.
            (Some(webhook), false) => {
                let path = format!("/v3/webhooks/rotate-secret/{}", text(&webhook, "/id"));
                let reply = self.nylas()?.post(&path, &json!({}))?;
                ok(&reply)?;
                text(&reply.json(), "/data/webhook_secret").to_owned()
            }
            (None, _) => self.create_webhook(&address)?,
        };
        if secret.is_empty() {
            return Err(Failure::new(
                "Nylas gave no secret for the webhook",
                "delete the webhook in Nylas' dashboard and run this step again",
            ));
        }
        self.wrangler
            .run(&["secret", "put", "NYLAS_WEBHOOK_SECRET"], Some(&secret))?;
        Ok(Outcome::Changed(format!(
            "{address}, its secret stored at Cloudflare"
        )))
    }

    /// Has Nylas limit what strangers send. At a terminal it is asked each time, until there is a policy.
    fn protection(&mut self) -> Result<Outcome, Failure> {
        self.need_accounts()?;
        let grants: Vec<String> = self.accounts.iter().map(|(id, ..)| id.clone()).collect();
        let would = format!("a policy {POLICY} at Nylas, on the account's workspace: {SUMMARY}");
        if self.has_no_key() {
            return Ok(Outcome::Would(format!("{would}{UNSEEN_AT_NYLAS}")));
        }
        if grants.iter().any(String::is_empty) {
            // In a dry run the account is not made.
            return Ok(Outcome::Would(would));
        }
        let (policy, workspaces) = match protection::look(&self.nylas()?, &grants)? {
            Protection::Settled(says) => return Ok(Outcome::Unchanged(says)),
            Protection::Missing { policy, workspaces } => (policy, workspaces),
        };
        if self.args.dry_run {
            return Ok(Outcome::Would(would));
        }
        if self.can_ask() {
            let question = format!(
                "May Nylas limit what strangers send you? {SUMMARY}. It holds for every Agent Account in the \
                 workspace, and docs/deploy.md says how to undo it (Enter: yes; no)"
            );
            if typed(&question).is_some_and(|answer| answer.to_ascii_lowercase().starts_with('n')) {
                return Ok(Outcome::Unchanged(
                    "no policy at Nylas, as you wish".to_owned(),
                ));
            }
        }
        protection::apply(&self.nylas()?, policy, &workspaces)?;
        Ok(Outcome::Changed(format!(
            "the policy {POLICY} at Nylas: {SUMMARY}"
        )))
    }

    /// Adds missing triggers and sets the webhook to active. Returns what was changed, if anything had to be.
    fn fix_webhook(&mut self, webhook: &Value) -> Result<Option<Outcome>, Failure> {
        let (missing, status) = (missing_triggers(webhook), text(webhook, "/status"));
        let mut says = Vec::new();
        if !missing.is_empty() {
            says.push(format!("triggers added: {}", missing.join(", ")));
        }
        if status != "active" {
            says.push(format!("set active, was {status}"));
        }
        if says.is_empty() {
            return Ok(None);
        }
        let says = says.join("; ");
        if self.args.dry_run {
            return Ok(Some(Outcome::Would(says)));
        }
        let mut triggers = list(webhook, "/trigger_types").to_vec();
        triggers.extend(missing.into_iter().map(Value::from));
        let path = format!("/v3/webhooks/{}", text(webhook, "/id"));
        let wanted = json!({"trigger_types": triggers, "status": "active"});
        ok(&self.nylas()?.put(&path, &wanted)?)?;
        Ok(Some(Outcome::Changed(says)))
    }

    fn create_webhook(&mut self, address: &str) -> Result<String, Failure> {
        let wanted = json!({
            "trigger_types": TRIGGERS, "webhook_url": address, "description": "clerk-nylas-relay",
        });
        let watch = Stopwatch::start();
        loop {
            let reply = self.nylas()?.post("/v3/webhooks", &wanted)?;
            if (200..300).contains(&reply.code) {
                return Ok(text(&reply.json(), "/data/webhook_secret").to_owned());
            }
            let unreachable = reply.code == 400 && said(&reply).contains("unable.verify");
            // A new Worker takes some seconds to be reachable everywhere.
            if !unreachable || watch.elapsed() > PROPAGATION || crate::http::is_loopback(address) {
                return Err(Failure::new(
                    format!("Nylas refused the webhook ({}){}", reply.code, said(&reply)),
                    if unreachable {
                        "Nylas could not reach the Worker: `relayctl doctor --only worker` shows whether you can"
                    } else {
                        "see the message"
                    },
                ));
            }
            self.ui
                .note("Nylas does not see the Worker yet; trying again ...");
            std::thread::sleep(Duration::from_secs(5));
        }
    }

    fn clerk(&mut self) -> Result<Outcome, Failure> {
        if self.args.dry_run {
            return Ok(Outcome::Would(
                "show what to click in Clerk, and store its signing secret".to_owned(),
            ));
        }
        let url = self.need_url()?;
        for line in [
            format!("\n{BOLD}In Clerk's dashboard (dashboard.clerk.com), in this order{BOLD:#}"),
            "  1. Configure, Webhooks, Add endpoint".to_owned(),
            format!("     Endpoint URL: {BOLD}{url}/api/webhooks/clerk{BOLD:#}"),
            "     Subscribe to events: email.created, and no other".to_owned(),
            "  2. On the endpoint's page, on the right: Signing Secret, the eye shows it, copy (whsec_...)".to_owned(),
            format!("  3. {DIM}When doctor is content:{DIM:#} relayctl trigger --url {url} --to \
                     {DIM}you@example.com{DIM:#}"),
            "     A sample with a made-up code arrives.".to_owned(),
            "  4. Customization, Emails, one template, e.g. Verification code:".to_owned(),
            "     \"Delivered by Clerk\" off. Sign in with a test user. Then the other templates."
                .to_owned(),
            format!(
                "     {DIM}The last step does that for you, if you give it Clerk's secret key.{DIM:#}\n"
            ),
        ] {
            self.ui.line(line);
        }
        let (secret, from) = match secrets::from_environment(CLERK_SECRET) {
            Some(found) => (found.secret, found.from),
            None => {
                let asked = if self.can_ask() {
                    let question = format!(
                        "The endpoint's signing secret ({}; Enter if you do not have it yet)",
                        place(CLERK_SECRET)
                    );
                    secrets::ask(&question, CLERK_SECRET)?
                } else {
                    None
                };
                match asked {
                    Some(secret) => (secret, "Clerk".to_owned()),
                    None => return Ok(Outcome::Yours(self.pending_clerk_secret(&url))),
                }
            }
        };
        let signer = self.clerk_signer(&secret, &from)?;
        if self.accepts(&url, &signer)? {
            return Ok(Outcome::Unchanged(
                "the Worker accepts Clerk's signing secret".to_owned(),
            ));
        }
        self.login()?;
        self.wrangler
            .run(&["secret", "put", CLERK_SECRET], Some(secret.reveal()))?;
        let watch = Stopwatch::start();
        while !self.accepts(&url, &signer)? {
            if watch.elapsed() > PROPAGATION {
                return Err(Failure::new(
                    "the signing secret is stored, and the Worker does not accept it yet",
                    "wait a minute and run this step again; `relayctl doctor --only worker` shows more",
                ));
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        Ok(Outcome::Changed(
            "the signing secret is stored at Cloudflare, and the Worker accepts it".to_owned(),
        ))
    }

    /// Takes templates from Clerk, with somebody at the terminal.
    fn templates(&mut self, is_complete: bool) -> Result<Outcome, Failure> {
        const BY_HAND: &str = "`relayctl templates take` has the relay deliver a template";
        if self.args.dry_run {
            return Ok(Outcome::Would(
                "take Clerk's templates, asked each time".to_owned(),
            ));
        }
        // While something above is left to do, the relay would send nothing.
        if !is_complete || !self.can_ask() {
            return Ok(Outcome::Unchanged(BY_HAND.to_owned()));
        }
        let key = match secrets::from_environment(CLERK_KEY) {
            Some(found) => Some(found),
            None => secrets::ask(
                &format!(
                    "Clerk's secret key ({}), to take templates one by one (Enter: not now)",
                    place(CLERK_KEY)
                ),
                CLERK_KEY,
            )?
            .map(Found::typed),
        };
        let Some(key) = key else {
            return Ok(Outcome::Unchanged(BY_HAND.to_owned()));
        };
        let url = self.need_url()?;
        templates::sends::health(self.http, &url)?;
        self.need_accounts()?;
        let grants: Vec<String> = self.accounts.iter().map(|(id, ..)| id.clone()).collect();
        templates::sends::accounts(&self.nylas()?, &grants)?;
        let clerk = templates::clerk::Clerk::new(self.http, &self.args.clerk_base, key)?;
        let project = self.project()?;
        let settings = Settings {
            project: project.as_ref(),
            dev_vars: None,
        };
        let filter = templates::Filter::read(settings);
        let is_relayed = |slug: &str| filter.is_relayed(slug);
        let ended = guided::take(&clerk, is_relayed, &mut typed, self.ui)?;
        Ok(match ended {
            Guided::Nothing => {
                Outcome::Unchanged("Clerk has none that the relay could take".to_owned())
            }
            Guided::Taken { taken, .. } if taken.is_empty() => {
                Outcome::Unchanged("none was taken, as you wish".to_owned())
            }
            Guided::Taken { taken, left } => Outcome::Changed(format!(
                "the relay delivers {}; {left} left with Clerk",
                taken.join(", ")
            )),
            Guided::NotSeen(slug) => Outcome::Yours(format!(
                "the mail of {slug} was not seen, so Clerk delivers it again: `relayctl status` shows what became of it"
            )),
        })
    }

    /// What the operator has to do if Clerk's signing secret was not given.
    fn pending_clerk_secret(&self, url: &str) -> String {
        let put = format!("`{} secret put {CLERK_SECRET}`", self.args.wrangler);
        let where_to = match self.args.folder.as_path() {
            here if here == Path::new(".") => "in this folder".to_owned(),
            folder => format!("in {}", folder.display()),
        };
        let again = format!("run this step again with {CLERK_SECRET} in the environment");
        if self.clerk_secret_is_pending || self.lacks_clerk_secret(url) {
            format!(
                "the Worker has no signing secret of Clerk's yet, and sends no mail until it has: \
                 do the above, then {put} {where_to}, or {again}"
            )
        } else {
            format!(
                "the Worker has a signing secret, and whether it is this endpoint's is not known here: \
                 {again}, or replace it with {put} {where_to}"
            )
        }
    }

    /// Whether the Worker reports that it has no usable signing secret.
    fn lacks_clerk_secret(&self, url: &str) -> bool {
        let health = self.http.call(&Ask::get(format!("{url}/health")));
        health.is_ok_and(|reply| {
            list(&reply.json(), "/settings")
                .iter()
                .any(|setting| text(setting, "/name") == CLERK_SECRET)
        })
    }

    /// Whether the Worker accepts an event with this signature. The relay ignores the event, so it sends no mail.
    fn accepts(&self, url: &str, signer: &Signer) -> Result<bool, Failure> {
        let probe = json!({"object": "event", "type": "relayctl.probe", "data": {}})
            .to_string()
            .into_bytes();
        let id = trigger::message_id()?;
        let ask: Ask = trigger::signed(
            &format!("{url}/api/webhooks/clerk"),
            signer,
            &id,
            clock::now(),
            probe,
        );
        Ok(self.http.call(&ask)?.code == 200)
    }

    fn doctor(&mut self) -> Result<Outcome, Failure> {
        if self.args.dry_run {
            return Ok(Outcome::Would("relayctl doctor".to_owned()));
        }
        let args = DoctorArgs {
            folder: self.args.folder.clone(),
            url: self.url.clone(),
            only: Vec::new(),
            daily_cap: None,
            clerk_base: self.args.clerk_base.clone(),
            other_region: None,
            dns: self.args.dns.clone(),
            dkim_selector: None,
            strict: false,
            list: false,
            without_dev_vars: true,
        };
        let findings = doctor::examine(&args, self.http, self.ui)?;
        // With `--json` a command prints one document, so `doctor` prints none of its own here.
        if !self.ui.json {
            doctor::report(&findings, false, self.ui);
        }
        let failed: Vec<&str> = findings
            .iter()
            .filter(|finding| finding.state == State::Fail)
            .map(|finding| finding.id)
            .collect();
        Ok(if failed.is_empty() {
            Outcome::Unchanged("nothing is wrong".to_owned())
        } else {
            Outcome::Yours(format!(
                "fix {} (`relayctl doctor` shows how)",
                failed.join(", ")
            ))
        })
    }
}

/// One line from the terminal, if anything is typed.
fn typed(question: &str) -> Option<String> {
    let _ = write!(anstream::stderr(), "{question}: ");
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed).ok()?;
    Some(typed.trim().to_owned()).filter(|typed| !typed.is_empty())
}

/// The token in that file. If there is none, writes a new one.
fn admin_token(file: Option<&Path>) -> Result<String, Failure> {
    let Some(file) = file else {
        return Err(Failure::usage(
            "ADMIN_TOKEN is not known",
            "--admin-token-file FILE",
        ));
    };
    match fs::read_to_string(file) {
        Ok(token) => {
            let token = Secret::new(token.trim());
            secrets::check_admin_token(&token, &file.display().to_string())?;
            Ok(token.reveal().to_owned())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let token = secrets::random_hex::<32>()?;
            secrets::write_new(file, &token)?;
            Ok(token)
        }
        Err(error) => Err(Failure::usage(
            format!("{} cannot be read: {error}", file.display()),
            "name a file that holds the token, or one that is not there yet",
        )),
    }
}

/// The tag of what would be deployed: a hash over the settings and the built Worker or its source.
fn fingerprint(folder: &Path, project: &Project) -> String {
    let mut hash = Sha256::new();
    hash.update(project.text());
    hash.update(env!("CARGO_PKG_VERSION"));
    let mut files = Vec::new();
    if project.is_built_by_wrangler() {
        files.push(folder.join("Cargo.lock"));
        collect(&folder.join("src"), &mut files);
    } else {
        let main = folder.join(project.main());
        if let Some(built) = main.parent() {
            collect_flat(built, &mut files);
        }
    }
    files.sort();
    for file in files {
        hash.update(fs::read(file).unwrap_or_default());
    }
    let digest = secrets::hex(&hash.finalize());
    format!("relayctl-{}", digest.get(..12).unwrap_or(&digest))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// The built Worker's own files: JavaScript and WebAssembly.
fn collect_flat(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    files.extend(entries.map(|entry| entry.path()).filter(|path| {
        path.extension()
            .is_some_and(|extension| extension == "js" || extension == "mjs" || extension == "wasm")
    }));
}
