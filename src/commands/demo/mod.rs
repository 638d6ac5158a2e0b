//! `demo`: demonstrates the proxy with a stand-in for Netdata Cloud and an application, on this
//! machine.
//!
//! Every scene is a request over a new TLS connection. It passes only if the client receives the
//! right response and the application the right bytes, or nothing at all.

mod application;
mod bodies;
mod client;
mod next_steps;
mod outcome;
mod scenarios;
mod setup;
mod table;

use crate::commands::client::pki::NETDATA;
use crate::commands::output;
use crate::telemetry;
use application::ReceivedRequest;
use bodies::Bodies;
use outcome::{ExpectedOutcome, Scene};
use setup::Setup;
use std::io;
use table::{SceneTable, Verdict};

type DemoOutput = SceneTable<io::Stdout>;

/// Plays all scenes. Returns `true` if each passed.
///
/// With `once` it returns after the last scene. Otherwise the proxy continues to serve, and all
/// requests that the application receives are shown, until SIGINT or SIGTERM.
///
/// # Errors
/// The reason why the demo cannot be set up or shown on this machine.
pub(crate) fn run(once: bool) -> Result<bool, String> {
    let mut setup = Setup::new()?;
    match perform(&mut SceneTable::on_stdout(), &mut setup, once) {
        Ok(verdict) => {
            setup.tear_down()?;
            end(verdict, once)
        }
        Err(DemoError::Setup(error)) => Err(error),
        Err(DemoError::Output(error)) => {
            output::ignore_broken_pipe(Err(error)).map_err(|error| error.to_string())?;
            Ok(true)
        }
    }
}

/// Returns the result of a demo; `verdict` is `None` if a signal arrived before the last scene.
fn end(verdict: Option<bool>, once: bool) -> Result<bool, String> {
    match verdict {
        Some(all_well) => Ok(all_well),
        None if once => Err("interrupted before the last scene".into()),
        None => Ok(true),
    }
}

/// Error that ends the demo.
enum DemoError {
    Setup(String),
    Output(io::Error),
}

impl From<String> for DemoError {
    fn from(error: String) -> Self {
        Self::Setup(error)
    }
}

impl From<io::Error> for DemoError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

fn perform(
    table: &mut DemoOutput,
    setup: &mut Setup,
    once: bool,
) -> Result<Option<bool>, DemoError> {
    let verdict = play(table, setup)?;
    if !once && !setup.has_ended() {
        serve(table, setup)?;
    }
    Ok(verdict)
}

/// Plays all scenes. Returns `true` if each passed, `None` if a signal arrived before the last one.
fn play(table: &mut DemoOutput, setup: &mut Setup) -> Result<Option<bool>, DemoError> {
    table.line(&introduction(setup))?;
    table.head(["Client sends", "Client receives", "Application receives"])?;
    let (secret, token) = (setup.secret.clone(), setup.token.clone());
    let bodies = Bodies::new();
    let mut verdicts = Vec::new();
    for act in acts(&secret, &token, &bodies) {
        table.line(&format!("\n  {}:", act.title))?;
        for scene in act.scenes {
            let Some(verdict) = show(table, setup, &scene, act.right)? else {
                return Ok(None);
            };
            verdicts.push(verdict);
        }
    }
    table.line(&conclusion(&verdicts))?;
    Ok(Some(!verdicts.contains(&Verdict::Failed)))
}

/// Scenes with one kind of client.
struct Act<'a> {
    title: &'static str,
    /// Verdict on a scene that passes.
    right: Verdict,
    scenes: Vec<Scene<'a>>,
}

fn acts<'a>(secret: &str, token: &'a str, bodies: &'a Bodies) -> [Act<'a>; 3] {
    [
        Act {
            title: "As Netdata Cloud",
            right: Verdict::Served,
            scenes: scenarios::genuine(secret, token, bodies),
        },
        Act {
            title: "As Netdata Cloud, while the application is stopped",
            right: Verdict::Served,
            scenes: scenarios::missed(token, bodies),
        },
        Act {
            title: "As a forger",
            right: Verdict::Stopped,
            scenes: scenarios::forged(token, bodies),
        },
    ]
}

fn conclusion(verdicts: &[Verdict]) -> String {
    let each = verdicts.iter();
    let count = |wanted| each.clone().filter(|verdict| **verdict == wanted).count();
    let (served, stopped) = (count(Verdict::Served), count(Verdict::Stopped));
    let summary =
        format!("{served} genuine requests were served, {stopped} forgeries were stopped");
    match count(Verdict::Failed) {
        0 => format!("\nAll {} scenes passed: {summary}.", verdicts.len()),
        failed => format!("\n{failed} of {} scenes FAILED: {summary}.", verdicts.len()),
    }
}

/// Plays a scene and shows it. Returns the verdict, which is `right` if the scene passed, or `None`
/// if a signal has ended the proxy.
fn show(
    table: &mut DemoOutput,
    setup: &mut Setup,
    scene: &Scene<'_>,
    right: Verdict,
) -> Result<Option<Verdict>, DemoError> {
    let client = setup.client(scene.identity)?;
    let (answer, received) = match &scene.outcome {
        ExpectedOutcome::Stored { arriving } => {
            setup.application.stop();
            let answer = client.send(&scene.message);
            (answer, setup.received_after_start(arriving.len())?)
        }
        _ => (client.send(&scene.message), setup.received()),
    };
    if setup.has_ended() {
        return Ok(None);
    }
    let verdict = match scene.passed(&answer, &received) {
        true => right,
        false => Verdict::Failed,
    };
    table.row(verdict, &scene.cells(&answer, &received))?;
    if verdict == Verdict::Failed {
        table.line(&format!("  expected: {}", scene.outcome))?;
    }
    Ok(Some(verdict))
}

/// Shows the requests that the application receives, until a signal ends the proxy.
fn serve(table: &mut DemoOutput, setup: &mut Setup) -> io::Result<()> {
    // Only now: log lines would appear between the rows.
    telemetry::init(&setup.config.log, false);
    table.line(&format!("\n{}", next_steps::text(setup)))?;
    while let Some(received) = setup.wait() {
        table.line(&announcement(&received))?;
    }
    Ok(())
}

fn introduction(setup: &Setup) -> String {
    format!(
        "A stand-in for Netdata Cloud, this proxy, and an application, on this machine:\n\n  \
         client       TLS, CN={}, with a Bearer token\n  \
         proxy        {}\n  \
         status page  http://{}/\n  \
         application  http://{}\n",
        NETDATA,
        setup.url(),
        setup.admin,
        setup.application.address
    )
}

fn announcement(received: &ReceivedRequest) -> String {
    format!(
        "→ the application received: {}; {} bytes, by {}",
        received.subject(),
        received.body.len(),
        received.verified()
    )
}
