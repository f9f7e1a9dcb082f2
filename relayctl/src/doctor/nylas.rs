//! Checks at Nylas: the key, the accounts, what they sent, the webhook.

use super::{
    finding::{Finding, State, fail, pass, skip, warn},
    patient::Patient,
};
use crate::{
    clock,
    http::{Reply, list, relay_base, text},
    nylas::{Nylas, REGIONS, TRIGGERS, WEBHOOK_PATH, base, key_of, missing_triggers, said},
    places::place,
};
use clerk_nylas_relay::{config::NYLAS_API_BASE_DEFAULT, model::account::Account};
use serde_json::Value;

const ACCOUNT_CHECKS: [&str; 8] = [
    "nylas-grant",
    "nylas-region",
    "nylas-provider",
    "nylas-status",
    "nylas-blocked",
    "nylas-address",
    "nylas-name",
    "nylas-sent-today",
];
const WEBHOOK_CHECKS: [&str; 3] = [
    "nylas-webhook",
    "nylas-webhook-status",
    "nylas-webhook-triggers",
];

pub fn checks(patient: &mut Patient<'_>) -> Vec<Finding> {
    let all = || {
        ["nylas-reachable", "nylas-key"]
            .into_iter()
            .chain(ACCOUNT_CHECKS)
            .chain(WEBHOOK_CHECKS)
    };
    // The configured addresses stand until Nylas answers with its own.
    patient.addresses = patient
        .accounts
        .iter()
        .map(|account| account.email.clone())
        .collect();
    let skipped = |cause: &str, fix: &str| all().map(|id| skip(id, cause, fix)).collect::<Vec<_>>();
    let Some(key) = patient.secrets.get("NYLAS_API_KEY").cloned() else {
        let skipped = skipped(
            "NYLAS_API_KEY is not known here",
            "put it into the environment or .dev.vars",
        );
        let lacking = skipped
            .into_iter()
            .map(|finding| finding.lacking(&["NYLAS_API_KEY"]));
        return lacking.collect();
    };
    let configured = match (patient.variable("NYLAS_API_BASE"), &patient.project) {
        (Some(base), _) => base,
        (None, Ok(_)) => NYLAS_API_BASE_DEFAULT.to_owned(),
        // The key is not sent to an address that is only a guess.
        (None, Err(_)) => {
            return skipped(
                "without wrangler.toml it is not known where Nylas is",
                "see config-file",
            );
        }
    };
    let Some(base) = base(&configured) else {
        return skipped("NYLAS_API_BASE is malformed", "see config-api-base");
    };
    let nylas = Nylas::new(patient.http, base, key);
    let mut findings = Vec::new();
    let webhooks = match nylas.get("/v3/webhooks") {
        Err(failure) => {
            let mut findings = skipped("Nylas does not answer", "see nylas-reachable");
            if let Some(first) = findings.first_mut() {
                *first = fail("nylas-reachable", failure.message, failure.fix);
            }
            return findings;
        }
        Ok(reply) => {
            findings.push(if reply.code >= 500 {
                fail(
                    "nylas-reachable",
                    format!("Nylas answers {}", reply.code),
                    "https://status.nylas.com; the relay resumes by itself as soon as Nylas does",
                )
            } else {
                pass(
                    "nylas-reachable",
                    format!(
                        "{} answered in {:.0} ms",
                        crate::http::host(&nylas.base),
                        reply.took_ms
                    ),
                )
            });
            reply
        }
    };
    let key = key_check(&webhooks);
    let refused = key.state == State::Fail;
    findings.push(key);
    if refused {
        let rest = ACCOUNT_CHECKS.into_iter().chain(WEBHOOK_CHECKS);
        findings.extend(rest.map(|id| skip(id, "Nylas does not accept the key", "see nylas-key")));
        return findings;
    }
    findings.extend(accounts(patient, &nylas));
    findings.extend(webhook(patient, &webhooks));
    findings
}

fn key_check(reply: &Reply) -> Finding {
    const ID: &str = "nylas-key";
    match reply.code {
        401 | 403 => fail(
            ID,
            format!(
                "Nylas answered {} to {}{}",
                reply.code,
                key_of(reply),
                said(reply)
            ),
            format!(
                "create a key of the right application and region ({}), and store it: `npx wrangler secret put \
                 NYLAS_API_KEY`",
                place("NYLAS_API_KEY")
            ),
        ),
        code if code >= 500 => skip(ID, "Nylas fails at the moment", "see nylas-reachable"),
        _ => pass(ID, "accepted"),
    }
}

fn accounts(patient: &mut Patient<'_>, nylas: &Nylas<'_>) -> Vec<Finding> {
    if patient.accounts.is_empty() {
        return ACCOUNT_CHECKS
            .into_iter()
            .map(|id| skip(id, "no account is configured", "see config-accounts"))
            .collect();
    }
    let mut found: Vec<Finding> = Vec::new();
    let accounts = patient.accounts.clone();
    patient.addresses.clear();
    for account in &accounts {
        let (findings, address) = one_account(patient, nylas, account);
        found.extend(findings);
        patient
            .addresses
            .push(address.or_else(|| account.email.clone()));
    }
    // Each check has one finding. It has the worst state of any account and names every account in that state.
    ACCOUNT_CHECKS
        .into_iter()
        .filter_map(|id| {
            let of_id: Vec<&Finding> = found.iter().filter(|finding| finding.id == id).collect();
            let state = of_id.iter().map(|finding| finding.state).max()?;
            let worst: Vec<&&Finding> = of_id
                .iter()
                .filter(|finding| finding.state == state)
                .collect();
            let mut causes: Vec<&str> =
                worst.iter().map(|finding| finding.cause.as_str()).collect();
            causes.dedup();
            let fix = worst
                .first()
                .map(|finding| finding.fix.clone())
                .unwrap_or_default();
            Some(Finding {
                id,
                state,
                cause: causes.join("; "),
                fix,
                lacks: Vec::new(),
            })
        })
        .collect()
}

fn one_account(
    patient: &Patient<'_>,
    nylas: &Nylas<'_>,
    account: &Account,
) -> (Vec<Finding>, Option<String>) {
    let id = account.grant_id.as_str();
    let rest = |cause: String, fix: &str, from: usize| {
        let ids = ACCOUNT_CHECKS.into_iter().skip(from);
        ids.map(|check| skip(check, cause.clone(), fix))
            .collect::<Vec<_>>()
    };
    let reply = match nylas.grant(id) {
        Ok(reply) => reply,
        Err(failure) => return (rest(failure.message, &failure.fix, 0), None),
    };
    if reply.code == 404 {
        let elsewhere = other_region(patient, nylas, id);
        let mut findings = match elsewhere {
            Some(region) => vec![
                skip(
                    "nylas-grant",
                    format!("{id} is in another region"),
                    "see nylas-region",
                ),
                fail(
                    "nylas-region",
                    format!(
                        "{id} is in the {} region, and NYLAS_API_BASE is {}",
                        region.0, nylas.base
                    ),
                    format!(
                        "NYLAS_API_BASE = \"{}\" in wrangler.toml, and a key of that region",
                        region.1
                    ),
                ),
            ],
            None => vec![
                fail(
                    "nylas-grant",
                    format!("Nylas knows no account {id} (in this application and region)"),
                    format!(
                        "copy the grant id from {}; `relayctl setup --only account` makes an account or finds it by \
                         its address",
                        place("NYLAS_GRANT_ID")
                    ),
                ),
                skip(
                    "nylas-region",
                    "the account is in no region this key opens",
                    "see nylas-grant",
                ),
            ],
        };
        findings.extend(rest(
            "there is no account to look at".to_owned(),
            "see nylas-grant",
            2,
        ));
        return (findings, None);
    }
    if reply.code != 200 {
        return (
            rest(
                format!("Nylas answered {}{}", reply.code, said(&reply)),
                "try again",
                0,
            ),
            None,
        );
    }
    let body = reply.json();
    let grant = body.get("data").cloned().unwrap_or_default();
    let address = text(&grant, "/email").to_owned();
    let mut findings = vec![
        pass("nylas-grant", format!("{id} is {address}")),
        pass("nylas-region", region_name(&nylas.base)),
    ];
    findings.push(match text(&grant, "/provider") {
        "nylas" => pass("nylas-provider", format!("{address} is an Agent Account")),
        other => fail(
            "nylas-provider",
            format!("{address} is a mailbox at {other}, not an Agent Account"),
            "create an Agent Account and use its grant id: `relayctl setup --only account`",
        ),
    });
    findings.push(match text(&grant, "/grant_status") {
        "valid" => pass("nylas-status", format!("{address} is valid")),
        other => fail(
            "nylas-status",
            format!("the grant of {address} is {other}"),
            "make it valid again: `relayctl setup --only account` (POST /v3/connect/custom with the same address \
             keeps the grant id)",
        ),
    });
    findings.push(if grant.get("blocked") == Some(&Value::Bool(true)) {
        fail(
            "nylas-blocked",
            format!("Nylas has blocked {address}: it sends nothing"),
            "write to Nylas' support, with the application's and the grant's id; add a second account to \
             NYLAS_ACCOUNTS meanwhile",
        )
    } else {
        pass("nylas-blocked", format!("{address} is not"))
    });
    findings.push(match &account.email {
        Some(configured) if *configured != address => fail(
            "nylas-address",
            format!("NYLAS_ACCOUNTS says {configured}, the account is {address}: Nylas accepts no other From"),
            format!("\"email\": \"{address}\""),
        ),
        Some(_) => pass("nylas-address", "as configured"),
        None => pass("nylas-address", format!("{address}, asked of Nylas")),
    });
    let name = account
        .name
        .as_deref()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| text(&grant, "/name"));
    findings.push(if name.is_empty() {
        warn(
            "nylas-name",
            format!("mails come from the bare address {address}"),
            "NYLAS_FROM_NAME in wrangler.toml (or \"name\" in NYLAS_ACCOUNTS): `relayctl setup --only settings \
             --from-name NAME`",
        )
    } else {
        pass("nylas-name", format!("{name} <{address}>"))
    });
    findings.push(sent_today(patient, nylas, id, &address));
    (
        findings,
        Some(address).filter(|address| !address.is_empty()),
    )
}

fn region_name(base: &str) -> String {
    let known = REGIONS.iter().find(|(_, address)| *address == base);
    known.map_or_else(|| base.to_owned(), |(name, _)| (*name).to_owned())
}

/// The other region, if the account is there.
///
/// It is asked only if the configured base is one of Nylas' regions. Otherwise a test's key would go to Nylas.
fn other_region(patient: &Patient<'_>, nylas: &Nylas<'_>, id: &str) -> Option<(String, String)> {
    let candidates: Vec<(String, String)> = match patient.args.other_region.clone() {
        Some(address) => vec![("other".to_owned(), address)],
        None if REGIONS.iter().any(|(_, address)| *address == nylas.base) => REGIONS
            .iter()
            .filter(|(_, address)| *address != nylas.base)
            .map(|(name, address)| ((*name).to_owned(), (*address).to_owned()))
            .collect(),
        None => Vec::new(),
    };
    candidates.into_iter().find(|(_, address)| {
        let there = Nylas {
            base: address.clone(),
            ..nylas.clone()
        };
        there.grant(id).is_ok_and(|reply| reply.code == 200)
    })
}

fn sent_today(patient: &Patient<'_>, nylas: &Nylas<'_>, id: &str, address: &str) -> Finding {
    const ID: &str = "nylas-sent-today";
    let midnight = {
        let now = clock::now().seconds();
        now.saturating_sub(now % 86_400)
    };
    let counted = nylas.folders(id).and_then(|folders| match folders.sent {
        Some(sent) => nylas.sent_since(id, &sent, midnight).map(Some),
        None => Ok(None),
    });
    let count = match counted {
        Ok(Some(count)) => count,
        Ok(None) => {
            return warn(
                ID,
                format!("{address} has no Sent folder"),
                "look at the mailbox in Nylas' dashboard",
            );
        }
        Err(failure) => return skip(ID, failure.message, failure.fix),
    };
    let configured = || patient.variable("NYLAS_DAILY_CAP")?.parse().ok();
    let cap = patient.args.daily_cap.or_else(configured).unwrap_or(200);
    if cap == 0 {
        return pass(
            ID,
            format!("{address} sent {count} since 00:00 UTC; no cap"),
        );
    }
    let percent = count.saturating_mul(100).checked_div(cap).unwrap_or(0);
    let cause = format!("{address} sent {count} of {cap} since 00:00 UTC ({percent} %)");
    match percent {
        0..70 => pass(ID, cause),
        70..100 => warn(
            ID,
            cause,
            "add an account to NYLAS_ACCOUNTS before it is used up, or take a larger plan; --daily-cap gives this \
             command the plan's cap",
        ),
        _ => fail(
            ID,
            format!("{cause}: nothing more goes out before 00:00 UTC"),
            "add an account to NYLAS_ACCOUNTS now; codes cannot wait",
        ),
    }
}

fn webhook(patient: &mut Patient<'_>, reply: &Reply) -> Vec<Finding> {
    if reply.code != 200 {
        let cause = format!(
            "the list of webhooks was answered {}{}",
            reply.code,
            said(reply)
        );
        return WEBHOOK_CHECKS
            .into_iter()
            .map(|id| skip(id, cause.clone(), "try again"))
            .collect();
    }
    let body = reply.json();
    let webhooks = list(&body, "/data");
    let address = |webhook: &Value| text(webhook, "/webhook_url").to_owned();
    let ours: Vec<&Value> = webhooks
        .iter()
        .filter(|webhook| {
            let url = address(webhook);
            url.split_once('?')
                .map_or(url.as_str(), |(url, _)| url)
                .ends_with(WEBHOOK_PATH)
        })
        .collect();
    if let (None, [only]) = (&patient.url, ours.as_slice()) {
        patient.url = Some((relay_base(&address(only)).to_owned(), "from Nylas' webhook"));
    }
    let rest = |cause: &str, first: Finding| {
        let [_, status, triggers] = WEBHOOK_CHECKS;
        vec![
            first,
            skip(status, cause, "see nylas-webhook"),
            skip(triggers, cause, "see nylas-webhook"),
        ]
    };
    let wanted = patient
        .url
        .as_ref()
        .map(|(url, _)| format!("{url}{WEBHOOK_PATH}"));
    let found = match &wanted {
        Some(wanted) => ours.iter().find(|webhook| address(webhook) == *wanted),
        None => None,
    };
    const FIX: &str = "`relayctl setup --only webhook` makes it and stores its secret";
    let Some(webhook) = found else {
        let first = match (&wanted, ours.as_slice()) {
            (Some(wanted), []) => warn(
                "nylas-webhook",
                format!(
                    "no webhook goes to {wanted}: users' answers stay unread in the mailbox, and bounces are not \
                     recorded"
                ),
                FIX,
            ),
            (Some(wanted), [other, ..]) => fail(
                "nylas-webhook",
                format!("Nylas notifies {}, not {wanted}", address(other)),
                format!("{FIX}; delete the other in Nylas' dashboard, Notifications"),
            ),
            (None, []) => warn(
                "nylas-webhook",
                "no webhook goes to a relay: users' answers stay unread in the mailbox",
                FIX,
            ),
            (None, _) => skip(
                "nylas-webhook",
                "several webhooks go to relays, and this one's address is not known",
                "name it with --url",
            ),
        };
        return rest("there is no webhook to look at", first);
    };
    let mut findings = vec![pass("nylas-webhook", address(webhook))];
    findings.push(match text(webhook, "/status") {
        "active" => pass("nylas-webhook-status", "active"),
        other => fail(
            "nylas-webhook-status",
            format!("it is {other}: Nylas has stopped notifying the relay, and does not repeat what it left out"),
            "look at worker-challenge and worker-notifications, then `relayctl setup --only webhook` sets it to active",
        ),
    });
    const ADD: &str = "`relayctl setup --only webhook` adds what is missing";
    let missing = missing_triggers(webhook);
    let named = missing.join(", ");
    findings.push(if missing.contains(&"message.created") {
        let cause = format!("{named} missing: users' answers reach nobody");
        fail("nylas-webhook-triggers", cause, ADD)
    } else if missing.contains(&"message.send_failed") {
        let cause =
            format!("{named} missing: a mail that Nylas queued and then did not send is lost");
        fail("nylas-webhook-triggers", cause, ADD)
    } else if missing.is_empty() {
        pass("nylas-webhook-triggers", TRIGGERS.join(", "))
    } else {
        let cause = format!("{named} missing: what becomes of mails is not recorded");
        warn("nylas-webhook-triggers", cause, ADD)
    });
    findings
}
