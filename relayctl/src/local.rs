//! `--local`: takes every setting from the relay that `make dev` runs on this machine.

use crate::{failure::Failure, ui::Ui};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The file that `make dev` writes while it runs: `NAME=VALUE` lines.
const PROFILE: &str = ".wrangler/relay-local.env";
/// Set in the environment of a command that got its settings from there.
const MARK: &str = "RELAYCTL_LOCAL";

/// Whether this command got its settings from the profile.
pub fn is_local() -> bool {
    env::var_os(MARK).is_some()
}

/// With `--local`, runs this command again with the profile's settings in its environment, and returns its exit code.
pub fn rerun() -> Option<u8> {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let options = arguments.iter().take_while(|argument| *argument != "--");
    if is_local() || !options.into_iter().any(|argument| argument == "--local") {
        return None;
    }
    let json = arguments.iter().any(|argument| argument == "--json");
    match with_profile(&arguments) {
        Ok(code) => Some(code),
        Err(failure) => {
            Ui { json }.failure(&failure);
            Some(failure.exit_code())
        }
    }
}

fn with_profile(arguments: &[std::ffi::OsString]) -> Result<u8, Failure> {
    let here = env::current_dir().unwrap_or_default();
    let (file, text) = profile(&here).ok_or_else(|| {
        Failure::usage(
            "there is no relay of `make dev` here",
            "run `make dev` in the project's folder, and this in another terminal, in that folder",
        )
    })?;
    let failed = |error: std::io::Error| {
        Failure::new(
            format!("the settings in {} cannot be used: {error}", file.display()),
            "run `make dev` again",
        )
    };
    let settings = text.lines().filter_map(|line| line.split_once('='));
    let status = Command::new(env::current_exe().map_err(failed)?)
        .args(arguments.iter().filter(|argument| *argument != "--local"))
        .envs(settings)
        .env(MARK, "1")
        .status()
        .map_err(failed)?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1))
}

/// The profile of this folder, or of the nearest one above.
fn profile(folder: &Path) -> Option<(PathBuf, String)> {
    folder.ancestors().find_map(|folder| {
        let file = folder.join(PROFILE);
        fs::read_to_string(&file).ok().map(|text| (file, text))
    })
}
