//! Runs the command line in a folder and an environment of its own.

#[path = "../../relayctl/tests/common/ran.rs"]
mod ran;

pub use ran::{Ran, states};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// `relayctl`, ready to run.
pub struct Relayctl {
    folder: PathBuf,
    env: BTreeMap<&'static str, String>,
}

impl Relayctl {
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            env: BTreeMap::new(),
        }
    }

    pub fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.env.insert(name, value.into());
        self
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(program());
        command
            .args(arguments)
            .current_dir(&self.folder)
            .envs(&self.env)
            .stdin(Stdio::null());
        command.output().unwrap().into()
    }
}

/// The program. `cargo test --workspace` has built it; otherwise it is built now.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let built = Command::new("cargo")
            .args(["build", "--quiet", "--locked", "-p", "relayctl"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.unwrap().success());
        let test = std::env::current_exe().unwrap();
        test.ancestors().nth(2).unwrap().join("relayctl")
    })
}
