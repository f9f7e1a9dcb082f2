//! What is examined: the settings on this machine, the accounts and the Worker.

use super::args::DoctorArgs;
use crate::{
    failure::Failure,
    http::{Http, check_url, relay_base},
    project::{Project, SECRETS, Settings},
    secrets::{self, Found},
    sign,
};
use clerk_nylas_relay::{
    config::{Bound, Config},
    model::{account::Account, problem::Problem},
};
use std::collections::BTreeMap;

/// Everything that the checks know, and what they find out for one another.
pub struct Patient<'a> {
    /// The client for every request.
    pub http: &'a Http,
    /// The arguments.
    pub args: &'a DoctorArgs,
    /// `wrangler.toml`, or why there is none.
    pub project: Result<Project, Failure>,
    /// The secrets that are known on this machine.
    pub secrets: BTreeMap<&'static str, Found>,
    /// What the relay itself finds wrong with the settings. A secret that is not known here counts as right.
    pub problems: Vec<Problem>,
    /// The configured accounts.
    pub accounts: Vec<Account>,
    /// The accounts' addresses, in the accounts' order, from Nylas where it answered. `None`: it is not known.
    pub addresses: Vec<Option<String>>,
    /// The Worker's address, and where it comes from.
    pub url: Option<(String, &'static str)>,
}

impl<'a> Patient<'a> {
    /// Reads the settings and secrets on this machine.
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
        for name in SECRETS {
            let found = if args.without_dev_vars {
                secrets::from_environment(name)
            } else {
                secrets::find(name, None, &args.folder)?
            };
            if let Some(found) = found {
                known.insert(name, found);
            }
        }
        let settings = Settings {
            project: project.as_ref().ok(),
            dev_vars: (!args.without_dev_vars).then_some(args.folder.as_path()),
        };
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
            // A secret that is not known here is not missing: the Worker may have it.
            (None, "CLERK_WEBHOOK_SIGNING_SECRET") => Some(placeholder.clone()),
            (None, "NYLAS_API_KEY") => Some("not-known-here".to_owned()),
            (None, "SMTP_HOST") if !known.contains_key("SMTP_PASSWORD") => None,
            (None, "REPLY_WEBHOOK_SECRET") => settings
                .variable("REPLY_WEBHOOK_URL")
                .map(|_| placeholder.clone()),
            (None, _) => settings.variable(name),
        };
        // A wrong optional setting is a fault for doctor, though the Worker only switches off what it is for.
        let problems = match Config::read(setting, bound) {
            Ok(config) => config.degraded,
            Err(problems) => problems,
        };
        let accounts = settings.accounts();
        let url = args
            .url
            .as_deref()
            // What is no address, worker-url says.
            .filter(|url| check_url(url).is_ok())
            .map(|url| (relay_base(url).to_owned(), "as given"));
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

    /// Where variables are looked up.
    pub fn settings(&self) -> Settings<'_> {
        Settings {
            project: self.project.as_ref().ok(),
            dev_vars: (!self.args.without_dev_vars).then_some(self.args.folder.as_path()),
        }
    }

    /// A variable, from there.
    pub fn variable(&self, name: &str) -> Option<String> {
        self.settings().variable(name)
    }

    pub fn secret(&self, name: &str) -> Option<&str> {
        self.secrets.get(name).map(|found| found.secret.reveal())
    }

    /// The addresses that are known.
    pub fn known_addresses(&self) -> Vec<&str> {
        self.addresses
            .iter()
            .filter_map(|address| address.as_deref())
            .collect()
    }

    /// The domains mails are sent from.
    pub fn domains(&self) -> Vec<String> {
        let mut domains: Vec<String> = self
            .known_addresses()
            .iter()
            .filter_map(|address| address.rsplit_once('@'))
            .map(|(_, domain)| domain.to_lowercase())
            .collect();
        domains.sort();
        domains.dedup();
        domains
    }
}
