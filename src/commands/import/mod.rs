//! Reads the configuration of the server that stood here before, and writes one for this program:
//! its webhook, and nothing else.
//!
//! What is written is a draft that `check` accepts, but for secrets, which it asks for by name.
//! What became of each directive that concerns the webhook is said in a [`ImportReport`].

mod access;
mod apache;
mod authority;
mod builder;
mod directive;
mod headers;
mod known;
mod location;
mod networks;
mod nginx;
mod quantity;
mod regex_literal;
mod report;
mod service;
mod sources;
mod subject_match;
mod template;
mod toml_writer;
mod webhook_detection;

pub use location::{ImportError, SourceLocation};
pub use report::{Disposition, ImportReport, Note, SecretFile, ServiceCredential};

use builder::Builder;
use std::path::{Path, PathBuf};

/// Whose configuration is read.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum ImportSource {
    /// NGINX's: a whole nginx.conf, or a file with servers.
    Nginx(Options),
    /// Apache's: a whole apache2.conf or httpd.conf, or a file of a site.
    Apache(Options),
}

/// What is read, and what it does not say itself.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// The configuration. What it includes is read, too.
    pub file: PathBuf,
    /// What relative names in it are relative to; by default its directory, or the one above for
    /// conf.d and the like.
    #[arg(long, value_name = "DIRECTORY")]
    pub prefix: Option<PathBuf>,
    /// The path of the webhook, as it stands in the URL in Netdata Cloud; may be given several
    /// times.
    #[arg(long, value_name = "PATH")]
    pub webhook: Vec<String>,
    /// A path, or with /* at its end all below it, that is to be passed on besides; may be given
    /// several times.
    #[arg(long, value_name = "PATH")]
    pub proxy: Vec<String>,
    /// Only the server with this name.
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,
    /// For the service in conf/systemd, which gets the key and the secrets as credentials.
    #[arg(long)]
    pub systemd: bool,
    /// List each directive that is not needed, and why.
    #[arg(long)]
    pub verbose: bool,
}

/// What was made of it.
#[derive(Clone, Debug)]
pub struct Imported {
    /// A configuration for this program.
    pub config: String,
    /// What became of each directive.
    pub report: ImportReport,
}

/// Why nothing was made of it.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct ImportFailure {
    /// What stands in the way, and which option helps.
    pub error: ImportError,
    /// What became of the directives that were looked at.
    pub report: Box<ImportReport>,
}

/// Reads a configuration.
///
/// # Errors
/// If it cannot be read, or there is nothing in it for this program.
pub fn run(server: &ImportSource) -> Result<Imported, ImportFailure> {
    match server {
        ImportSource::Nginx(options) => finish(options, |builder| nginx::import(options, builder)),
        ImportSource::Apache(options) => {
            finish(options, |builder| apache::import(options, builder))
        }
    }
}

/// The configuration, and all that is to be said about it.
fn finish(
    options: &Options,
    import: impl FnOnce(&mut Builder) -> Result<(), ImportError>,
) -> Result<Imported, ImportFailure> {
    let mut builder = Builder::of(options);
    let result = import(&mut builder);
    let Builder {
        mut draft,
        secrets,
        ledger,
        ..
    } = builder;
    let needed = secrets.into_needed();
    let (first, notes) = ledger.into_parts();
    let mut report = ImportReport {
        first,
        notes,
        is_verbose: options.verbose,
        ..ImportReport::default()
    };
    match result {
        Ok(()) => {
            report.credentials = options.systemd.then(|| service::adapt(&mut draft, &needed));
            report.needed = needed;
            report.is_complete = true;
            Ok(Imported {
                config: draft.to_string(),
                report,
            })
        }
        Err(error) => Err(ImportFailure {
            error,
            report: Box::new(report),
        }),
    }
}

/// What is said about servers that are left alone.
fn other_servers(names: &[&str]) -> String {
    let names = names.iter().take(5).copied().collect::<Vec<_>>().join(", ");
    format!(
        "look at servers: {names} may have a webhook, too: import that with --server, for a process of its own"
    )
}

/// What relative names are relative to: as the options say, or the directory of the main file,
/// which is the one above if the directory is one of `included`.
fn base(options: &Options, included: &[&str]) -> PathBuf {
    if let Some(prefix) = &options.prefix {
        return prefix.clone();
    }
    let directory = options.file.parent().unwrap_or(Path::new(""));
    let absolute = absolute(directory);
    let is_included = absolute
        .file_name()
        .is_some_and(|name| included.iter().any(|other| name == *other));
    match (is_included, absolute.parent()) {
        (true, Some(above)) => above.to_owned(),
        _ => directory.to_owned(),
    }
}

fn absolute(directory: &Path) -> PathBuf {
    // An empty path is none.
    std::path::absolute(directory.join(".")).unwrap_or_else(|_| directory.to_owned())
}
