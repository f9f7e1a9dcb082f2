//! Where secrets come from: a file, the environment, `.dev.vars` or a prompt.
//!
//! Never the command line, because other processes can read it. Secrets are never printed.

use crate::failure::Failure;
use clerk_nylas_relay::model::secret::Secret;
use std::{fs, path::Path};

/// A secret and where it was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The secret.
    pub secret: Secret,
    /// Where it was found, in words.
    pub from: String,
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
    let dev_vars = folder.join(".dev.vars");
    let value = fs::read_to_string(&dev_vars)
        .ok()
        .and_then(|content| entry(&content, name))
        .filter(|value| !value.trim().is_empty());
    Ok(value.map(|value| Found {
        secret: Secret::new(value.trim()),
        from: ".dev.vars".to_owned(),
    }))
}

/// Like [`find`], but fails if there is none.
pub fn require(name: &str, file: Option<&Path>, folder: &Path) -> Result<Found, Failure> {
    find(name, file, folder)?.ok_or_else(|| {
        Failure::usage(
            format!("{name} is not known"),
            format!("put it into the environment variable {name}, into .dev.vars, or into a file named with the \
                     option for it (see --help)"),
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
}
