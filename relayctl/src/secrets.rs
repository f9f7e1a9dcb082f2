//! Where secrets come from: a file, the environment, `.dev.vars` or a prompt.
//!
//! Never the command line, because other processes can read it. Secrets are never printed.

use crate::{failure::Failure, places::place};
use clerk_nylas_relay::{config::ADMIN_TOKEN_BYTES_MIN, model::secret::Secret};
use std::{fs, io::Write, path::Path};

/// A secret and where it was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The secret.
    pub secret: Secret,
    /// Where it was found, in words.
    pub from: String,
}

impl Found {
    /// A secret that was asked for.
    pub fn typed(secret: Secret) -> Self {
        Self {
            secret,
            from: "this terminal".to_owned(),
        }
    }
}

/// The secret of that name in the environment.
pub fn from_environment(name: &str) -> Option<Found> {
    let value = std::env::var(name).ok()?;
    let value = value.trim();
    (!value.is_empty()).then(|| Found {
        secret: Secret::new(value),
        from: "the environment".to_owned(),
    })
}

/// The secret of that name: from `file` if one is named, else from the environment, else from `.dev.vars` in `folder`.
pub fn find(name: &str, file: Option<&Path>, folder: &Path) -> Result<Option<Found>, Failure> {
    if let Some(file) = file {
        let content = fs::read_to_string(file).map_err(|error| {
            Failure::usage(
                format!("{} cannot be read: {error}", file.display()),
                "name a file that holds the secret, or NAME=VALUE lines",
            )
        })?;
        let value = entry(&content, name).or_else(|| {
            let bare = content.trim();
            (!bare.contains(['=', '\n']) || bare.starts_with("whsec_")).then(|| bare.to_owned())
        });
        return match value.filter(|value| !value.is_empty()) {
            Some(value) => Ok(Some(Found {
                secret: Secret::new(value),
                from: file.display().to_string(),
            })),
            None => Err(Failure::usage(
                format!("{} holds no {name}", file.display()),
                format!("write the secret alone into it, or a line {name}=..."),
            )),
        };
    }
    if let Some(found) = from_environment(name) {
        return Ok(Some(found));
    }
    Ok(in_dev_vars(name, folder).map(|value| Found {
        secret: Secret::new(&value),
        from: DEV_VARS.to_owned(),
    }))
}

/// The file of secrets and variables for development.
pub const DEV_VARS: &str = ".dev.vars";

/// What `.dev.vars` in that folder says of a name; empty counts as unset.
pub fn in_dev_vars(name: &str, folder: &Path) -> Option<String> {
    let content = fs::read_to_string(folder.join(DEV_VARS)).ok()?;
    let value = entry(&content, name)?.trim().to_owned();
    (!value.is_empty()).then_some(value)
}

/// Like [`find`], but fails if there is none.
pub fn require(name: &str, file: Option<&Path>, folder: &Path) -> Result<Found, Failure> {
    find(name, file, folder)?.ok_or_else(|| {
        Failure::usage(
            format!("{name} is not known"),
            format!(
                "{}. Put it into the environment variable {name}, into .dev.vars, or into a file named with the option \
                 for it (see --help)",
                place(name)
            ),
        )
    })
}

/// Asks a person, without showing what is typed. `None` if nothing was typed.
pub fn ask(question: &str, name: &str) -> Result<Option<Secret>, Failure> {
    let typed = rpassword::prompt_password(format!("{question}: ")).map_err(|error| {
        Failure::new(
            format!("the terminal could not be read: {error}"),
            format!("put it into the environment variable {name}"),
        )
    })?;
    let typed = typed.trim();
    Ok((!typed.is_empty()).then(|| Secret::new(typed)))
}

/// The value of a name in a file of `NAME=VALUE` lines.
pub fn entry(content: &str, name: &str) -> Option<String> {
    content.lines().find_map(|line| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (known, value) = line.split_once('=')?;
        (known.trim() == name).then(|| unquote(value.trim()).to_owned())
    })
}

fn unquote(value: &str) -> &str {
    for quote in ['"', '\'', '`'] {
        if let Some(rest) = value.strip_prefix(quote) {
            return rest.split_once(quote).map_or(rest, |(inside, _)| inside);
        }
    }
    value
        .split_once(" #")
        .map_or(value, |(value, _)| value.trim())
}

/// Refuses an `ADMIN_TOKEN` that the Worker would refuse, too.
pub fn check_admin_token(token: &Secret, from: &str) -> Result<(), Failure> {
    if token.reveal().len() >= ADMIN_TOKEN_BYTES_MIN {
        return Ok(());
    }
    Err(Failure::usage(
        format!(
            "the ADMIN_TOKEN in {from} is shorter than {ADMIN_TOKEN_BYTES_MIN} characters: it could be guessed"
        ),
        "`openssl rand -base64 24` makes a good one; store it with `npx wrangler secret put ADMIN_TOKEN`",
    ))
}

/// Writes a secret into a new file that only its owner can read. What is there already, a link included, is never
/// written to: somebody else may be able to read it.
pub fn write_new(file: &Path, secret: &str) -> Result<(), Failure> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options
        .open(file)
        .and_then(|mut file| file.write_all(format!("{secret}\n").as_bytes()));
    written.map_err(|error| {
        Failure::new(
            format!("{} cannot be written: {error}", file.display()),
            "name another file",
        )
    })
}

/// Random bytes from the system.
pub fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::new(
            format!("the system gave no random bytes: {error}"),
            "try again",
        )
    })?;
    Ok(bytes)
}

/// `N` random bytes as hexadecimal digits.
pub fn random_hex<const N: usize>() -> Result<String, Failure> {
    Ok(hex(&random::<N>()?))
}

/// The bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_wrangler_reads_them() {
        let content = "# C=no\nA=one\nB = \"two words # not a comment\"\nexport C='three' \nD=four # comment\n";
        assert_eq!(entry(content, "A").as_deref(), Some("one"));
        assert_eq!(
            entry(content, "B").as_deref(),
            Some("two words # not a comment")
        );
        assert_eq!(entry(content, "C").as_deref(), Some("three"));
        assert_eq!(entry(content, "D").as_deref(), Some("four"));
        assert_eq!(entry(content, "E"), None);
    }

    #[test]
    fn a_secret_goes_into_a_new_file_of_its_owners_alone() {
        let folder = std::env::temp_dir().join(format!("relayctl-secret-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("token");
        write_new(&file, "secret").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "secret\n");
        assert!(write_new(&file, "other").is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "secret\n");
        #[cfg(unix)]
        {
            use std::os::unix::fs::{PermissionsExt, symlink};
            let mode = fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let (target, link) = (folder.join("target"), folder.join("link"));
            symlink(&target, &link).unwrap();
            assert!(write_new(&link, "secret").is_err());
            assert!(!target.exists());
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_token_is_as_long_as_the_worker_wants_it() {
        let is_taken = |token: &str| check_admin_token(&Secret::new(token), "a file").is_ok();
        assert!(is_taken("0123456789abcdef"));
        for short in ["", "0123456789abcde"] {
            assert!(!is_taken(short), "{short}");
        }
    }
}
