//! The arguments of `prove`.

use clap::Args;
use std::path::PathBuf;

/// The arguments of `prove`.
#[derive(Args, Debug)]
pub struct ProveArgs {
    /// The folder of wrangler.toml and .dev.vars
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub folder: PathBuf,
    /// One of the configured accounts; otherwise the first
    #[arg(long, value_name = "GRANT_ID")]
    pub grant: Option<String>,
    /// Does not ask before it sends
    #[arg(long, short)]
    pub yes: bool,
    /// Also asks after that many minutes whether Nylas still knows its answers
    #[arg(long, value_name = "MINUTES", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=70))]
    pub hold: u64,
    /// The deployed Worker; without it, or without ADMIN_TOKEN, only Nylas is asked
    #[arg(long, env = "RELAY_URL")]
    pub url: Option<String>,
    /// A file with the token; otherwise the environment's ADMIN_TOKEN, or .dev.vars
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// A file with the key; otherwise the environment's NYLAS_API_KEY, or .dev.vars
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// How long a second takes (for tests)
    #[arg(long, hide = true, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub second_ms: u64,
}
