//! `run`: the proxy itself, and how its successor is started.

use super::allocator;
use crate::config::{Config, ConfigError, Loaded};
use crate::server::{Inherited, Launch, Server};
use crate::telemetry;
use std::path::Path;

/// The reason why the proxy does not run.
pub(super) enum RunError {
    Config(ConfigError),
    Other(String),
}

impl From<ConfigError> for RunError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// Serves with the configuration at `path`, until the process is told to end.
pub(super) fn serve(path: &Path, upgrade: bool, verbose: bool) -> Result<(), RunError> {
    let mut loaded = Config::load(path)?;
    telemetry::init(&loaded.config.log, verbose);
    let inherited = if upgrade {
        // The first load reports errors before the running process is contacted.
        let inherited = Inherited::from_running(&loaded.config.server)
            .map_err(|error| RunError::Other(error.to_string()))?;
        // The second one drops trust that the running process withdrew in the meantime. If it
        // fails, the running process goes on.
        loaded = Config::load(path)?;
        telemetry::change(&loaded.config.log);
        inherited
    } else {
        Inherited::from_systemd()
    };
    log_problems(&loaded);
    allocator::tidy();
    Server::bind(loaded, inherited, successor(path, verbose))
        .and_then(Server::run)
        .map_err(|error| RunError::Other(error.to_string()))
}

fn log_problems(loaded: &Loaded) {
    for error in &loaded.errors {
        tracing::error!(event = "config_error", "{error}");
    }
    for warning in &loaded.warnings {
        tracing::warn!(event = "config_warning", "{warning}");
    }
}

/// Returns how to start the successor of this process: as this process was started.
fn successor(config: &Path, verbose: bool) -> Option<Launch> {
    let program = std::env::current_exe().ok()?;
    let mut arguments = vec![
        "run".into(),
        "--upgrade".into(),
        "--config".into(),
        config.into(),
    ];
    if verbose {
        arguments.push("--verbose".into());
    }
    Some(Launch { program, arguments })
}
