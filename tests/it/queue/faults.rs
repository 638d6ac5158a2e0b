//! A disk that fails: a shim in front of the system's calls lets one write fail after the other.

use super::{Scene, alert, config, transitions};
use crate::support::{Origin, Pki, Proxy, Sender, eventually, skip};
use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The number of writes of each kind of which each fails once; more of them by this variable.
const FAULTS: usize = 8;
const FAULTS_VARIABLE: &str = "NWP_WRITE_FAULTS";

/// Compiles a C program of these tests. Returns `None` if that is not possible here.
pub(super) fn compile(
    directory: &tempfile::TempDir,
    source: &str,
    arguments: &[&str],
) -> Option<PathBuf> {
    let (input, output) = (
        directory.path().join("source.c"),
        directory.path().join("compiled"),
    );
    fs::write(&input, source).unwrap();
    let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler
        .args(arguments)
        .arg("-o")
        .arg(&output)
        .arg(&input)
        .arg("-ldl");
    let is_compiled = compiler.status().is_ok_and(|status| status.success());
    if !is_compiled {
        skip("a C compiler is needed");
    }
    is_compiled.then_some(output)
}

fn faults() -> usize {
    let more = std::env::var(FAULTS_VARIABLE).ok();
    more.map_or(FAULTS, |text| text.parse().unwrap())
}

#[test]
fn a_write_that_fails_costs_nothing_that_was_acknowledged() {
    let tools = tempfile::tempdir().unwrap();
    let arguments = ["-shared", "-fPIC"];
    if !cfg!(target_env = "gnu") {
        return skip("glibc is needed to stand in for its calls");
    }
    let Some(shim) = compile(&tools, include_str!("faults.c"), &arguments) else {
        return;
    };
    for kind in ["fsync", "pwrite"] {
        let (mut fired, mut refused) = (0, 0);
        for at in 1..=faults() {
            let outcome = fail_once(&shim, kind, at);
            fired += usize::from(outcome.has_fired);
            refused += outcome.refused;
        }
        eprintln!("{kind}: {fired} of {} failed, {refused} refused", faults());
        assert!(
            fired >= faults() / 2,
            "{kind}: {fired} of {} failed",
            faults()
        );
        assert!(refused > 0, "{kind}: no failed write was noticed");
    }
}

struct Outcome {
    has_fired: bool,
    refused: usize,
}

/// Lets one write fail while notifications are stored and delivered. All that are acknowledged
/// arrive, in their order, after the process is killed and starts with a disk that works.
fn fail_once(shim: &PathBuf, kind: &str, at: usize) -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let origin = Origin::spawn_apart();
    let text = config(&origin, &directory, "queue", "");
    let variables = [
        ("LD_PRELOAD", shim.clone()),
        ("FAULT_DIRECTORY", directory.path().to_owned()),
        ("FAULT_KIND", kind.into()),
        ("FAULT_AT", at.to_string().into()),
    ];
    let proxy = Proxy::spawn_with(Pki::shared(), &text, &variables);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    fs::write(directory.path().join("armed"), "").unwrap();
    let (mut acknowledged, mut refused) = (Vec::new(), 0);
    for state in 0..12 {
        let answer = sender.post(&alert("n", &state.to_string()));
        match answer.status {
            202 => acknowledged.push(format!("n-{state}")),
            _ => {
                answer.refuses(503, "queue_failed");
                assert_eq!(answer.header("retry-after"), Some("10"));
                refused += 1;
            }
        }
    }
    let has_fired = directory.path().join("fired").exists();
    let mut scene = Scene {
        directory,
        origin,
        proxy,
        sender,
    };
    scene.kill();
    eventually("everything that was acknowledged", || {
        let received = scene.origin.received();
        let known: HashSet<_> = transitions(&received)
            .into_iter()
            .map(str::to_owned)
            .collect();
        acknowledged
            .iter()
            .all(|state| known.contains(state))
            .then_some(())
    });
    let received = scene.origin.received();
    let mut seen = HashSet::new();
    let states = transitions(&received);
    let firsts: Vec<usize> = states
        .iter()
        .filter(|state| seen.insert(**state))
        .filter_map(|state| state.rsplit('-').next()?.parse().ok())
        .collect();
    assert!(firsts.is_sorted(), "{kind} {at}: {firsts:?}");
    Outcome { has_fired, refused }
}
