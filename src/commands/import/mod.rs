//! Reads the configuration of NGINX or Apache, and writes one for this program: the webhook, and
//! nothing else.
//!
//! A reader for each server, `nginx` and `apache`, finds the rules of the webhook's routes: paths,
//! access rules, headers, TLS, upstream and limits. The builder turns them into a draft that `check`
//! accepts, apart from secrets, and into an [`ImportReport`].

mod access;
mod apache;
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
mod tls;
mod toml_writer;
mod webhook_detection;

pub use location::{ImportError, SourceLocation};
pub use report::ImportReport;

use super::examples;
use builder::Builder;
use std::path::{Path, PathBuf};

/// The server whose configuration is read.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum ImportSource {
    /// NGINX: a whole nginx.conf, or a file with servers.
    #[command(after_help = examples::IMPORT_NGINX)]
    Nginx(Options),
    /// Apache: a whole apache2.conf or httpd.conf, or a file of a site.
    #[command(after_help = examples::IMPORT_APACHE)]
    Apache(Options),
}

/// The file to read, and what it does not say itself.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// The configuration. Files that it includes are read, too.
    pub file: PathBuf,
    /// The directory to which names in it are relative; by default its own directory, or the one
    /// above for conf.d and the like.
    #[arg(long, value_name = "DIRECTORY")]
    pub prefix: Option<PathBuf>,
    /// The path of the webhook, as in the URL in Netdata Cloud; may be given several times.
    #[arg(long, value_name = "PATH")]
    pub webhook: Vec<String>,
    /// Another path to pass on, or with /* at its end all below it; may be given several times.
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

/// The result of an import.
#[derive(Clone, Debug)]
pub struct Imported {
    /// A configuration for this program.
    pub config: String,
    /// The report about the directives.
    pub report: ImportReport,
}

/// The reason why there is no result.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct ImportFailure {
    /// The line that prevents it, and the option that helps.
    pub error: ImportError,
    /// The report about the directives that were examined.
    pub report: ImportReport,
}

/// Reads a configuration.
///
/// # Errors
/// If it cannot be read, or there is nothing in it for this program.
pub fn run(source: &ImportSource) -> Result<Imported, ImportFailure> {
    match source {
        ImportSource::Nginx(options) => finish(options, nginx::import),
        ImportSource::Apache(options) => finish(options, apache::import),
    }
}

/// Runs a reader, and writes the configuration and the report.
fn finish(
    options: &Options,
    import: impl FnOnce(&Options, &mut Builder) -> Result<(), ImportError>,
) -> Result<Imported, ImportFailure> {
    let mut builder = Builder::default();
    builder.secrets.are_credentials = options.systemd;
    let result = import(options, &mut builder);
    let Builder {
        ledger,
        mut draft,
        secrets,
        ..
    } = builder;
    if let Err(error) = result {
        let report = ledger.report(Vec::new(), Vec::new(), options.verbose, None);
        return Err(ImportFailure { error, report });
    }
    let (unit, next) = match options.systemd {
        // Only the service can read its credentials.
        true => (service::adapt(&mut draft, &secrets.names()), RESTART),
        false => (Vec::new(), CHECK),
    };
    let source = options.file.display().to_string();
    let config = draft.document(&source).to_string();
    let report = ledger.report(secrets.tasks(), unit, options.verbose, Some(next));
    Ok(Imported { config, report })
}

/// The last line of a report, for the service.
const RESTART: &str = "Then: systemctl restart netdata-webhook-proxy";

/// The last line of a report.
const CHECK: &str = "Then: netdata-webhook-proxy check --config FILE";

/// Returns the task to look at servers that are left alone.
fn other_servers(names: &[&str]) -> String {
    let names: Vec<&str> = names.iter().take(5).copied().collect();
    format!(
        "look at servers: {} may have a webhook, too: import that with --server, for a process of \
         its own",
        names.join(", ")
    )
}

/// Returns the directory to which names are relative: `--prefix`, or that of the main file, which
/// is the one above the directories in `included`.
fn base(options: &Options, included: &[&str]) -> PathBuf {
    if let Some(prefix) = &options.prefix {
        return prefix.clone();
    }
    let directory = options.file.parent().unwrap_or(Path::new(""));
    let absolute = absolute(directory);
    let name = absolute.file_name().and_then(|name| name.to_str());
    let is_included = name.is_some_and(|name| included.contains(&name));
    match absolute.parent().filter(|_| is_included) {
        Some(above) => above.to_owned(),
        None => directory.to_owned(),
    }
}

fn absolute(directory: &Path) -> PathBuf {
    // An empty path is not a directory, but `.` is.
    std::path::absolute(directory.join(".")).unwrap_or_else(|_| directory.to_owned())
}
