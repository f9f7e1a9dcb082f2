//! The arguments of `doctor`.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// The arguments of `doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// The folder of wrangler.toml and .dev.vars
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub folder: PathBuf,
    /// The deployed Worker; without it, the address of Nylas' webhook is taken
    #[arg(long, env = "RELAY_URL")]
    pub url: Option<String>,
    /// Only these groups of checks
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Group>,
    /// Mails a day the plan allows each account, 0: no cap; otherwise NYLAS_DAILY_CAP, or 200 as on the free plan
    #[arg(long)]
    pub daily_cap: Option<u64>,
    /// Clerk's API
    #[arg(
        long,
        env = "CLERK_API_BASE",
        default_value = "https://api.clerk.com",
        hide_default_value = true
    )]
    pub clerk_base: String,
    /// The other region of Nylas' (for tests)
    #[arg(long, env = "RELAYCTL_OTHER_REGION", hide = true)]
    pub other_region: Option<String>,
    /// Where names are looked up (DNS over HTTPS, as JSON)
    #[arg(
        long,
        env = "RELAYCTL_DNS",
        default_value = "https://cloudflare-dns.com/dns-query"
    )]
    pub dns: String,
    /// The DKIM selector Nylas' dashboard shows for the domain
    #[arg(long, value_name = "SELECTOR")]
    pub dkim_selector: Option<String>,
    /// Treats warnings as failures (exit code 1)
    #[arg(long)]
    pub strict: bool,
    /// Names every check and does none
    #[arg(long)]
    pub list: bool,
    /// Leaves out the secrets of .dev.vars, which setup does not deploy
    #[arg(skip)]
    pub without_dev_vars: bool,
}

/// A group of checks: the first word of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Group {
    /// wrangler.toml, .dev.vars, the environment
    Config,
    /// Clerk's API, with CLERK_SECRET_KEY
    Clerk,
    /// Nylas' API, with NYLAS_API_KEY
    Nylas,
    /// The deployed Worker
    Worker,
    /// The sender's domain
    Dns,
}
