//! `queue`: an operator sees what waits and why, and decides what becomes of it, beside a running
//! proxy and without one.

mod changes;
mod exports;
mod files;
mod lists;
mod manual;
mod sqlite;
mod users;

use crate::queue::Scene;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

impl Scene {
    /// A scene in which the application takes nothing, and this waits.
    fn waiting(bodies: &[String]) -> Self {
        let scene = Self::new("queue", "");
        scene.origin.stop();
        bodies.iter().for_each(|body| scene.stores(body));
        scene
    }

    /// Ends the proxy, with everything that waits.
    fn end(&mut self) {
        self.proxy.signal("TERM");
        self.proxy.wait();
    }

    /// `queue` with `arguments`.
    pub(crate) fn queue(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command.args(["queue", "--config"]);
        command.arg(&self.proxy.config).args(arguments);
        command
    }

    /// Runs it, and returns what it prints.
    #[track_caller]
    pub(crate) fn asks(&self, arguments: &[&str]) -> String {
        let output = self.queue(arguments).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?}: {}",
            err(&output)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// What is listed.
    #[track_caller]
    pub(crate) fn listed(&self, options: &[&str]) -> Vec<Value> {
        let text = self.asks(&[&["list", "--json"], options].concat());
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))
    }

    /// The ids of what is listed.
    #[track_caller]
    fn ids(&self, options: &[&str]) -> Vec<i64> {
        let listed = self.listed(options);
        listed
            .iter()
            .map(|one| one["id"].as_i64().unwrap())
            .collect()
    }
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
}

/// Runs `queue` with `arguments` on this file.
fn queue_of(file: &Path, arguments: &[&str]) -> Output {
    let mut command = program();
    command.arg("queue").args(arguments).arg("--file").arg(file);
    command.output().unwrap()
}

/// What a command says beside its result.
fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
