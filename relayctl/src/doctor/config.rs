//! Checks of the settings on this machine, by the relay's own rules.

use super::{
    finding::{Finding, fail, pass, skip, some_of, warn},
    patient::Patient,
};
use crate::{places::place, project::SECRETS, sample};

/// Which settings a check is about.
const SETTINGS: [(&str, &[&str]); 11] = [
    ("config-api-base", &["NYLAS_API_BASE"]),
    (
        "config-accounts",
        &["NYLAS_GRANT_ID", "NYLAS_ACCOUNTS", "NYLAS_FROM_NAME"],
    ),
    ("config-budget", &["INLINE_SEND_BUDGET_MS"]),
    ("config-templates", &["TEMPLATES"]),
    ("config-ledger", &["LEDGER"]),
    ("config-clerk-secret", &["CLERK_WEBHOOK_SIGNING_SECRET"]),
    ("config-nylas-key", &["NYLAS_API_KEY"]),
    ("config-nylas-webhook-secret", &["NYLAS_WEBHOOK_SECRET"]),
    (
        "config-replies",
        &[
            "REPLY_WEBHOOK_URL",
            "REPLY_WEBHOOK_SECRET",
            "REPLY_FORWARD_TO",
        ],
    ),
    (
        "config-operator",
        &[
            "ADMIN_TOKEN",
            "ALERT_WEBHOOK_URL",
            "NYLAS_DAILY_CAP",
            "NYLAS_MONTHLY_CAP",
        ],
    ),
    ("config-smtp", &["SMTP_HOST", "SMTP_PORT", "SMTP_PASSWORD"]),
];

pub fn checks(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let project = match &patient.project {
        Ok(project) => {
            findings.push(pass(
                "config-file",
                format!("{} ({})", project.path.display(), project.name()),
            ));
            Some(project)
        }
        Err(failure) => {
            findings.push(fail("config-file", &failure.message, &failure.fix));
            None
        }
    };
    for (id, names) in SETTINGS {
        let problem = patient
            .problems
            .iter()
            .find(|problem| names.contains(&problem.name));
        findings.push(match problem {
            Some(problem) => fail(
                id,
                format!("{} {}", problem.name, problem.problem),
                remedy(problem.name),
            ),
            None if id == "config-templates" => templates(patient),
            None => healthy(id, names, patient),
        });
    }
    match project {
        Some(project) => findings.extend([queue(project), inbox(project)]),
        None => {
            for id in ["config-queue", "config-inbox"] {
                findings.push(skip(id, "wrangler.toml is not known", ""));
            }
        }
    }
    findings.push(match project {
        Some(project) if project.has_schedule() => pass("config-schedule", "set"),
        Some(_) => warn(
            "config-schedule",
            "[triggers] has no crons: the relay looks for nothing by itself, neither missed replies nor a cap, a \
             grant or a webhook that is about to fail",
            "take [triggers] from the project's wrangler.toml",
        ),
        None => skip("config-schedule", "wrangler.toml is not known", ""),
    });
    findings.push(match project {
        Some(project) => {
            let shown: Vec<&str> = SECRETS.into_iter().filter(|name| project.var(name).is_some()).collect();
            if shown.is_empty() {
                pass("config-secrets-in-vars", "none does")
            } else {
                fail(
                    "config-secrets-in-vars",
                    format!(
                        "{} in wrangler.toml, which goes into version control and is shown in the dashboard",
                        shown.join(", ")
                    ),
                    "take it out of [vars], set it with `npx wrangler secret put NAME`, and replace it at Clerk or \
                     Nylas: it is no secret any more",
                )
            }
        }
        None => skip("config-secrets-in-vars", "wrangler.toml is not known", ""),
    });
    findings
}

fn remedy(name: &str) -> String {
    if SECRETS.contains(&name) {
        format!(
            "`npx wrangler secret put {name}` ({}); for this command, put it into the environment or .dev.vars",
            place(name)
        )
    } else if name == "LEDGER" {
        "add [[kv_namespaces]] with binding = \"LEDGER\" to wrangler.toml: `relayctl setup --only storage`".to_owned()
    } else {
        format!("set {name} in wrangler.toml, [vars]: {}", place(name))
    }
}

fn healthy(id: &'static str, names: &[&'static str], patient: &Patient<'_>) -> Finding {
    let is_secret = names.iter().all(|name| SECRETS.contains(name));
    if !is_secret {
        if patient.project.is_err() && id == "config-ledger" {
            return skip(id, "wrangler.toml is not known", "");
        }
        if id == "config-ledger" {
            return pass(id, "bound");
        }
        let shown: Vec<String> = names
            .iter()
            .filter_map(|name| {
                if SECRETS.contains(name) {
                    let found = patient.secrets.get(name)?;
                    return Some(format!("{name} from {}", found.from));
                }
                let value = patient.variable(name)?;
                let from = match patient.settings().is_of_dev_vars(name) {
                    true => " from .dev.vars",
                    false => "",
                };
                Some(format!("{name}={value}{from}"))
            })
            .collect();
        return pass(
            id,
            if shown.is_empty() {
                "as by default".to_owned()
            } else {
                shown.join(", ")
            },
        );
    }
    let found = names.iter().find_map(|name| patient.secrets.get(name));
    match found {
        Some(found) => pass(id, format!("well-formed, from {}", found.from)),
        None => skip(
            id,
            "not known here, so it cannot be checked; the Worker may have it",
            format!(
                "to have it checked, put {} into the environment or .dev.vars",
                names.join(", ")
            ),
        )
        .lacking(names),
    }
}

fn templates(patient: &Patient<'_>) -> Finding {
    const ID: &str = "config-templates";
    let Some(list) = patient.variable("TEMPLATES") else {
        return pass(ID, "unset: every template Clerk hands over is relayed");
    };
    let named: Vec<&str> = list
        .split(',')
        .map(str::trim)
        .filter(|slug| !slug.is_empty())
        .collect();
    for slug in &named {
        if let Some((wrong, right)) = sample::WRONG_SLUGS.iter().find(|(wrong, _)| wrong == slug) {
            return fail(
                ID,
                format!(
                    "TEMPLATES names {wrong}, which Clerk does not have: mails of {right} are not sent"
                ),
                format!("write {right}"),
            );
        }
    }
    let known = sample::slugs();
    let unknown: Vec<&str> = named
        .iter()
        .copied()
        .filter(|slug| !known.iter().any(|known| known == slug))
        .collect();
    if unknown.is_empty() {
        pass(ID, format!("only {}", some_of(&named, 5)))
    } else {
        warn(
            ID,
            format!(
                "TEMPLATES names {}, which is not among the known templates",
                some_of(&unknown, 5)
            ),
            "compare with the list in Clerk's dashboard, Customization, Emails; `relayctl trigger list` shows the \
             known ones",
        )
    }
}

fn queue(project: &crate::project::Project) -> Finding {
    const ID: &str = "config-queue";
    let Some(queue) = project.producer("OUTBOX").filter(|queue| !queue.is_empty()) else {
        return warn(
            ID,
            "no queue is bound as OUTBOX: a mail Nylas cannot take at once goes back to Clerk, and a code that comes \
             late is dead",
            "take [[queues.producers]] and [[queues.consumers]] from the project's wrangler.toml; queues are on \
             Cloudflare's free plan",
        );
    };
    let (dead, wait) = match consumed(ID, project, &queue) {
        Ok(consumed) => consumed,
        Err(finding) => return finding,
    };
    match wait {
        Some(0) => pass(ID, format!("{queue}, dead letters to {dead}")),
        Some(seconds) => warn(
            ID,
            format!("a mail in {queue} waits up to {seconds} s for others to fill a batch"),
            "max_batch_timeout = 0",
        ),
        None => warn(
            ID,
            format!(
                "a mail in {queue} waits up to 5 s, Cloudflare's default, for others to fill a batch"
            ),
            "max_batch_timeout = 0",
        ),
    }
}

/// The queue of what nobody waits for.
fn inbox(project: &crate::project::Project) -> Finding {
    const ID: &str = "config-inbox";
    let bound = |binding| project.producer(binding).filter(|queue| !queue.is_empty());
    let Some(outbox) = bound("OUTBOX") else {
        return skip(ID, "there is no queue of sign-in mails either", "");
    };
    let Some(queue) = bound("INBOX").filter(|queue| *queue != outbox) else {
        return warn(
            ID,
            format!(
                "notifications, replies and alerts go through {outbox}, too: a flood of them holds up sign-in mails"
            ),
            "take the producer INBOX and the consumer of its queue from the project's wrangler.toml, and deploy",
        );
    };
    match consumed(ID, project, &queue) {
        Ok((dead, _)) => pass(ID, format!("{queue}, dead letters to {dead}")),
        Err(finding) => finding,
    }
}

/// The queue of the dead letters of a queue, and how long it waits for a fuller batch.
fn consumed(
    id: &'static str,
    project: &crate::project::Project,
    queue: &str,
) -> Result<(String, Option<i64>), Finding> {
    let consumers = project.consumers();
    let Some((_, dead, wait)) = consumers.iter().find(|(name, _, _)| name == queue) else {
        return Err(fail(
            id,
            format!("nothing consumes {queue}: what goes into it is never sent"),
            "take [[queues.consumers]] from the project's wrangler.toml",
        ));
    };
    if dead.is_empty()
        || !dead.ends_with("-dead")
        || !consumers.iter().any(|(name, _, _)| name == dead)
    {
        return Err(fail(
            id,
            format!(
                "the dead letters of {queue} are not stored: what runs out of retries is lost without a trace"
            ),
            "give it a dead_letter_queue whose name ends in -dead, with a consumer of its own, as in the project's \
             wrangler.toml",
        ));
    }
    Ok((dead.clone(), *wait))
}
