//! The project's folder: `wrangler.toml`, read and edited without losing a comment.

use crate::{
    failure::Failure,
    http::{list, text},
    secrets::in_dev_vars,
    sign::random_secret,
};
use clerk_nylas_relay::{
    config::{Bound, Config},
    model::account::Account,
};
use serde_json::Value;
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use toml_edit::{DocumentMut, Item, Table, TableLike, value};

/// The settings that are secrets: never in `wrangler.toml`.
pub const SECRETS: [&str; 8] = [
    "CLERK_WEBHOOK_SIGNING_SECRET",
    "NYLAS_API_KEY",
    "NYLAS_WEBHOOK_SECRET",
    "ADMIN_TOKEN",
    "REPLY_WEBHOOK_SECRET",
    "ALERT_WEBHOOK_URL",
    "CLERK_SECRET_KEY",
    "SMTP_PASSWORD",
];

/// One `wrangler.toml`.
#[derive(Clone, Debug)]
pub struct Project {
    /// Where it is.
    pub path: PathBuf,
    document: DocumentMut,
}

impl Project {
    /// Reads `wrangler.toml` in that folder; `None` where there is none.
    pub fn read(folder: &Path) -> Result<Option<Self>, Failure> {
        let path = folder.join("wrangler.toml");
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(path, &text).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::new(
                format!("{} cannot be read: {error}", path.display()),
                "check its permissions",
            )),
        }
    }

    /// Parses the text of the file.
    pub fn parse(path: PathBuf, text: &str) -> Result<Self, Failure> {
        match text.parse::<DocumentMut>() {
            Ok(document) => Ok(Self { path, document }),
            Err(error) => Err(Failure::new(
                format!("{} is not TOML: {}", path.display(), error.message()),
                "fix the line, or take the file from the project again",
            )),
        }
    }

    /// The file's text, with every edit.
    pub fn text(&self) -> String {
        self.document.to_string()
    }

    /// Writes it.
    pub fn write(&self) -> Result<(), Failure> {
        fs::write(&self.path, self.text()).map_err(|error| {
            Failure::new(
                format!("{} cannot be written: {error}", self.path.display()),
                "check its permissions and those of the folder",
            )
        })
    }

    /// The Worker's name.
    pub fn name(&self) -> &str {
        self.text_at("name")
    }

    /// The Worker's entry point.
    pub fn main(&self) -> &str {
        self.text_at("main")
    }

    /// Whether `wrangler deploy` builds first.
    pub fn is_built_by_wrangler(&self) -> bool {
        self.document.get("build").is_some()
    }

    /// Makes the project deploy an already built Worker.
    pub fn use_built(&mut self, main: &str) {
        self.document.remove("build");
        self.document.insert("main", value(main));
    }

    fn text_at(&self, name: &str) -> &str {
        self.document
            .get(name)
            .and_then(Item::as_str)
            .unwrap_or_default()
    }

    /// A variable of `[vars]`; empty counts as unset.
    pub fn var(&self, name: &str) -> Option<String> {
        let value = self.document.get("vars")?.get(name)?;
        let text = match value.as_str() {
            Some(text) => text.to_owned(),
            None => value.to_string().trim().to_owned(),
        };
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// Sets a variable, or empties it. Returns whether that changed anything.
    pub fn set_var(&mut self, name: &str, new: Option<&str>) -> bool {
        if self.var(name).as_deref() == new.filter(|new| !new.is_empty()) {
            return false;
        }
        let vars = self
            .document
            .entry("vars")
            .or_insert(Item::Table(Table::new()));
        let Some(vars) = vars.as_table_like_mut() else {
            return false;
        };
        let text = new.unwrap_or_default();
        match vars.get_mut(name).and_then(Item::as_value_mut) {
            Some(known) => {
                // Keeps the comment behind the value.
                let decor = known.decor().clone();
                *known = text.into();
                *known.decor_mut() = decor;
            }
            None => {
                vars.insert(name, value(text));
            }
        }
        true
    }

    fn entries<'a>(&'a self, path: &[&str]) -> Vec<&'a dyn TableLike> {
        let mut item = Some(self.document.as_item());
        for name in path {
            item = item.and_then(|item| item.get(name));
        }
        match item {
            Some(Item::ArrayOfTables(tables)) => {
                tables.iter().map(|table| table as &dyn TableLike).collect()
            }
            Some(Item::Value(toml_edit::Value::Array(array))) => array
                .iter()
                .filter_map(|value| value.as_inline_table())
                .map(|table| table as &dyn TableLike)
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The id of the KV namespace bound under that name. `None`: none is bound. Empty: wrangler chooses the id.
    pub fn namespace(&self, binding: &str) -> Option<String> {
        let found = self
            .entries(&["kv_namespaces"])
            .into_iter()
            .find(|entry| text_of(*entry, "binding") == binding)?;
        Some(text_of(found, "id").to_owned())
    }

    /// Writes the id of a KV namespace into its binding, and adds the binding if it is missing.
    pub fn set_namespace(&mut self, binding: &str, id: &str) -> bool {
        if self.namespace(binding).as_deref() == Some(id) {
            return false;
        }
        let namespaces = self
            .document
            .entry("kv_namespaces")
            .or_insert(Item::ArrayOfTables(toml_edit::ArrayOfTables::new()));
        if let Some(tables) = namespaces.as_array_of_tables_mut() {
            for table in tables.iter_mut() {
                if text_of(table, "binding") == binding {
                    table.insert("id", value(id));
                    return true;
                }
            }
            let mut table = Table::new();
            table.insert("binding", value(binding));
            table.insert("id", value(id));
            tables.push(table);
            return true;
        }
        let Some(array) = namespaces.as_array_mut() else {
            return false;
        };
        for entry in array
            .iter_mut()
            .filter_map(|value| value.as_inline_table_mut())
        {
            if text_of(entry, "binding") == binding {
                entry.insert("id", id.into());
                return true;
            }
        }
        false
    }

    /// The queue bound under that name.
    pub fn producer(&self, binding: &str) -> Option<String> {
        let found = self
            .entries(&["queues", "producers"])
            .into_iter()
            .find(|entry| text_of(*entry, "binding") == binding)?;
        Some(text_of(found, "queue").to_owned())
    }

    /// The consumers: the queue, its dead letter queue, and how long it waits for a fuller batch.
    pub fn consumers(&self) -> Vec<(String, String, Option<i64>)> {
        self.entries(&["queues", "consumers"])
            .into_iter()
            .map(|entry| {
                let wait = entry.get("max_batch_timeout").and_then(Item::as_integer);
                (
                    text_of(entry, "queue").to_owned(),
                    text_of(entry, "dead_letter_queue").to_owned(),
                    wait,
                )
            })
            .collect()
    }

    /// Every queue that is named anywhere.
    pub fn queues(&self) -> Vec<String> {
        let bound = ["OUTBOX", "INBOX"].into_iter();
        let mut names: Vec<String> = bound.filter_map(|binding| self.producer(binding)).collect();
        for (queue, dead, _) in self.consumers() {
            names.push(queue);
            names.push(dead);
        }
        names.retain(|name| !name.is_empty());
        names.sort();
        names.dedup();
        names
    }

    /// Whether the Worker's schedule is set.
    pub fn has_schedule(&self) -> bool {
        let crons = self
            .document
            .get("triggers")
            .and_then(|triggers| triggers.get("crons"));
        crons
            .and_then(Item::as_array)
            .is_some_and(|crons| !crons.is_empty())
    }

    /// The bindings, as the relay's settings take them.
    pub fn bound(&self) -> Bound {
        Bound {
            ledger: self.namespace("LEDGER").is_some(),
            outbox: self
                .producer("OUTBOX")
                .is_some_and(|queue| !queue.is_empty()),
        }
    }
}

/// Where variables are looked up: the environment, then `.dev.vars`, then `wrangler.toml`. So a key of `.dev.vars` goes
/// to the address, and is for the account, that stand beside it.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// `wrangler.toml`, if there is one.
    pub project: Option<&'a Project>,
    /// The folder of `.dev.vars`; `None` leaves that out.
    pub dev_vars: Option<&'a Path>,
}

impl<'a> Settings<'a> {
    /// With all three places.
    pub fn new(project: Option<&'a Project>, folder: &'a Path) -> Self {
        Self {
            project,
            dev_vars: Some(folder),
        }
    }

    /// A variable; empty counts as unset.
    pub fn variable(self, name: &str) -> Option<String> {
        let from_environment = from_environment(name);
        from_environment
            .or_else(|| in_dev_vars(name, self.dev_vars?))
            .or_else(|| self.project?.var(name))
    }

    /// Whether it is `.dev.vars` that says what a variable is.
    pub fn is_of_dev_vars(self, name: &str) -> bool {
        let is_there = self
            .dev_vars
            .is_some_and(|folder| in_dev_vars(name, folder).is_some());
        is_there && from_environment(name).is_none()
    }

    /// The configured accounts, by the relay's own rule. Another wrong setting does not hide them.
    pub fn accounts(self) -> Vec<Account> {
        let only_accounts = |name: &str| match name {
            "NYLAS_GRANT_ID" | "NYLAS_ACCOUNTS" | "NYLAS_FROM_NAME" => self.variable(name),
            // Any will do: it is not used.
            "CLERK_WEBHOOK_SIGNING_SECRET" => random_secret().ok(),
            "NYLAS_API_KEY" => Some("not-known-here".to_owned()),
            _ => None,
        };
        let bound = Bound {
            ledger: true,
            outbox: true,
        };
        let config = Config::read(only_accounts, bound);
        config.map(|config| config.accounts).unwrap_or_default()
    }

    /// The configured accounts' grant ids.
    pub fn grant_ids(self) -> Vec<String> {
        if let Some(grant_id) = self.variable("NYLAS_GRANT_ID") {
            return vec![grant_id];
        }
        let accounts = self.variable("NYLAS_ACCOUNTS");
        let accounts: Value = accounts
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        list(&accounts, "")
            .iter()
            .map(|account| text(account, "/grant_id").to_owned())
            .filter(|id| !id.is_empty())
            .collect()
    }
}

fn from_environment(name: &str) -> Option<String> {
    let value = std::env::var(name).ok();
    value.filter(|value| !value.trim().is_empty())
}

fn text_of<'a>(table: &'a dyn TableLike, name: &str) -> &'a str {
    table.get(name).and_then(Item::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projects_own_file_is_read_and_edited_without_losing_a_comment() {
        let text = include_str!("../../wrangler.toml");
        let mut project = Project::parse("wrangler.toml".into(), text).unwrap();
        assert_eq!(project.text(), text);
        assert_eq!(project.name(), "clerk-nylas-relay");
        assert_eq!(project.namespace("LEDGER").as_deref(), Some(""));
        assert_eq!(
            project.queues(),
            [
                "clerk-nylas-relay-dead",
                "clerk-nylas-relay-inbox",
                "clerk-nylas-relay-outbox"
            ]
        );
        assert_eq!(project.var("NYLAS_GRANT_ID"), None);
        assert!(project.set_var("NYLAS_GRANT_ID", Some("grant-1")));
        assert!(!project.set_var("NYLAS_GRANT_ID", Some("grant-1")));
        assert!(project.set_var("NYLAS_FROM_NAME", Some("Acme")));
        assert!(project.set_namespace("LEDGER", "0123"));
        assert!(!project.set_namespace("LEDGER", "0123"));
        let edited = project.text();
        for line in text.lines().filter(|line| line.starts_with('#')) {
            assert!(edited.contains(line), "{line}");
        }
        let again = Project::parse("wrangler.toml".into(), &edited).unwrap();
        assert_eq!(again.var("NYLAS_GRANT_ID").as_deref(), Some("grant-1"));
        assert_eq!(again.namespace("LEDGER").as_deref(), Some("0123"));
    }
}
