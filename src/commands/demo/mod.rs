//! Shows what the proxy does: a stand-in for Netdata Cloud, the real proxy, and an application, on
//! this machine.
//!
//! Every scene is a request over a TLS connection of its own. It ends as it must only if the sender
//! got the right answer and the application received the right bytes, or nothing at all.

mod application;
mod bodies;
mod client;
mod next_steps;
mod scenarios;
mod setup;
mod table;

use crate::commands::client::pki::NETDATA;
use crate::commands::output;
use crate::telemetry;
use application::ReceivedRequest;
use bodies::Bodies;
use scenarios::Scene;
use setup::Setup;
use std::io;
use table::SceneTable;

type Output = SceneTable<io::Stdout>;

/// Plays all scenes, and says whether each ended as it must.
///
/// With `once` it returns after the last scene. Otherwise the proxy keeps serving, and everything
/// that the application receives is shown, until SIGINT or SIGTERM.
///
/// # Errors
/// Says what is missing on this machine, if the demo cannot be set up or shown.
pub(crate) fn run(once: bool) -> Result<bool, String> {
    let mut setup = Setup::new()?;
    let verdict = match perform(&mut SceneTable::on_stdout(), &mut setup, once) {
        Ok(verdict) => verdict,
        Err(Interruption::NotSet(error)) => return Err(error),
        Err(Interruption::NotShown(error)) => {
            output::unless_nobody_reads(Err(error)).map_err(|error| error.to_string())?;
            return Ok(true);
        }
    };
    setup.tear_down()?;
    match verdict {
        Some(all_well) => Ok(all_well),
        None if once => Err("interrupted before the last scene".into()),
        None => Ok(true),
    }
}

/// Why it breaks off.
enum Interruption {
    NotSet(String),
    NotShown(io::Error),
}

impl From<String> for Interruption {
    fn from(error: String) -> Self {
        Self::NotSet(error)
    }
}

impl From<io::Error> for Interruption {
    fn from(error: io::Error) -> Self {
        Self::NotShown(error)
    }
}

fn perform(
    table: &mut Output,
    setup: &mut Setup,
    once: bool,
) -> Result<Option<bool>, Interruption> {
    let verdict = play(table, setup)?;
    if !once && !setup.has_ended() {
        serve(table, setup)?;
    }
    Ok(verdict)
}

/// Whether all scenes ended as they must; `None` if a signal came before the last one.
fn play(table: &mut Output, setup: &mut Setup) -> Result<Option<bool>, Interruption> {
    table.line(&introduction(setup))?;
    table.head([
        "The sender sends",
        "The sender gets",
        "The application receives",
    ])?;
    let (secret, token) = (setup.secret.clone(), setup.token.clone());
    let bodies = Bodies::new();
    let acts = [
        (
            "As Netdata Cloud",
            scenarios::genuine(&secret, &token, &bodies),
        ),
        ("As a forger", scenarios::forged(&token, &bodies)),
    ];
    let (mut played, mut well) = (0, 0);
    for (title, scenes) in acts {
        table.line(&format!("\n  {title}:"))?;
        for scene in scenes {
            let Some(passed) = show(table, setup, &scene)? else {
                return Ok(None);
            };
            played += 1;
            well += usize::from(passed);
        }
    }
    let conclusion = match played - well {
        0 => format!("\nAll {played} scenes ended as they must."),
        wrong => format!("\n{wrong} of {played} scenes did not end as they must."),
    };
    table.line(&conclusion)?;
    Ok(Some(played == well))
}

/// Plays a scene and shows it; `None` if a signal has ended the proxy.
fn show(
    table: &mut Output,
    setup: &mut Setup,
    scene: &Scene<'_>,
) -> Result<Option<bool>, Interruption> {
    let answer = setup.sender(scene.identity)?.send(&scene.message);
    let received = setup.received();
    if setup.has_ended() {
        return Ok(None);
    }
    let passed = scene.passed(&answer, &received);
    table.row(passed, &scene.cells(&answer, &received))?;
    if !passed {
        table.line(&format!("  must be: {}", scene.ending))?;
    }
    Ok(Some(passed))
}

/// Shows what the application receives until a signal ends the proxy.
fn serve(table: &mut Output, setup: &mut Setup) -> io::Result<()> {
    // Not before: log lines would stand between the rows.
    telemetry::init(&setup.config.log);
    table.line(&format!("\n{}", next_steps::text(setup)))?;
    while let Some(received) = setup.wait() {
        table.line(&announcement(&received))?;
    }
    Ok(())
}

fn introduction(setup: &Setup) -> String {
    format!(
        "A stand-in for Netdata Cloud, this proxy, and an application, on this machine only:\n\n  \
         sender       TLS client, CN={}, with a Bearer token\n  \
         proxy        {}\n  \
         application  http://{}\n",
        NETDATA,
        setup.url(),
        setup.application
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
