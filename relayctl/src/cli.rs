//! The command line.

use crate::{
    admin, doctor, examples::after, prove, recipients, roundtrip, setup, shell, templates, trigger,
    verify,
};
use clap::{Parser, Subcommand};

/// Sets up, checks, tries out and repairs a clerk-nylas-relay.
#[derive(Parser, Debug)]
#[command(name = "relayctl", version, after_help = after!(
    "relayctl setup                        from empty accounts to a working relay",
    "relayctl doctor                       what is wrong, and what fixes it",
    "relayctl trigger --to you@example.com a sample mail",
    "relayctl --local status               the relay of `make dev`",
))]
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
    /// Takes address and secrets from the relay that `make dev` runs here
    #[arg(long, global = true)]
    pub local: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// From empty accounts to a working relay, step by step; can be repeated
    #[command(after_help = after!(
        "relayctl setup --dry-run               shows every step, and does nothing",
        "relayctl setup                         does them, and asks for what it does not know",
        "relayctl setup --only webhook,doctor   these steps",
        "relayctl setup --yes --email login@acme.example --region eu   asks nothing",
    ))]
    Setup(setup::SetupArgs),
    /// Plays Clerk: sends signed samples, hostile variants, small loads
    #[command(after_help = after!(
        "relayctl trigger --local",
        "relayctl trigger invitation --url https://relay.acme.workers.dev --to you@example.com --wait",
        "relayctl trigger --set data.otp_code=424242 --print",
        "relayctl trigger --local --repeat 10   the same request ten times at once: one mail",
        "relayctl trigger --local --hostile all",
        "relayctl trigger list",
    ))]
    Trigger(trigger::TriggerArgs),
    /// Judges a captured request and says why it fails
    #[command(after_help = after!(
        "relayctl verify --headers headers.txt --body body.json",
        "relayctl verify -H 'svix-id: msg_...' -H 'svix-timestamp: ...' -H 'svix-signature: v1,...' --body -",
    ))]
    Verify(verify::VerifyArgs),
    /// Checks everything: settings, Clerk, Nylas, the Worker, DNS
    #[command(after_help = after!(
        "relayctl doctor --url https://relay.acme.workers.dev",
        "relayctl doctor --only worker,dns",
        "relayctl doctor --strict --json",
    ))]
    Doctor(doctor::DoctorArgs),
    /// Sends a mail from the account to itself and times it
    #[command(after_help = after!(
        "relayctl roundtrip",
        "relayctl roundtrip --wait 300",
    ))]
    Roundtrip(roundtrip::RoundtripArgs),
    /// Asks the live services what no document says, with mails from the account to itself
    #[command(after_help = after!(
        "relayctl prove --hold 65   also asks after an hour whether Nylas still knows its answers",
        "relayctl prove",
    ))]
    Prove(prove::ProveArgs),
    /// Who delivers Clerk's templates: lists them, takes them, gives them back
    #[command(after_help = after!(
        "relayctl templates",
        "relayctl templates take verification_code --dry-run",
        "relayctl templates give-back verification_code",
    ))]
    Templates(templates::TemplatesArgs),
    /// What became of one message, or how the relay is doing
    #[command(after_help = after!(
        "relayctl status",
        "relayctl status msg_2tTEaTtwZ0xYyYzVxWwUuTtSsRr",
    ))]
    Status(admin::StatusArgs),
    /// Recent deliveries, dead letters, answers
    #[command(after_help = after!(
        "relayctl list --limit 50 --state queued",
        "relayctl list --dead",
        "relayctl list --replies --json",
    ))]
    List(admin::ListArgs),
    /// Follows deliveries as they happen
    #[command(after_help = after!(
        "relayctl tail",
        "relayctl tail --json | jq 'select(.state == \"rejected\")'",
    ))]
    Tail(admin::TailArgs),
    /// Sends a dead letter again, or all of them
    #[command(after_help = after!(
        "relayctl redrive msg_2tTEaTtwZ0xYyYzVxWwUuTtSsRr",
        "relayctl redrive --dead",
    ))]
    Redrive(admin::RedriveArgs),
    /// Who gets no mail
    #[command(after_help = after!(
        "relayctl suppression check ada@example.com",
        "relayctl suppression remove ada@example.com",
        "relayctl suppression list --since 2h",
    ))]
    Suppression(recipients::SuppressionArgs),
    /// Whom an account holds back while others' mails bounce
    #[command(after_help = after!(
        "relayctl guard list",
        "relayctl guard lift 2555ba67-ab7a-4d98-a8a4-df4a0e1a6c1e",
    ))]
    Guard(recipients::GuardArgs),
    /// The shape of the first real event of each template
    #[command(after_help = after!(
        "relayctl inspect",
        "relayctl inspect verification_code",
    ))]
    Inspect(admin::InspectArgs),
    /// Prints a script that completes commands and options in your shell
    #[command(after_help = after!(
        "relayctl completions bash > ~/.local/share/bash-completion/completions/relayctl",
        "relayctl completions zsh > ~/.zfunc/_relayctl   (with fpath+=~/.zfunc in ~/.zshrc)",
        "relayctl completions fish > ~/.config/fish/completions/relayctl.fish",
    ))]
    Completions(shell::CompletionsArgs),
    /// Prints the manual page
    #[command(after_help = after!(
        "relayctl man | man -l -",
        "relayctl man --out ~/.local/share/man/man1   a page for each command",
    ))]
    Man(shell::ManArgs),
}
