//! `check`: a summary of a configuration, and the reachability of the servers it names.

mod acme;
mod database;
mod queue;
mod reachability;
mod summary;

pub use summary::describe;
pub(super) use summary::render;

use super::default_config;
use crate::config::{Config, ConfigError, Loaded, Problem};
use std::path::PathBuf;

/// The configuration to check.
#[derive(clap::Args)]
pub(super) struct CheckArguments {
    /// Path of the configuration file. Default: $NETDATA_WEBHOOK_PROXY_CONFIG, or
    /// /etc/netdata-webhook-proxy/config.toml.
    #[arg(value_name = "FILE", conflicts_with = "config")]
    file: Option<PathBuf>,
    /// The same, as other commands take it.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory with the files that systemd will pass as credentials, to check a service before its
    /// first start.
    #[arg(long, value_name = "DIR")]
    credentials: Option<PathBuf>,
}

impl CheckArguments {
    /// Reads the configuration.
    pub(super) fn load(&self) -> Result<Loaded, ConfigError> {
        let named = self.file.as_ref().or(self.config.as_ref());
        let path = named.cloned().unwrap_or_else(default_config);
        match &self.credentials {
            Some(credentials) => Config::load_with_credentials(&path, credentials),
            None => Config::load(&path),
        }
    }
}

/// What depends on the environment.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) errors: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    /// Lines for the summary.
    pub(super) summary: String,
}

/// Looks at the environment.
pub(super) fn look_around(loaded: &Loaded) -> Findings {
    let mut findings = database::findings(loaded);
    let warnings = &mut findings.warnings;
    warnings.extend(acme::warnings(loaded));
    warnings.extend(queue::warnings(loaded));
    warnings.extend(reachability::warnings(loaded));
    findings
}
