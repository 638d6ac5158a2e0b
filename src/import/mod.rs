//! Reads the configuration of the server that stood here before, and writes one for this program.
//!
//! What is written is a draft that `check` accepts, but for secrets, which it asks for by name. What
//! became of each directive is said in a [`Report`].

mod apache;
mod assembly;
mod authority;
mod directive;
mod draft;
mod guard;
mod guess;
mod headers;
mod htpasswd;
mod literal;
mod nginx;
mod place;
mod quantity;
mod report;
mod service;
mod sources;
mod subject;
mod template;

pub use place::{ImportError, Place};
pub use report::{Credential, Needed, Note, Report, Verdict};

use draft::{Draft, Secrets};
use report::Ledger;
use std::path::{Path, PathBuf};

/// Whose configuration is read.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Server {
    /// NGINX's: a whole nginx.conf, or a file with servers.
    Nginx(Options),
    /// Apache's: a whole apache2.conf or httpd.conf, or a file of a site.
    Apache(Options),
}

/// What is read, and what it does not say itself.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The configuration. What it includes is read, too.
    pub file: PathBuf,
    /// What relative names in it are relative to; by default its directory, or the one above for conf.d and the like.
    #[arg(long, value_name = "DIRECTORY")]
    pub prefix: Option<PathBuf>,
    /// The path of the webhook, where the configuration passes more on than that.
    #[arg(long, value_name = "PATH")]
    pub webhook: Option<String>,
    /// Only the server with this name.
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,
    /// For the service in conf/systemd, which gets the key and the secrets as credentials.
    #[arg(long)]
    pub systemd: bool,
}

/// What was made of it.
#[derive(Clone, Debug)]
pub struct Imported {
    /// A configuration for this program.
    pub config: String,
    /// What became of each directive.
    pub report: Report,
}

/// Reads a configuration.
///
/// # Errors
/// If it cannot be read, or there is nothing in it for this program.
pub fn run(server: &Server) -> Result<Imported, ImportError> {
    match server {
        Server::Nginx(options) => nginx::import(options),
        Server::Apache(options) => apache::import(options),
    }
}

/// The configuration, and all that is to be said about it.
fn written(mut draft: Draft, secrets: Secrets, ledger: Ledger, options: &Options) -> Imported {
    let needed = secrets.into_needed();
    let credentials = options.systemd.then(|| service::adapt(&mut draft, &needed));
    Imported { config: draft.to_string(), report: Report { notes: ledger.into_notes(), needed, credentials } }
}

/// What relative names are relative to: as the options say, or the directory of the main file, which is the one above if
/// the directory is one of `included`.
fn base(options: &Options, included: &[&str]) -> PathBuf {
    if let Some(prefix) = &options.prefix {
        return prefix.clone();
    }
    let directory = options.file.parent().unwrap_or(Path::new(""));
    let absolute = absolute(directory);
    let is_included = absolute.file_name().is_some_and(|name| included.iter().any(|other| name == *other));
    match (is_included, absolute.parent()) {
        (true, Some(above)) => above.to_owned(),
        _ => directory.to_owned(),
    }
}

fn absolute(directory: &Path) -> PathBuf {
    // An empty path is none.
    std::path::absolute(directory.join(".")).unwrap_or_else(|_| directory.to_owned())
}
