//! `completions` and `man`: made from the command line's own definition, so that they are never out of date.

use crate::{failure::Failure, ui::Ui};
use clap::{Args, Command};
use clap_complete::Shell;
use serde_json::json;
use std::{fs, io::Write, path::PathBuf};

/// The arguments of `completions`.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// The arguments of `man`.
#[derive(Args, Debug)]
pub struct ManArgs {
    /// Writes a page for each command into this folder; otherwise the first page is printed
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

/// Runs `completions`: prints the script.
pub fn completions(args: &CompletionsArgs, mut command: Command) -> Result<bool, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "relayctl", &mut script);
    // A closed pipe (`| head`) is not a failure.
    let _ = std::io::stdout().write_all(&script);
    Ok(true)
}

/// Runs `man`.
pub fn man(args: &ManArgs, mut command: Command, ui: &Ui) -> Result<bool, Failure> {
    command.build();
    let Some(folder) = &args.out else {
        let _ = std::io::stdout().write_all(&page(command)?);
        return Ok(true);
    };
    let cannot = |error: std::io::Error| {
        Failure::new(
            format!("the pages cannot be written: {error}"),
            "name a folder that you may write to",
        )
    };
    fs::create_dir_all(folder).map_err(cannot)?;
    let mut written = Vec::new();
    for (name, one) in with_all_below("relayctl", command) {
        let name = format!("{name}.1");
        fs::write(folder.join(&name), page(one)?).map_err(cannot)?;
        ui.line(folder.join(&name).display());
        written.push(name);
    }
    ui.document(&json!({"ok": true, "pages": written}));
    Ok(true)
}

/// A command and all of its own, each with the name of its page, as `relayctl-suppression-add`.
fn with_all_below(name: &str, command: Command) -> Vec<(String, Command)> {
    let mut all: Vec<(String, Command)> = command
        .get_subcommands()
        .filter(|one| one.get_name() != "help")
        .flat_map(|one| with_all_below(&format!("{name}-{}", one.get_name()), one.clone()))
        .collect();
    all.push((name.to_owned(), command));
    all
}

fn page(command: Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    match clap_mangen::Man::new(command).render(&mut page) {
        Ok(()) => Ok(page),
        Err(error) => Err(Failure::new(
            format!("the page was not made: {error}"),
            "report it",
        )),
    }
}
