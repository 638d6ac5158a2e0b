//! Reads the configuration of NGINX or Apache, and writes one for this program: the webhook alone.
//!
//! A reader for each server, `nginx` and `apache`, finds the rules of the webhook's routes: paths,
//! access rules, headers, TLS and upstream. The builder turns them into a draft that `check` accepts,
//! apart from secrets, and into a report.

mod access;
mod apache;
mod builder;
mod choice;
mod directive;
mod headers;
mod known;
mod listen;
mod nginx;
mod regex_literal;
mod report;
mod scope;
mod site;
mod sources;
mod subject_match;
mod template;
mod tls;
mod toml_writer;
mod upstream;

pub use directive::{ImportError, SourceLocation};

use super::examples;
use builder::Builder;
use directive::is_listed;
use report::Ledger;
use sources::SourceFiles;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Directories whose files are included by one in the directory above.
const INCLUDED: &str = "conf.d conf-enabled conf-available sites-enabled sites-available snippets \
    servers vhosts.d http.d";

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
    pub report: String,
}

/// The reason why there is no result.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct ImportFailure {
    /// The line that prevents it, and the option that helps.
    pub error: ImportError,
    /// The report about the directives that were examined.
    pub report: String,
}

/// Reads a configuration.
///
/// # Errors
/// If it cannot be read, or there is nothing in it for this program.
pub fn run(source: &ImportSource) -> Result<Imported, ImportFailure> {
    let (ImportSource::Nginx(options) | ImportSource::Apache(options)) = source;
    let ledger = Rc::<Ledger>::default();
    let mut sources = SourceFiles::default();
    sources.root = prefix(options);
    sources.ledger = Rc::clone(&ledger);
    let mut builder = Builder::default();
    let result = match source {
        ImportSource::Nginx(_) => nginx::import(options, sources, &mut builder),
        ImportSource::Apache(_) => apache::import(options, sources, &mut builder),
    };
    if let Err(error) = result {
        let report = ledger.report(Vec::new(), options.verbose, "");
        return Err(ImportFailure { error, report });
    }
    let next = "Then: netdata-webhook-proxy check config.toml";
    Ok(Imported {
        report: ledger.report(builder.secrets.tasks(), options.verbose, next),
        config: builder.draft.document(&options.file.display().to_string()),
    })
}

/// Returns the directory to which names are relative: that of the main file.
fn prefix(options: &Options) -> PathBuf {
    let directory = options.file.parent().unwrap_or(Path::new(""));
    let directory = absolute(options.prefix.as_deref().unwrap_or(directory));
    let name = directory.file_name().and_then(|name| name.to_str());
    let is_included = name.is_some_and(|name| is_listed(INCLUDED, name));
    match directory.parent() {
        Some(above) if is_included && options.prefix.is_none() => above.to_owned(),
        _ => directory,
    }
}

fn absolute(directory: &Path) -> PathBuf {
    // An empty path is not a directory, but `.` is.
    std::path::absolute(directory.join(".")).unwrap_or_else(|_| directory.to_owned())
}
