//! The programs of other projects, and what they say about themselves.

use regex::Regex;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that is a gateway.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// What it is called in the tables.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// The version of a gateway, and of what it has its TLS from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) gateway: String,
    pub(crate) tls: String,
}

impl Program {
    /// The program that `text` names as `PATH` or `NAME=PATH`.
    pub(crate) fn named(text: &str, name: &str) -> Self {
        let (name, path) = text.split_once('=').unwrap_or((name, text));
        Self {
            name: name.to_owned(),
            path: path.into(),
        }
    }

    /// Those that were named, or else the one that is installed.
    pub(crate) fn all(named: &[String], name: &str, program: &str) -> Vec<Self> {
        if named.is_empty() {
            let path = find(program).unwrap_or_else(|| program.into());
            let name = name.to_owned();
            return vec![Self { name, path }];
        }
        named.iter().map(|text| Self::named(text, name)).collect()
    }

    /// A file of the same installation: that of `/usr/sbin/nginx` is below `/usr/lib`.
    pub(super) fn library(&self, path: &str) -> PathBuf {
        let prefix = self.path.ancestors().nth(2).unwrap_or(Path::new("/usr"));
        prefix.join("lib").join(path)
    }

    pub(super) fn command(&self) -> Command {
        Command::new(&self.path)
    }

    /// What it prints when it is asked like this.
    pub(super) fn ask(&self, argument: &str) -> Result<String, String> {
        let output = self
            .command()
            .arg(argument)
            .output()
            .map_err(|error| format!("{}: {error}", self.path.display()))?;
        let text = [output.stdout, output.stderr].concat();
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Its version, and its TLS library if it names one.
    pub(super) fn version(&self, argument: &str) -> Result<Version, String> {
        let text = self.ask(argument)?;
        let gateway = last(&text, r"\A[^0-9]*(\d+\.[\d.]*\d)")
            .ok_or_else(|| format!("no version in {text:?}"))?;
        // One that is compatible with OpenSSL says so first.
        let tls = last(
            &text,
            r"(?:OpenSSL|AWS-LC|LibreSSL|BoringSSL|wolfSSL) \d[\w.]*",
        );
        Ok(Version {
            gateway,
            tls: tls.unwrap_or_else(|| "–".into()),
        })
    }
}

/// The first group of the last match, or the match.
pub(super) fn last(text: &str, pattern: &str) -> Option<String> {
    let pattern = Regex::new(pattern).expect("the patterns here are correct");
    let found = pattern.captures_iter(text).last()?;
    let part = found.get(1).or(found.get(0))?;
    Some(part.as_str().to_owned())
}

/// A program, also where only administrators look.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(more)
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}
