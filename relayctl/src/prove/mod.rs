//! `relayctl prove`: asks the live services what no document says. See `docs/relayctl.md`.
//!
//! It sends mails, but only from a configured account to itself, and only as many as it said before.

mod answer;
mod args;
mod mailbox;
mod mailer;
mod prober;
mod questions;
mod smtp;
mod worker;

pub use args::ProveArgs;
pub use mailer::MAILS_MAX;
pub use questions::{QUESTIONS, Question};

use crate::{
    clock,
    failure::Failure,
    http::{Http, check_given, text},
    nylas::{Nylas, REGIONS, base, ok},
    places::place,
    project::{Project, Settings},
    secrets,
    ui::{BOLD, DIM, Ui},
};
use answer::{Answer, Verdict};
use clerk_nylas_relay::{config::NYLAS_API_BASE_DEFAULT, model::account::Account};
use mailbox::SENDS_MAX;
use mailer::Mailer;
use prober::{Pace, Prober};
use serde_json::{Value, json};
use std::io::{self, Write};

/// Runs `prove`. Returns whether no assumption was found wrong.
pub fn run(args: &ProveArgs, http: &Http, ui: &Ui) -> Result<bool, Failure> {
    check_given(args.url.as_deref())?;
    let project = Project::read(&args.folder)?;
    let settings = Settings::new(project.as_ref(), &args.folder);
    let accounts = settings.accounts();
    let account = chosen(args, &accounts)?;
    let configured = settings.variable("NYLAS_API_BASE");
    let configured = configured.unwrap_or_else(|| NYLAS_API_BASE_DEFAULT.to_owned());
    let base = base(&configured).ok_or_else(|| {
        Failure::usage(
            "NYLAS_API_BASE is not an address the relay accepts",
            "https://api.us.nylas.com or https://api.eu.nylas.com",
        )
    })?;
    let key = secrets::require("NYLAS_API_KEY", args.key_file.as_deref(), &args.folder)?;
    let nylas = Nylas::new(http, base, key);
    let grant_id = account.grant_id.as_str();
    let address = own_address(&nylas, &account)?;
    let pace = Pace(args.second_ms);
    let hold = pace.seconds(args.hold.saturating_mul(60));
    agreed(args, ui, &address)?;
    let prober = Prober {
        nylas: &nylas,
        mailer: Mailer::new(&nylas, grant_id, &address, SENDS_MAX),
        grant_id,
        run: format!("prove_{}", secrets::random_hex::<8>()?),
        pace,
        hold,
    };
    let (mut answers, keys) = mailbox::ask(&prober, ui);
    answers.extend(worker::ask(&prober, args, keys.accepted, http, ui));
    let over_smtp = smtp::ask(&prober, &args.folder, settings, &accounts, ui);
    answers.push(over_smtp);
    answers.push(mailbox::still_kept(&prober, &keys, ui));
    answers.sort_by_key(|answer| QUESTIONS.iter().position(|known| known.id == answer.id));
    Ok(report(&answers, &prober, ui))
}

/// The account to ask. One that is not configured is refused: it is not the relay's, and may be a person's mailbox.
fn chosen(args: &ProveArgs, configured: &[Account]) -> Result<Account, Failure> {
    let is_wanted = |account: &&Account| {
        args.grant
            .as_ref()
            .is_none_or(|wanted| account.grant_id.as_str() == wanted)
    };
    match (configured.iter().find(is_wanted), &args.grant) {
        (Some(account), _) => Ok(account.clone()),
        (None, Some(_)) => Err(Failure::usage(
            "the account of --grant is not one of those in NYLAS_GRANT_ID or NYLAS_ACCOUNTS",
            "prove mails the relay's own accounts only: name one of them, or leave --grant out",
        )),
        (None, None) => Err(Failure::usage(
            "no account is configured",
            format!(
                "run it in the project's folder, or set NYLAS_GRANT_ID ({})",
                place("NYLAS_GRANT_ID")
            ),
        )),
    }
}

/// The account's address, by Nylas' own record. It must be the configured one, of an Agent Account that can send.
fn own_address(nylas: &Nylas<'_>, account: &Account) -> Result<String, Failure> {
    let reply = nylas.grant(account.grant_id.as_str())?;
    ok(&reply)?;
    let grant = reply.json();
    let of = |name: &str| text(&grant, &format!("/data/{name}")).to_owned();
    let address = of("email");
    let wrong = if of("provider") != "nylas" {
        Some("it is a connected mailbox and no Agent Account")
    } else if of("grant_status") != "valid" || grant.pointer("/data/blocked") == Some(&true.into())
    {
        Some("it cannot send at the moment")
    } else if address.is_empty() || account.email.as_ref().is_some_and(|own| *own != address) {
        Some("its address is not the configured one")
    } else {
        None
    };
    match wrong {
        None => Ok(address),
        Some(wrong) => Err(Failure::new(
            format!("the account is not asked: {wrong}"),
            "`relayctl doctor --only nylas` says more",
        )),
    }
}

/// Says what will be sent, and asks unless `--yes` was given. With `--json` it is said on standard error, and without
/// the address: that may be attached to a report, too.
fn agreed(args: &ProveArgs, ui: &Ui, address: &str) -> Result<(), Failure> {
    let from = if ui.json { "the account" } else { address };
    let said = format!(
        "prove sends at most {BOLD}{SENDS_MAX}{BOLD:#} mails, all from {from} to itself. They count against the \
         account's day\nand the plan's month. It takes two to five minutes{}.",
        match args.hold {
            0 => String::new(),
            minutes => format!(", and {minutes} more"),
        }
    );
    ui.line(&said);
    if ui.json {
        let _ = writeln!(anstream::stderr(), "{said}");
    }
    if args.yes {
        return Ok(());
    }
    let declined = || {
        Failure::usage(
            "nothing was sent, because nobody agreed",
            "answer yes, or use --yes",
        )
    };
    if !ui.can_ask() {
        return Err(declined());
    }
    let _ = write!(anstream::stderr(), "Send them? (yes, no): ");
    let mut line = String::new();
    let read = io::stdin().read_line(&mut line);
    let agrees = ["y", "yes"].contains(&line.trim().to_ascii_lowercase().as_str());
    if read.is_ok() && agrees {
        Ok(())
    } else {
        Err(declined())
    }
}

/// Prints the answers. Returns whether none was that an assumption does not hold.
fn report(answers: &[Answer], prober: &Prober<'_>, ui: &Ui) -> bool {
    let mut rows: Vec<Value> = Vec::new();
    for (question, answer) in answers.iter().filter_map(|answer| {
        let question = QUESTIONS.iter().find(|known| known.id == answer.id)?;
        Some((question, answer))
    }) {
        let (style, words) = answer.verdict.words();
        ui.line(format!(
            "\n{style}{words:<18}{style:#}{BOLD}{}{BOLD:#}",
            question.id
        ));
        ui.line(format!("  asked:   {}", question.asked));
        ui.line(format!("  assumed: {}", question.assumed));
        ui.line(format!("  came:    {}", answer.came));
        ui.line(format!("  {DIM}rests on it: {}{DIM:#}", question.rule));
        if answer.verdict != Verdict::Holds {
            ui.line(format!("  if not:  {}", question.set));
        }
        rows.push(json!({
            "id": question.id, "asked": question.asked, "assumed": question.assumed, "came": answer.came,
            "verdict": answer.verdict.name(), "rule": question.rule, "set": question.set,
        }));
    }
    let count = |wanted: Verdict| {
        let such = answers.iter().filter(|answer| answer.verdict == wanted);
        such.count()
    };
    let [holds, does_not, untold] = [
        Verdict::Holds,
        Verdict::DoesNotHold,
        Verdict::CouldNotBeTold,
    ]
    .map(count);
    let mails = prober.mailer.sent();
    ui.line(format!(
        "\n{BOLD}{holds} hold, {does_not} do not, {untold} could not be told; {mails} sends{BOLD:#}"
    ));
    let region = REGIONS
        .iter()
        .find(|(_, address)| *address == prober.nylas.base);
    ui.document(&json!({
        "ok": does_not == 0,
        "version": env!("CARGO_PKG_VERSION"),
        "at": clock::utc(clock::now()),
        "region": region.map_or("other", |(name, _)| name),
        "mails": mails,
        "mails_at_most": SENDS_MAX,
        "answers": rows,
    }));
    does_not == 0
}
