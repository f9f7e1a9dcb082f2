//! The stand-in as a program.

use nylas_stand_in::{Account, Options, StandIn};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
Answers as Nylas does, on this machine, and shows the mails it accepted.

nylas-stand-in --api-key KEY --account GRANT_ID=EMAIL[=NAME] [--account ...] [--listen ADDRESS:PORT]
               [--webhook URL=SECRET] [--quiet]

  --listen ADDRESS:PORT            where it listens (127.0.0.1:4010)
  --api-key KEY                    the key that requests must bear
  --account GRANT_ID=EMAIL[=NAME]  an account there is; repeatable
  --webhook URL=SECRET             a destination of all notifications, without asking it first; repeatable
  --quiet                          no line for each mail
  --help                           this

The accepted mails are shown at / , as JSON at /inbox.json; /inbox/wait?to=ADDRESS&timeout_ms=N waits for one.
/requests.json has every request, /notified.json every notification sent. POST to /control/rules makes requests go
wrong, to .../accounts changes an account, .../clock moves the clock, .../inbound brings a mail in, .../webhooks adds
a destination, .../mail-events and .../grant-events report to it, .../notifications sends it anything.
";

/// What the stand-in notifies of.
const TRIGGERS: [&str; 10] = [
    "message.created",
    "message.send_failed",
    "message.delivered",
    "message.bounced",
    "message.complaint",
    "message.rejected",
    "grant.created",
    "grant.updated",
    "grant.expired",
    "grant.deleted",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
    {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let Read {
        options,
        webhooks,
        quiet,
    } = match read(arguments) {
        Ok(read) => read,
        Err(problem) => return fail(2, &format!("{problem} (see --help)")),
    };
    let listen = options.listen;
    let stand_in = match StandIn::start_blocking(options) {
        Ok(stand_in) => stand_in,
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            return fail(
                1,
                &format!(
                    "{listen} is in use: stop what listens there, or choose another with --listen"
                ),
            );
        }
        Err(error) => return fail(1, &format!("cannot listen on {listen}: {error}")),
    };
    for (url, secret) in &webhooks {
        stand_in.add_webhook(url, secret, &TRIGGERS);
    }
    say(format_args!("listening on {}", stand_in.base_url()));
    show(&stand_in, quiet)
}

/// Prints a line for each mail, until the process is ended.
fn show(stand_in: &StandIn, quiet: bool) -> ExitCode {
    let mut shown = 0;
    loop {
        std::thread::sleep(Duration::from_millis(200));
        if quiet {
            continue;
        }
        let mails = stand_in.mails();
        for mail in mails.iter().skip(shown) {
            say(format_args!(
                "mail to {:?} from {:?}: {:?}",
                mail.to, mail.from_email, mail.subject
            ));
        }
        shown = mails.len();
    }
}

/// Prints a line on standard output. It does not matter whether anybody reads it.
fn say(line: std::fmt::Arguments) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn fail(code: u8, problem: &str) -> ExitCode {
    eprintln!("nylas-stand-in: {problem}");
    ExitCode::from(code)
}

/// What the command line says.
struct Read {
    options: Options,
    /// Addresses and secrets.
    webhooks: Vec<(String, String)>,
    quiet: bool,
}

fn read(arguments: Vec<String>) -> Result<Read, String> {
    let mut webhooks = Vec::new();
    let mut options = Options::new("", Vec::new());
    options.listen.set_port(4010);
    let mut quiet = false;
    let mut arguments = arguments.into_iter();
    while let Some(name) = arguments.next() {
        if name == "--quiet" {
            quiet = true;
            continue;
        }
        if !["--listen", "--api-key", "--account", "--webhook"].contains(&name.as_str()) {
            return Err(format!("unknown option {name}"));
        }
        let value = arguments
            .next()
            .ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--listen" => {
                options.listen = value
                    .parse()
                    .map_err(|_| format!("--listen {value}: not ADDRESS:PORT"))?
            }
            "--api-key" => options.api_key = value,
            "--webhook" => {
                let pair = value.rsplit_once('=').filter(|(url, _)| !url.is_empty());
                let (url, secret) =
                    pair.ok_or_else(|| format!("--webhook {value}: not URL=SECRET"))?;
                webhooks.push((url.to_owned(), secret.to_owned()));
            }
            _ => options.accounts.push(account(&value)?),
        }
    }
    match () {
        () if options.api_key.is_empty() => Err("--api-key is missing".to_owned()),
        () if options.accounts.is_empty() => Err("--account is missing".to_owned()),
        () => Ok(Read {
            options,
            webhooks,
            quiet,
        }),
    }
}

fn account(value: &str) -> Result<Account, String> {
    let mut parts = value.splitn(3, '=');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(grant_id), Some(email), name) if !grant_id.is_empty() && email.contains('@') => {
            Ok(Account {
                grant_id: grant_id.to_owned(),
                email: email.to_owned(),
                name: name.filter(|name| !name.is_empty()).map(str::to_owned),
            })
        }
        _ => Err(format!("--account {value}: not GRANT_ID=EMAIL[=NAME]")),
    }
}
