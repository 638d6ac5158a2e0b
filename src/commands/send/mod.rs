//! `send`: sends requests as Netdata Cloud does, to any URL: one, or enough to load a server.
//!
//! All requests are derived from a seed. Servers are not trusted: every wait is bounded, and their
//! text is sanitised before it is shown. Secrets come from files or the environment, and are never
//! shown.

mod advice;
mod arguments;
mod certificate;
mod credentials;
mod delivery;
mod exported;
mod load;
mod outcome;
mod plan;
mod report;
mod statistics;

pub(crate) use arguments::SendArguments;

use crate::commands::client::{ClientRequest, WebhookTarget};
use crate::commands::output::{self, OutputError};
use crate::server::raise_descriptor_limit;
use arguments::{DeliveryOptions, SendCommand};
use bytes::Bytes;
use delivery::{Delivery, parse_target};
use http::Method;
use load::{LoadRun, Pace};
use plan::SendPlan;
use report::SendReport;
use std::io::{self, Write};
use std::sync::Arc;

/// Overall result of `send`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendVerdict {
    /// Every request was accepted.
    Accepted,
    /// Some requests were not accepted, or it was interrupted.
    Refused,
    /// No connection could be established.
    Unreachable,
}

/// Error that prevents a result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// An argument is wrong, or a file or variable that it names.
    #[error("{0}")]
    Usage(String),
    /// The result could not be printed.
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl From<String> for SendError {
    fn from(error: String) -> Self {
        Self::Usage(error)
    }
}

/// Sends the requests, and writes the report to `out`.
///
/// # Errors
/// If an argument is wrong, or `out` cannot be written.
pub(crate) fn run(
    arguments: &SendArguments,
    out: &mut impl Write,
) -> Result<SendVerdict, SendError> {
    let command = &arguments.command;
    if let SendCommand::Certificate(options) = command {
        output::line(out, certificate::make(options)?)?;
    }
    match (SendPlan::new(command)?, command.delivery()) {
        (Some(plan), Some(options)) => execute(plan, options, out),
        _ => Ok(SendVerdict::Accepted),
    }
}

fn execute(
    plan: SendPlan,
    options: &DeliveryOptions,
    out: &mut impl Write,
) -> Result<SendVerdict, SendError> {
    let target = parse_target(&options.url)?;
    plan.check(&target)?;
    let pace = Pace::new(options, plan.round());
    if options.dry_run {
        output::ignore_broken_pipe(print(&plan, &target, &pace, out))?;
        return Ok(SendVerdict::Accepted);
    }
    let report = send(options, plan, pace)?;
    output::line(out, text(&report, options.json))?;
    Ok(verdict(&report))
}

fn text(report: &SendReport, as_json: bool) -> String {
    match as_json {
        true => report.to_json(),
        false => report.to_string(),
    }
}

fn send(options: &DeliveryOptions, plan: SendPlan, pace: Pace) -> Result<SendReport, String> {
    let load_run = Arc::new(LoadRun::new(Delivery::new(options)?, plan, pace));
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let result = runtime.block_on(load_run.run());
    // Does not wait for a name server that does not respond.
    runtime.shutdown_background();
    Ok(SendReport::new(&load_run, &result))
}

fn verdict(report: &SendReport) -> SendVerdict {
    if report.ok {
        SendVerdict::Accepted
    } else if report.counts.requests > 0 && report.counts.requests == report.counts.unreachable {
        SendVerdict::Unreachable
    } else {
        SendVerdict::Refused
    }
}

/// Prints the requests without sending them: a body, or the URL of a challenge, on each line. A file
/// is printed as it is.
fn print(
    plan: &SendPlan,
    target: &WebhookTarget,
    pace: &Pace,
    out: &mut impl Write,
) -> io::Result<()> {
    for index in 0..pace.repeat.unwrap_or(plan.round()) {
        let request = plan.request(target, index).map_err(io::Error::other)?;
        out.write_all(&printed(request, target))?;
        if !plan.is_file() {
            writeln!(out)?;
        }
    }
    out.flush()
}

/// Returns the URL of a challenge, or the body of another request.
fn printed(request: ClientRequest, target: &WebhookTarget) -> Bytes {
    if request.method != Method::GET {
        return request.body;
    }
    let origin = format!("{}://{}", target.scheme(), target.authority());
    format!("{origin}{}", request.target).into()
}
