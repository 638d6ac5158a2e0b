//! `doctor`: makes the checks that an operator would make by hand before Netdata Cloud uses a URL.
//!
//! Each check is a file in `checks`, and returns a finding with its remedy. The order is that in
//! which Netdata Cloud depends on them. Servers are not trusted, and every wait is bounded.

mod arguments;
mod checks;
mod client;
mod dns;
mod examination;
mod finding;
mod forgery;
mod options;
mod recording_client;
mod report;
mod requests;
mod responses;
mod run;
mod target;

pub(crate) use arguments::DoctorArguments;
pub(crate) use report::{DoctorReport, TargetReport};

use crate::commands::client::WebhookTarget;
use crate::config::{Config, read_certificates, read_secret_file};
use options::CheckOptions;
use std::path::Path;
use target::{CheckTarget, Expectation, ExpectedChallenge};
use tokio::runtime::Builder;

/// Examines the targets of `arguments`; without a URL or a configuration, the listeners of
/// `default_config`.
///
/// # Errors
/// The problems with the arguments or the configuration, one on each line.
pub(crate) fn run(
    arguments: &DoctorArguments,
    default_config: &Path,
) -> Result<DoctorReport, String> {
    let targets = targets(arguments, default_config)?;
    let options = CheckOptions::new(arguments)?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let examined = runtime.block_on(examine(&targets, &options));
    // Does not wait for a name server that does not respond.
    runtime.shutdown_background();
    Ok(DoctorReport::new(examined))
}

async fn examine(targets: &[CheckTarget], options: &CheckOptions) -> Vec<TargetReport> {
    let mut examined = Vec::new();
    for target in targets {
        examined.push(TargetReport {
            url: target.webhook.url(),
            checks: run::examine(target, options).await,
        });
    }
    examined
}

fn targets(arguments: &DoctorArguments, default_config: &Path) -> Result<Vec<CheckTarget>, String> {
    let config = arguments.config.as_deref();
    let mut targets = match &arguments.url {
        None => target::of_config(&load(config.unwrap_or(default_config))?)?,
        Some(url) => vec![target_of_url(url, config)?],
    };
    for target in &mut targets {
        adjust(&mut target.expected, arguments)?;
    }
    Ok(targets)
}

fn target_of_url(url: &str, config: Option<&Path>) -> Result<CheckTarget, String> {
    let webhook = WebhookTarget::parse(url)?;
    let expected = match config {
        Some(path) => target::expected_at(&load(path)?, &webhook)?,
        None => Expectation::by_default(),
    };
    Ok(CheckTarget {
        webhook,
        expected,
        is_further_path: false,
        upstream: None,
        acme: None,
    })
}

fn load(path: &Path) -> Result<Config, String> {
    let loaded = Config::load(path).map_err(|error| error.to_string())?;
    Ok(loaded.config)
}

/// Applies arguments, which take precedence over the configuration.
fn adjust(expected: &mut Expectation, arguments: &DoctorArguments) -> Result<(), String> {
    if let Some(path) = &arguments.secret_file {
        expected.challenge = ExpectedChallenge::Secret(read_secret_file(path)?);
    }
    if let Some(path) = &arguments.client_ca {
        expected.authorities = read_certificates(path)?;
    }
    if arguments.no_client_certificate {
        expected.asks_for_certificate = false;
        expected.demands_certificate = false;
    }
    Ok(())
}
