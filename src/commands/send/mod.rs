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

pub(crate) use arguments::Arguments;

use crate::commands::client::{Place, Request};
use crate::commands::output::{self, NotWritten};
use crate::server::raise_descriptor_limit;
use arguments::{Delivery, What};
use delivery::{Courier, place};
use http::Method;
use load::{Campaign, Pace};
use plan::Plan;
use report::Report;
use std::io::{self, Write};
use std::sync::Arc;

/// How it ended, all in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
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
pub(crate) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<Verdict, SendError> {
    let what = &arguments.what;
    if let What::Certificate {
        directory,
        common_name,
    } = what
    {
        output::line(out, certificate::make(directory, common_name)?)?;
        return Ok(Verdict::Accepted);
    }
    let (Some(plan), Some(delivery)) = (Plan::new(what)?, what.delivery()) else {
        return Ok(Verdict::Accepted);
    };
    plan.check(&place(&delivery.url)?)?;
    let pace = Pace::new(delivery, plan.round());
    if delivery.dry_run {
        output::unless_nobody_reads(print(&plan, &place(&delivery.url)?, &pace, out))?;
        return Ok(Verdict::Accepted);
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

fn send(delivery: &Delivery, plan: Plan, pace: Pace) -> Result<Report, String> {
    let campaign = Arc::new(Campaign::new(Courier::new(delivery)?, plan, pace));
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let outcome = runtime.block_on(campaign.run());
    // A name server that does not answer is not waited for.
    runtime.shutdown_background();
    Ok(Report::new(&campaign, &outcome))
}

fn verdict(report: &Report) -> Verdict {
    match report {
        Report { ok: true, .. } => Verdict::Accepted,
        Report {
            requests,
            unreachable,
            ..
        } if *requests > 0 && requests == unreachable => Verdict::Unreachable,
        _ => Verdict::Refused,
    }
}

/// What would be sent: a body, or the URL of a challenge, on each line; of a file, what is in it
/// and nothing else.
fn print(plan: &Plan, place: &Place, pace: &Pace, out: &mut impl Write) -> io::Result<()> {
    for index in 0..pace.repeat.unwrap_or(plan.round()) {
        let Request {
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
