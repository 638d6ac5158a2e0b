//! Makes the checks that an operator would make by hand before Netdata Cloud is pointed at a URL.
//!
//! Each check is a file in `checks`, and ends in a [`Finding`] with its remedy. They are made in
//! the order in which Netdata Cloud would come across what they look at. Nothing that a server says
//! is trusted, or waited for without bound.

mod arguments;
mod checks;
mod client;
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

/// Examines what `arguments` name; without a URL and a configuration of their own, the listeners of
/// `default_config`.
///
/// # Errors
/// Says, in as many lines as it takes, what is wrong with the arguments or the configuration.
pub(crate) fn run(
    arguments: &DoctorArguments,
    default_config: &Path,
) -> Result<DoctorReport, String> {
    let targets = targets(arguments, default_config)?;
    let means = CheckOptions::new(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let examined = runtime.block_on(async {
        let mut examined = Vec::new();
        for target in &targets {
            let checks = run::examine(target, &means).await;
            examined.push(TargetReport {
                url: target.place.url(),
                checks,
            });
        }
        examined
    });
    // A name server that does not answer is not waited for.
    runtime.shutdown_background();
    Ok(DoctorReport::new(examined))
}

fn targets(arguments: &DoctorArguments, default_config: &Path) -> Result<Vec<CheckTarget>, String> {
    let load = |path: &Path| {
        Config::load(path)
            .map(|loaded| loaded.config)
            .map_err(|error| error.to_string())
    };
    let mut targets = match (&arguments.url, &arguments.config) {
        (None, path) => target::of_config(&load(path.as_deref().unwrap_or(default_config))?)?,
        (Some(url), path) => {
            let place = WebhookTarget::parse(url)?;
            let expected = match path {
                Some(path) => target::expected_at(&load(path)?, &place)?,
                None => Expectation::by_default(),
            };
            vec![CheckTarget {
                place,
                expected,
                is_further_path: false,
                upstream: None,
            }]
        }
    };
    for target in &mut targets {
        adjust(&mut target.expected, arguments)?;
    }
    Ok(targets)
}

/// What the arguments say goes before what the configuration says.
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
