//! `relayctl templates`: who delivers each of Clerk's e-mail templates, and changes that.

pub mod clerk;
pub mod guided;
pub mod sends;

use crate::{
    admin::{Admin, Target},
    clock,
    examples::after,
    failure::Failure,
    http::{Http, check_given, list, text},
    nylas::{Nylas, base},
    places::place,
    project::{Project, Settings},
    secrets,
    ui::{BAD, DIM, GOOD, Ui, WARN, table},
};
use clap::{Args, Subcommand};
use clerk::{Clerk, Template};
use clerk_nylas_relay::{
    config::{CLERK_API_BASE_DEFAULT, NYLAS_API_BASE_DEFAULT},
    model::time::UnixMillis,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::PathBuf};

/// The arguments of `templates`.
#[derive(Args, Debug)]
pub struct TemplatesArgs {
    /// What to do; without it, list
    #[command(subcommand)]
    pub action: Option<Action>,
    /// Fails if a template is delivered by nobody or claimed by both: for a deployment pipeline
    #[arg(long)]
    pub check: bool,
    /// The folder of wrangler.toml and .dev.vars
    #[arg(long, global = true, value_name = "FOLDER", default_value = ".")]
    pub folder: PathBuf,
    /// The deployed relay; otherwise the address of Nylas' webhook
    #[arg(long, global = true, env = "RELAY_URL")]
    pub url: Option<String>,
    /// A file with Clerk's secret key; otherwise the environment's CLERK_SECRET_KEY, or .dev.vars
    #[arg(long, global = true, value_name = "FILE")]
    pub clerk_key_file: Option<PathBuf>,
    /// A file with the operator's token, to say when the relay last saw a template
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// What to do with templates.
#[derive(Subcommand, Clone, Debug)]
pub enum Action {
    /// Who delivers each template, from which address, and when the relay last saw one
    #[command(after_help = after!("relayctl templates list   the same as relayctl templates"))]
    List,
    /// The relay delivers them from now on, if an account sends
    #[command(after_help = after!(
        "relayctl templates take verification_code",
        "relayctl templates take --all --dry-run   shows which, and takes none",
    ))]
    Take(Which),
    /// Clerk delivers them from now on
    #[command(after_help = after!(
        "relayctl templates give-back verification_code",
        "relayctl templates give-back --all",
    ))]
    GiveBack(Which),
}

/// Which templates.
#[derive(Args, Clone, Debug)]
pub struct Which {
    /// Their slugs
    #[arg(required_unless_present = "all")]
    pub slugs: Vec<String>,
    /// All that the relay relays
    #[arg(long, conflicts_with = "slugs")]
    pub all: bool,
    /// Shows what would be done, and does nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Who delivers a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Clerk.
    Clerk,
    /// The relay.
    Relay,
    /// Clerk leaves it to the relay, and the relay leaves it out or sends nothing.
    Nobody,
    /// Clerk delivers it, and `TEMPLATES` names it.
    Both,
}

impl By {
    /// As it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clerk => "clerk",
            Self::Relay => "relay",
            Self::Nobody => "nobody",
            Self::Both => "both",
        }
    }

    /// Who delivers it. `named`: what the setting `TEMPLATES` says of it; `None` without the setting.
    pub fn of(delivered_by_clerk: bool, named: Option<bool>, relay_sends: bool) -> Self {
        match (delivered_by_clerk, named) {
            (true, Some(true)) => Self::Both,
            (true, _) => Self::Clerk,
            (false, Some(false)) => Self::Nobody,
            (false, _) if relay_sends => Self::Relay,
            (false, _) => Self::Nobody,
        }
    }
}

/// The setting `TEMPLATES`.
#[derive(Clone, Debug, Default)]
pub struct Filter(Option<Vec<String>>);

impl Filter {
    /// Reads it.
    pub fn read(settings: Settings<'_>) -> Self {
        let names = settings.variable("TEMPLATES").map(|text| {
            let names = text.split(',').map(|name| name.trim().to_owned());
            names.filter(|name| !name.is_empty()).collect()
        });
        Self(names)
    }

    /// Whether it names a template. `None`: there is no such setting.
    pub fn names(&self, slug: &str) -> Option<bool> {
        let names = self.0.as_ref()?;
        Some(names.iter().any(|name| name == slug))
    }

    /// Whether the relay relays a template.
    pub fn is_relayed(&self, slug: &str) -> bool {
        self.names(slug) != Some(false)
    }
}

/// Runs `templates`. Returns whether all is well.
pub fn run(args: &TemplatesArgs, http: &Http, ui: &Ui) -> Result<bool, Failure> {
    check_given(args.url.as_deref())?;
    let project = Project::read(&args.folder)?;
    let key_file = args.clerk_key_file.as_deref();
    let key = secrets::require("CLERK_SECRET_KEY", key_file, &args.folder)?;
    let settings = Settings::new(project.as_ref(), &args.folder);
    let address = settings.variable("CLERK_API_BASE");
    let address = address.as_deref().unwrap_or(CLERK_API_BASE_DEFAULT);
    let run = Run {
        args,
        http,
        ui,
        clerk: Clerk::new(http, address, key)?,
        filter: Filter::read(settings),
        project,
    };
    match &args.action {
        None | Some(Action::List) => run.list(),
        Some(Action::Take(which)) => run.switch(which, false),
        Some(Action::GiveBack(which)) => run.switch(which, true),
    }
}

struct Run<'a> {
    args: &'a TemplatesArgs,
    http: &'a Http,
    ui: &'a Ui,
    clerk: Clerk<'a>,
    filter: Filter,
    project: Option<Project>,
}

impl Run<'_> {
    fn list(&self) -> Result<bool, Failure> {
        let templates = self.clerk.templates()?;
        let relay = match (&self.args.url, self.args.check) {
            (Some(url), true) => Some(sends::health(self.http, crate::http::relay_base(url))),
            _ => None,
        };
        let relay_sends = !matches!(relay, Some(Err(_)));
        let seen = self.last_seen();
        let mut rows = Vec::new();
        let mut wrong = Vec::new();
        for template in &templates {
            let slug = &template.slug;
            let by = By::of(
                template.delivered_by_clerk,
                self.filter.names(slug),
                relay_sends,
            );
            if matches!(by, By::Nobody | By::Both) {
                wrong.push(format!("{slug} is delivered by {}", by.as_str()));
            }
            rows.push((template, by, seen.get(slug).copied()));
        }
        let lines = rows.iter().map(|(template, by, seen)| {
            let seen = seen.map_or_else(|| "-".to_owned(), |at| clock::utc(UnixMillis(at)));
            let from = format!("{}@", template.from);
            let (slug, name) = (template.slug.clone(), template.name.clone());
            vec![slug, by.as_str().to_owned(), from, seen, name]
        });
        for line in table(&lines.collect::<Vec<_>>()) {
            self.ui.line(line);
        }
        let ok = !self.args.check || (wrong.is_empty() && relay_sends);
        if let Some(Err(failure)) = &relay {
            self.ui.line(format!("{BAD}{}{BAD:#}", failure.message));
        }
        if self.args.check {
            for wrong in &wrong {
                self.ui.line(format!("{BAD}{wrong}{BAD:#}"));
            }
            if !wrong.is_empty() {
                self.ui.line(format!(
                    "  fix: {DIM}nobody: name it in TEMPLATES, or relayctl templates give-back; both: relayctl \
                     templates take, or leave it out of TEMPLATES{DIM:#}"
                ));
            }
        }
        let documents = rows.iter().map(|(template, by, seen)| {
            json!({
                "slug": template.slug, "name": template.name, "delivered_by": by.as_str(),
                "from_email_name": template.from, "last_seen": seen,
            })
        });
        let status = match &relay {
            None => Value::Null,
            Some(Ok(status)) => json!(status),
            Some(Err(failure)) => json!(failure.message),
        };
        self.ui.document(&json!({
            "ok": ok, "relay": status, "templates": documents.collect::<Vec<_>>(),
        }));
        Ok(ok)
    }

    /// When the relay last saw each template, by its own records; nothing without its address and token.
    fn last_seen(&self) -> BTreeMap<String, u64> {
        let mut seen = BTreeMap::new();
        let token_file = self.args.token_file.as_deref();
        let is_known = secrets::find("ADMIN_TOKEN", token_file, &self.args.folder);
        let (Some(url), Ok(Some(_))) = (&self.args.url, is_known) else {
            return seen;
        };
        let target = Target {
            url: url.clone(),
            token_file: self.args.token_file.clone(),
        };
        let rows =
            Admin::new(&target, self.http).and_then(|admin| admin.get("deliveries?limit=1000"));
        match rows {
            Ok(body) => {
                for row in list(&body, "/deliveries") {
                    let at = row.get("at").and_then(Value::as_u64).unwrap_or_default();
                    let last = seen.entry(text(row, "/slug").to_owned()).or_insert(at);
                    *last = at.max(*last);
                }
            }
            Err(failure) => self
                .ui
                .note(format!("the relay was not asked: {}", failure.message)),
        }
        seen
    }

    /// The templates that are meant, each in Clerk's list.
    fn chosen(
        &self,
        which: &Which,
        by_clerk: bool,
    ) -> Result<(Vec<Template>, Vec<String>), Failure> {
        let all = self.clerk.templates()?;
        let mut chosen = Vec::new();
        if which.all {
            // What TEMPLATES leaves out somebody else delivers.
            chosen.extend(
                all.iter()
                    .filter(|template| self.filter.is_relayed(&template.slug)),
            );
        }
        for slug in &which.slugs {
            let found = all.iter().find(|template| template.slug == *slug);
            chosen.push(found.ok_or_else(|| {
                Failure::usage(
                    format!("Clerk has no e-mail template {slug}"),
                    "relayctl templates list shows them",
                )
            })?);
            if !by_clerk && !self.filter.is_relayed(slug) {
                return Err(Failure::usage(
                    format!("TEMPLATES leaves {slug} out: nobody would deliver it"),
                    "add it to TEMPLATES in wrangler.toml and deploy, then take it",
                ));
            }
        }
        let (done, to_do): (Vec<_>, Vec<_>) = chosen
            .into_iter()
            .cloned()
            .partition(|template| template.delivered_by_clerk == by_clerk);
        let done = done.into_iter().map(|template| template.slug);
        Ok((to_do, done.collect()))
    }

    fn switch(&self, which: &Which, by_clerk: bool) -> Result<bool, Failure> {
        let whose = if by_clerk { "Clerk" } else { "the relay" };
        let (to_do, done) = self.chosen(which, by_clerk)?;
        for slug in &done {
            self.ui.line(format!(
                "{GOOD}as it should be{GOOD:#} {slug}: {whose} delivers it"
            ));
        }
        let mut switched: Vec<&str> = Vec::new();
        let mut failed: Vec<(&str, Failure)> = Vec::new();
        if which.dry_run {
            for template in &to_do {
                let slug = &template.slug;
                self.ui.line(format!(
                    "{WARN}would be done{WARN:#}   {slug}: {whose} delivers it"
                ));
            }
        } else if !to_do.is_empty() {
            if !by_clerk {
                self.check_sends()?;
            }
            for template in &to_do {
                let slug = template.slug.as_str();
                match self.clerk.deliver(slug, by_clerk) {
                    Ok(()) => {
                        self.ui.line(format!(
                            "{GOOD}done{GOOD:#}            {slug}: {whose} delivers it"
                        ));
                        switched.push(slug);
                    }
                    Err(failure) => {
                        self.ui.line(format!(
                            "{BAD}failed{BAD:#}          {slug}: {}",
                            failure.message
                        ));
                        self.ui.line(format!("  fix: {}", failure.fix));
                        failed.push((slug, failure));
                    }
                }
            }
        }
        let would: Vec<&str> = match which.dry_run {
            true => to_do
                .iter()
                .map(|template| template.slug.as_str())
                .collect(),
            false => Vec::new(),
        };
        let failures = failed.iter().map(
            |(slug, failure)| json!({"slug": slug, "error": failure.message, "fix": failure.fix}),
        );
        self.ui.document(&json!({
            "ok": failed.is_empty(), "delivered_by": if by_clerk { "clerk" } else { "relay" },
            "switched": switched, "unchanged": done, "would_switch": would,
            "failed": failures.collect::<Vec<_>>(),
        }));
        Ok(failed.is_empty())
    }

    /// Whoever takes templates from Clerk makes sure first that the relay answers and an account sends.
    fn check_sends(&self) -> Result<(), Failure> {
        let settings = Settings::new(self.project.as_ref(), &self.args.folder);
        let configured = settings.variable("NYLAS_API_BASE");
        let configured = configured.unwrap_or_else(|| NYLAS_API_BASE_DEFAULT.to_owned());
        let base = base(&configured).ok_or_else(|| {
            Failure::usage(
                "NYLAS_API_BASE is not an address the relay accepts",
                "https://api.us.nylas.com or https://api.eu.nylas.com",
            )
        })?;
        let key = secrets::require("NYLAS_API_KEY", None, &self.args.folder)?;
        let nylas = Nylas::new(self.http, base, key);
        let grants = settings.grant_ids();
        if grants.is_empty() {
            return Err(Failure::usage(
                "the account is not known",
                format!(
                    "run it in the project's folder, or set NYLAS_GRANT_ID ({})",
                    place("NYLAS_GRANT_ID")
                ),
            ));
        }
        let relay = sends::relay(self.args.url.as_deref(), &nylas)?;
        sends::health(self.http, &relay)?;
        let (senders, refusals) = sends::accounts(&nylas, &grants)?;
        self.ui.note(format!(
            "{} sends: a mail to itself was accepted",
            senders.join(", ")
        ));
        for refusal in refusals {
            self.ui.note(&refusal.message);
        }
        Ok(())
    }
}
