//! `suppression` and `guard`: who gets no mail, and what ends that.
//!
//! The relay knows recipients by keyed hashes only. So a list shows keys, and only who knows an address can ask about
//! it.

use crate::{
    admin::{Admin, Target, number, time, unexpected},
    clock,
    examples::after,
    failure::Failure,
    http::{Http, Reply, list, text},
    nylas::encode,
    ui::{BAD, GOOD, Ui, WARN, table},
};
use clap::{Args, Subcommand};
use clerk_nylas_relay::model::time::UnixMillis;
use serde_json::{Value, json};
use std::time::Duration;

/// The arguments of `suppression`.
#[derive(Args, Debug)]
pub struct SuppressionArgs {
    /// What to do
    #[command(subcommand)]
    pub action: SuppressionAction,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: Target,
}

/// What is done with suppressed recipients.
#[derive(Subcommand, Debug)]
pub enum SuppressionAction {
    /// Shows who gets no mail, by key: the relay does not store addresses
    #[command(after_help = after!(
        "relayctl suppression list",
        "relayctl suppression list --since 2h   those of the last two hours",
    ))]
    List {
        /// Only those of the last minutes, hours or days: 30m, 2h, 7d
        #[arg(long, value_name = "TIME", value_parser = duration)]
        since: Option<Duration>,
    },
    /// Says whether, why and since when this address gets no mail
    #[command(after_help = after!("relayctl suppression check ada@example.com   exit code 1 if it gets none"))]
    Check {
        /// The address
        address: String,
    },
    /// Sends no more mail to this address
    #[command(after_help = after!("relayctl suppression add ada@example.com"))]
    Add {
        /// The address
        address: String,
    },
    /// Sends mail again: to this address, or to all that bounced lately
    #[group(id = "whom", required = true, multiple = false)]
    #[command(after_help = after!(
        "relayctl suppression remove ada@example.com",
        "relayctl suppression remove --since 2h   all that bounced in the last two hours",
    ))]
    Remove {
        /// The address
        #[arg(group = "whom")]
        address: Option<String>,
        /// Undoes a bad hour: those that bounced in the last minutes, hours or days. Complaints stay
        #[arg(long, value_name = "TIME", value_parser = duration, group = "whom")]
        since: Option<Duration>,
    },
}

/// The arguments of `guard`.
#[derive(Args, Debug)]
pub struct GuardArgs {
    /// What to do
    #[command(subcommand)]
    pub action: GuardAction,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: Target,
}

/// What is done with the guards of the accounts.
#[derive(Subcommand, Debug)]
pub enum GuardAction {
    /// Shows how much bounced today, and which share of mails to unproven recipients is held back
    #[command(after_help = after!("relayctl guard list   exit code 1 if an account holds anybody back"))]
    List,
    /// Holds nobody back until as many mails have bounced again
    #[command(after_help = after!("relayctl guard lift 2555ba67-ab7a-4d98-a8a4-df4a0e1a6c1e"))]
    Lift {
        /// The account's grant id
        grant_id: String,
    },
}

/// `30m`, `2h`, `7d`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number and m, h or d: 30m, 2h, 7d".to_owned();
    let (count, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(wrong)?;
    let count: u64 = count.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    Ok(Duration::from_secs(count.saturating_mul(seconds)))
}

/// Whether a row is of the last `since`.
fn is_since(row: &Value, since: Option<Duration>) -> bool {
    let at = UnixMillis(number(row, "/at").unwrap_or_default());
    since.is_none_or(|since| clock::now().since(at) <= since)
}

fn ask_about(
    admin: &Admin<'_>,
    method: &'static str,
    path: &str,
    address: &str,
) -> Result<Reply, Failure> {
    if !address.contains('@') || address.contains(char::is_whitespace) {
        return Err(Failure::usage(
            "that is not an address",
            "write it as it was: ada@example.com",
        ));
    }
    let reply = admin.call(method, path, Some(&json!({"address": address})))?;
    match reply.code {
        200 | 404 => Ok(reply),
        400 | 422 => Err(Failure::usage(
            "the Worker says that is not an address",
            "write it as it was: ada@example.com",
        )),
        _ => Err(unexpected(&reply)),
    }
}

/// Runs `suppression`.
///
/// # Errors
/// It was called wrongly, or the Worker did not answer as it should.
pub fn suppression(args: &SuppressionArgs, http: &Http, ui: &Ui) -> Result<bool, Failure> {
    let admin = Admin::new(&args.target, http)?;
    match &args.action {
        SuppressionAction::List { since } => suppressed(&admin, *since, ui),
        SuppressionAction::Check { address } => check(&admin, address, ui),
        SuppressionAction::Add { address } => {
            let reply = ask_about(&admin, "POST", "suppressions", address)?;
            if reply.code == 404 {
                return Err(unexpected(&reply));
            }
            ui.line(format!("{GOOD}suppressed{GOOD:#}: mails to this address are answered `suppressed` and not sent"));
            ui.document(&json!({"ok": true, "status": "suppressed"}));
            Ok(true)
        }
        SuppressionAction::Remove {
            address: Some(address),
            ..
        } => {
            let removed = ask_about(&admin, "DELETE", "suppressions", address)?.code == 200;
            let (status, says) = if removed {
                (
                    "removed",
                    "mails to this address are sent again (within a minute, everywhere)",
                )
            } else {
                ("not_found", "this address was not suppressed")
            };
            ui.line(format!("{status}: {says}"));
            ui.document(&json!({"ok": removed, "status": status}));
            Ok(removed)
        }
        SuppressionAction::Remove { since, .. } => undo(&admin, *since, ui),
    }
}

/// Suppressions of some time, the newest first.
struct Suppressions {
    rows: Vec<Value>,
    /// Whether these are all of that time.
    is_complete: bool,
}

/// How many the Worker gives at once.
const AT_ONCE: usize = 1000;

impl Suppressions {
    fn of(admin: &Admin<'_>, since: Option<Duration>) -> Result<Self, Failure> {
        let answer = admin.get(&format!("suppressions?limit={AT_ONCE}"))?;
        let given = list(&answer, "/suppressions");
        let is_full = given.len() >= AT_ONCE;
        // An older Worker does not say whether it has listed all; it lists as many, whichever they are.
        let said = answer.get("complete").and_then(Value::as_bool);
        let has_listed_all = said.unwrap_or(!is_full);
        let rows: Vec<Value> = given
            .iter()
            .filter(|row| is_since(row, since))
            .cloned()
            .collect();
        let ends_before = !is_full || rows.len() < given.len();
        Ok(Self {
            rows,
            is_complete: has_listed_all && ends_before,
        })
    }

    /// Says so if there may be more.
    fn say_if_more(&self, what_then: &str, ui: &Ui) {
        if !self.is_complete {
            ui.line(format!(
                "{WARN}not all{WARN:#}: more are suppressed than the relay lists at once; {what_then}"
            ));
        }
    }
}

fn suppressed(admin: &Admin<'_>, since: Option<Duration>, ui: &Ui) -> Result<bool, Failure> {
    let known = Suppressions::of(admin, since)?;
    let found = &known.rows;
    if found.is_empty() {
        ui.line("nobody is suppressed");
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|row| {
            vec![
                time(row, "/at"),
                text(row, "/key").to_owned(),
                text(row, "/reason").to_owned(),
            ]
        })
        .collect();
    for row in table(&rows) {
        ui.line(row);
    }
    known.say_if_more("a shorter --since may show all of its time", ui);
    let is_complete = known.is_complete;
    ui.document(&json!({"ok": is_complete, "complete": is_complete, "suppressions": found}));
    Ok(is_complete)
}

fn check(admin: &Admin<'_>, address: &str, ui: &Ui) -> Result<bool, Failure> {
    let reply = ask_about(admin, "POST", "suppressions/check", address)?;
    if reply.code == 404 {
        return Err(unexpected(&reply));
    }
    let known = reply.json();
    let is_suppressed = known.pointer("/suppressed").and_then(Value::as_bool) == Some(true);
    if is_suppressed {
        let reason = match text(&known, "/reason") {
            "" => "an older version did not say why",
            reason => reason,
        };
        let at = time(&known, "/at");
        ui.line(format!(
            "{BAD}suppressed{BAD:#} since {at}: {reason}; `relayctl suppression remove` ends it"
        ));
    } else {
        ui.line(format!("{GOOD}not suppressed{GOOD:#}"));
    }
    match number(&known, "/delivered_at") {
        Some(_) => ui.line(format!(
            "proven: a mail was delivered at {}; no guard holds its mails back",
            time(&known, "/delivered_at")
        )),
        None => {
            ui.line("unproven: no mail was delivered within 180 days, as far as Nylas reported")
        }
    }
    ui.document(&json!({"ok": !is_suppressed, "recipient": known}));
    Ok(!is_suppressed)
}

/// Lifts the suppressions of addresses that bounced lately, one by one.
fn undo(admin: &Admin<'_>, since: Option<Duration>, ui: &Ui) -> Result<bool, Failure> {
    let known = Suppressions::of(admin, since)?;
    let recent = known.rows.iter();
    let (bounced, others): (Vec<&Value>, Vec<&Value>) =
        recent.partition(|row| text(row, "/reason") == "bounced");
    let mut removed = 0_u64;
    for row in &bounced {
        let key = text(row, "/key");
        let reply = admin.call("DELETE", "suppressions", Some(&json!({"key": key})))?;
        match reply.code {
            200 => removed = removed.saturating_add(1),
            404 => {}
            _ => return Err(unexpected(&reply)),
        }
    }
    ui.line(format!(
        "removed: {removed}; mails to them are sent again (within a minute, everywhere)"
    ));
    if !others.is_empty() {
        ui.line(format!(
            "{WARN}left{WARN:#}: {} that complained or that an operator suppressed",
            others.len()
        ));
    }
    known.say_if_more("run this again in a minute for the others", ui);
    let ok = known.is_complete;
    ui.document(&json!({"ok": ok, "complete": ok, "removed": removed, "left": others.len()}));
    Ok(ok)
}

/// Runs `guard`.
///
/// # Errors
/// There is no such account, or the Worker did not answer as it should.
pub fn guard(args: &GuardArgs, http: &Http, ui: &Ui) -> Result<bool, Failure> {
    let admin = Admin::new(&args.target, http)?;
    match &args.action {
        GuardAction::List => {
            let summary = admin.get("summary")?;
            let accounts = list(&summary, "/accounts");
            let mut is_down = true;
            let rows: Vec<Vec<String>> = accounts
                .iter()
                .map(|account| {
                    let held_back = number(account, "/held_back_percent").unwrap_or_default();
                    is_down &= held_back == 0;
                    vec![
                        text(account, "/grant_id").to_owned(),
                        format!(
                            "{} bounced today",
                            number(account, "/bounced_today").unwrap_or_default()
                        ),
                        format!("{held_back} % of mails to unproven recipients held back"),
                    ]
                })
                .collect();
            for row in table(&rows) {
                ui.line(row);
            }
            ui.document(&json!({"ok": is_down, "accounts": accounts}));
            Ok(is_down)
        }
        GuardAction::Lift { grant_id } => {
            let path = format!("guards/{}", encode(grant_id));
            let reply = admin.call("DELETE", &path, None)?;
            match reply.code {
                200 => {
                    ui.line("lifted: nobody is held back until as many mails have bounced again");
                    ui.document(&json!({"ok": true, "status": "lifted"}));
                    Ok(true)
                }
                404 => Err(Failure::usage(
                    "the relay has no such account",
                    "`relayctl guard list` shows their grant ids",
                )),
                _ => Err(unexpected(&reply)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        for (text, seconds) in [("30m", 1800), ("2h", 7200), ("7d", 604_800)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)));
        }
        for wrong in ["", "h", "2", "2w", "-2h", "2 h", "2é"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
