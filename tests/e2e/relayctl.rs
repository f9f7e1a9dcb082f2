//! The command line, built beside these tests, in a folder and an environment of its own.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// How to run it.
pub struct Relayctl {
    folder: PathBuf,
    env: BTreeMap<&'static str, String>,
}

/// How it ended.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("not JSON: {}", self.all()))
    }

    /// Only if it ended well.
    pub fn well(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.all());
        self
    }
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
        let output = Command::new(program())
            .args(arguments)
            .current_dir(&self.folder)
            .envs(&self.env)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Built by `cargo test --workspace`, or now.
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
