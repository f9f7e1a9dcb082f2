//! The command line.

use crate::{admin, doctor, prove, recipients, roundtrip, setup, templates, trigger, verify};
use clap::{Parser, Subcommand};

const AFTER: &str =
    "Exit codes: 0 done, or all well; 1 failed, or a problem was found; 2 called wrongly.
Secrets come from the environment, from .dev.vars in the current folder, from a file or a prompt; \
never from an argument.
setup does not read .dev.vars: secrets for development are not deployed.
NO_COLOR=1 turns colours off. Everything is explained in docs/relayctl.md.";

/// Sets up, checks, tries out and repairs a clerk-nylas-relay.
#[derive(Parser, Debug)]
#[command(name = "relayctl", version, after_help = AFTER)]
pub struct Cli {
    /// Prints one JSON document (`tail`: one a line) in place of text
    #[arg(long, global = true)]
    pub json: bool,
    /// How long any request may take
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        default_value_t = 20,
        value_parser = clap::value_parser!(u64).range(1..=600)
    )]
    pub timeout: u64,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// From empty accounts to a working relay, step by step; can be repeated
    #[command(after_help = AFTER)]
    Setup(setup::SetupArgs),
    /// Plays Clerk: sends signed samples, hostile variants, small loads
    #[command(after_help = AFTER)]
    Trigger(trigger::TriggerArgs),
    /// Judges a captured request and says why it fails
    #[command(after_help = AFTER)]
    Verify(verify::VerifyArgs),
    /// Checks everything: settings, Clerk, Nylas, the Worker, DNS
    #[command(after_help = AFTER)]
    Doctor(doctor::DoctorArgs),
    /// Sends a mail from the account to itself and times it
    #[command(after_help = AFTER)]
    Roundtrip(roundtrip::RoundtripArgs),
    /// Asks the live services what no document says, with mails from the account to itself
    #[command(after_help = AFTER)]
    Prove(prove::ProveArgs),
    /// Who delivers Clerk's templates: lists them, takes them, gives them back
    #[command(after_help = AFTER)]
    Templates(templates::TemplatesArgs),
    /// What became of one message, or how the relay is doing
    #[command(after_help = AFTER)]
    Status(admin::StatusArgs),
    /// Recent deliveries, dead letters, answers
    #[command(after_help = AFTER)]
    List(admin::ListArgs),
    /// Follows deliveries as they happen
    #[command(after_help = AFTER)]
    Tail(admin::TailArgs),
    /// Sends a dead letter again, or all of them
    #[command(after_help = AFTER)]
    Redrive(admin::RedriveArgs),
    /// Who gets no mail
    #[command(after_help = AFTER)]
    Suppression(recipients::SuppressionArgs),
    /// Whom an account holds back while others' mails bounce
    #[command(after_help = AFTER)]
    Guard(recipients::GuardArgs),
    /// The shape of the first real event of each template
    #[command(after_help = AFTER)]
    Inspect(admin::InspectArgs),
}
