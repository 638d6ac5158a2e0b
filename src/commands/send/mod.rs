//! Plays Netdata Cloud against any URL: one request, or as many as it takes to see what a server
//! can stand.
//!
//! Everything that is sent follows from a seed. Nothing that a server says is trusted, waited for
//! without bound, or shown before what could move a cursor is taken out of it. Secrets come from
//! files or the environment, and are shown nowhere.

mod advice;
mod arguments;
mod certificate;
mod credentials;
mod delivery;
mod load;
mod outcome;
mod plan;
mod report;
mod statistics;

pub(crate) use arguments::SendArguments;

use crate::commands::client::{ClientRequest, WebhookTarget};
use crate::commands::output::{self, NotWritten};
use crate::server::raise_descriptor_limit;
use arguments::{DeliveryOptions, SendCommand};
use delivery::{Delivery, place};
use http::Method;
use load::{LoadRun, Pace};
use plan::SendPlan;
use report::SendReport;
use std::io::{self, Write};
use std::sync::Arc;

/// How it ended, all in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendVerdict {
    /// Every request was accepted.
    Accepted,
    /// Some requests were not accepted, or it was interrupted.
    Refused,
    /// Nobody could be connected to.
    Unreachable,
}

/// Why it is not known how it ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// One of the arguments, or of the files and variables that they name, is wrong.
    #[error("{0}")]
    Usage(String),
    /// It could not be said.
    #[error(transparent)]
    Output(#[from] NotWritten),
}

impl From<String> for SendError {
    fn from(error: String) -> Self {
        Self::Usage(error)
    }
}

/// Sends what `arguments` say, and writes what came of it to `out`.
///
/// # Errors
/// Says which of the arguments is wrong, or that `out` is.
pub(crate) fn run(
    arguments: &SendArguments,
    out: &mut impl Write,
) -> Result<SendVerdict, SendError> {
    let what = &arguments.what;
    if let SendCommand::Certificate {
        directory,
        common_name,
    } = what
    {
        output::line(out, certificate::make(directory, common_name)?)?;
        return Ok(SendVerdict::Accepted);
    }
    let (Some(plan), Some(delivery)) = (SendPlan::new(what)?, what.delivery()) else {
        return Ok(SendVerdict::Accepted);
    };
    plan.check(&place(&delivery.url)?)?;
    let pace = Pace::new(delivery, plan.round());
    if delivery.dry_run {
        output::unless_nobody_reads(print(&plan, &place(&delivery.url)?, &pace, out))?;
        return Ok(SendVerdict::Accepted);
    }
    let report = send(delivery, plan, pace)?;
    output::line(
        out,
        if delivery.json {
            report.to_json()
        } else {
            report.to_string()
        },
    )?;
    Ok(verdict(&report))
}

fn send(delivery: &DeliveryOptions, plan: SendPlan, pace: Pace) -> Result<SendReport, String> {
    let load_run = Arc::new(LoadRun::new(Delivery::new(delivery)?, plan, pace));
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let outcome = runtime.block_on(load_run.run());
    // A name server that does not answer is not waited for.
    runtime.shutdown_background();
    Ok(SendReport::new(&load_run, &outcome))
}

fn verdict(report: &SendReport) -> SendVerdict {
    match report {
        SendReport { ok: true, .. } => SendVerdict::Accepted,
        SendReport {
            requests,
            unreachable,
            ..
        } if *requests > 0 && requests == unreachable => SendVerdict::Unreachable,
        _ => SendVerdict::Refused,
    }
}

/// SendCommand would be sent: a body, or the URL of a challenge, on each line; of a file, what is in it
/// and nothing else.
fn print(
    plan: &SendPlan,
    place: &WebhookTarget,
    pace: &Pace,
    out: &mut impl Write,
) -> io::Result<()> {
    for index in 0..pace.repeat.unwrap_or(plan.round()) {
        let ClientRequest {
            method,
            target,
            body,
            ..
        } = plan.request(place, index);
        match method {
            Method::GET => write!(out, "{}://{}{target}", place.scheme(), place.authority())?,
            _ => out.write_all(&body)?,
        }
        if !plan.is_file() {
            writeln!(out)?;
        }
    }
    out.flush()
}
