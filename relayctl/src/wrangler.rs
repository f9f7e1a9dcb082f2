//! Runs wrangler, Cloudflare's own command. It gets secrets on standard input, never as arguments.

use crate::{clock::Stopwatch, failure::Failure, project::SECRETS};
use anstream::adapter::strip_str;
use std::{
    io::{Read, Write},
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

/// How long a command may take.
const LIMIT: Duration = Duration::from_secs(180);
/// How long a deployment may take: it may have to compile first.
const DEPLOY_LIMIT: Duration = Duration::from_secs(1800);

/// What Cloudflare says of an account that never had a Worker: its code, its words, and wrangler's own.
const NO_ADDRESS: [&str; 3] = [
    "code: 10063",
    "You need a workers.dev subdomain",
    "register a workers.dev subdomain",
];
/// Where such an account gets its address.
const WORKERS_PAGE: &str = "https://dash.cloudflare.com/?to=/:account/workers/onboarding";

/// wrangler, and the folder it runs in.
#[derive(Clone, Debug)]
pub struct Wrangler {
    /// The program and its first arguments.
    pub program: String,
    /// Where `wrangler.toml` is.
    pub folder: PathBuf,
}

/// The result of a command.
#[derive(Clone, Debug)]
pub struct Printed {
    /// Whether it ended with exit code 0.
    pub ok: bool,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Printed {
    /// The JSON in the output. wrangler may print a banner before it.
    pub fn json(&self) -> Option<serde_json::Value> {
        let start = self.out.find(['[', '{'])?;
        serde_json::from_str(self.out.get(start..)?).ok()
    }

    /// Fails with wrangler's own error if the command failed.
    pub fn checked(self, args: &[&str]) -> Result<Self, Failure> {
        if self.ok {
            return Ok(self);
        }
        if NO_ADDRESS.iter().any(|words| self.says(words)) {
            return Err(Failure::new(
                format!(
                    "Cloudflare takes no Worker yet (`wrangler {}`): this account has no address on workers.dev",
                    args.join(" ")
                ),
                format!(
                    "open {WORKERS_PAGE}, which makes the address, and run setup again: what is done stays done"
                ),
            ));
        }
        Err(Failure::new(
            format!("`wrangler {}` failed: {}", args.join(" "), self.complaint()),
            "fix that and run setup again: what is done stays done",
        ))
    }

    /// Like [`Printed::checked`], and fails if the output is not JSON.
    pub fn checked_json(self, args: &[&str]) -> Result<serde_json::Value, Failure> {
        self.checked(args)?.json().ok_or_else(|| {
            Failure::new(
                format!(
                    "`wrangler {}` printed something that is not JSON",
                    args.join(" ")
                ),
                "use the wrangler of this project's package-lock.json: `npm ci`",
            )
        })
    }

    /// Whether the output or the error contains these words.
    pub fn says(&self, words: &str) -> bool {
        self.err.contains(words) || self.out.contains(words)
    }

    /// wrangler's error and its explanation, without colours and the advice to report it.
    fn complaint(&self) -> String {
        let all = format!("{}\n{}", self.err, self.out);
        let plain = strip_str(&all).to_string();
        let lines = || plain.lines().map(str::trim).filter(|line| !line.is_empty());
        let is_of_the_error = |line: &&str| {
            !["\u{1fab5}", "If you think"]
                .iter()
                .any(|end| line.starts_with(end))
        };
        let error: Vec<&str> = lines()
            .skip_while(|line| !line.contains("ERROR"))
            .take_while(is_of_the_error)
            .take(6)
            .collect();
        if error.is_empty() {
            lines().next_back().unwrap_or("nothing").to_owned()
        } else {
            error.join(" ")
        }
    }
}

impl Wrangler {
    /// Runs a command and returns its output, whether it failed or not.
    pub fn try_run(&self, args: &[&str], input: Option<&str>) -> Result<Printed, Failure> {
        let shown = format!("wrangler {}", args.join(" "));
        let mut words = self.program.split_whitespace();
        let program = executable(words.next().unwrap_or("npx"), cfg!(windows));
        let mut command = Command::new(program);
        command
            .args(words)
            .args(args)
            .current_dir(&self.folder)
            .env("WRANGLER_SEND_METRICS", "false")
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for name in SECRETS.into_iter().chain(["CLERK_SECRET_KEY"]) {
            command.env_remove(name);
        }
        let mut child = command.spawn().map_err(|error| {
            Failure::new(
                format!("{} cannot be run: {error}", self.program),
                "install Node 22 and run `npm ci` in the project, or name wrangler with --wrangler",
            )
        })?;
        if let Some(mut stdin) = child.stdin.take() {
            // If the program does not read its input, its exit code says more than this error.
            let _ = stdin.write_all(input.unwrap_or_default().as_bytes());
        }
        let out = child.stdout.take().map(drain);
        let err = child.stderr.take().map(drain);
        let limit = if args.first() == Some(&"deploy") {
            DEPLOY_LIMIT
        } else {
            LIMIT
        };
        let watch = Stopwatch::start();
        let ended = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if watch.elapsed() < limit => {
                    std::thread::sleep(Duration::from_millis(20))
                }
                Ok(None) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(Failure::new(
                        format!("`{shown}` did not end within {} s", limit.as_secs()),
                        "run it by hand and see what it waits for",
                    ));
                }
                Err(error) => {
                    return Err(Failure::new(
                        format!("`{shown}` was lost: {error}"),
                        "run it again",
                    ));
                }
            }
        };
        let text = |reader: Option<std::thread::JoinHandle<String>>| {
            reader
                .and_then(|reader| reader.join().ok())
                .unwrap_or_default()
        };
        Ok(Printed {
            ok: ended.success(),
            out: text(out),
            err: text(err),
        })
    }

    /// Runs a command, and fails with wrangler's own error if it failed.
    pub fn run(&self, args: &[&str], input: Option<&str>) -> Result<Printed, Failure> {
        self.try_run(args, input)?.checked(args)
    }

    /// Fails unless wrangler is logged in.
    pub fn check_login(&self) -> Result<(), Failure> {
        let printed = self.try_run(&["whoami", "--json"], None)?;
        if printed.ok {
            return Ok(());
        }
        let what = if printed.out.contains("loggedIn") {
            "wrangler is not logged in to Cloudflare".to_owned()
        } else {
            format!("wrangler cannot ask Cloudflare: {}", printed.complaint())
        };
        Err(Failure::new(
            what,
            "`npx wrangler login`, or CLOUDFLARE_API_TOKEN (and CLOUDFLARE_ACCOUNT_ID) in the environment",
        ))
    }

    /// Runs a command and returns the JSON that it printed.
    pub fn json(&self, args: &[&str]) -> Result<serde_json::Value, Failure> {
        self.try_run(args, None)?.checked_json(args)
    }
}

fn drain(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// On Windows, npm's programs have the extension `.cmd`, which must be given.
fn executable(program: &str, is_windows: bool) -> String {
    if is_windows && matches!(program, "npx" | "npm" | "pnpm" | "wrangler") {
        format!("{program}.cmd")
    } else {
        program.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn npms_programs_have_another_name_on_windows() {
        assert_eq!(executable("npx", true), "npx.cmd");
        assert_eq!(executable("npx", false), "npx");
        assert_eq!(
            executable("C:\\tools\\wrangler.exe", true),
            "C:\\tools\\wrangler.exe"
        );
    }
}
