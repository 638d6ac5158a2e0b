//! The sections of the manual page that are about the program as a whole.

use super::super::{CONFIG_FILE, CONFIG_VARIABLE, examples};
use super::markdown;
use crate::manual;
use clap::Command;
use clap_mangen::roff::{Roff, bold, roman};

/// Files that the program reads unless it is told otherwise.
const FILES: [(&str, &str); 4] = [
    (
        CONFIG_FILE,
        "the configuration, unless --config or the environment names another",
    ),
    (
        "/etc/systemd/system/netdata-webhook-proxy.service",
        "the service, as conf/systemd has it",
    ),
    (
        "/run/credentials/netdata-webhook-proxy.service",
        "its certificate, key and secrets, which systemd passes to it",
    ),
    (
        "/var/lib/netdata-webhook-proxy/undelivered.json",
        "the notifications of the last day that are not delivered, as the status page shows them",
    ),
];

const VARIABLES: [(&str, &str); 8] = [
    (CONFIG_VARIABLE, "path of the configuration file"),
    (
        "CREDENTIALS_DIRECTORY",
        "directory of what the configuration names as { credential = \"...\" }; systemd sets it",
    ),
    (
        "SSL_CERT_FILE, SSL_CERT_DIR",
        "authorities that are trusted for https upstreams and by send and doctor, instead of the system's",
    ),
    (
        "RUNTIME_DIRECTORY, XDG_RUNTIME_DIR",
        "directory of server.upgrade_socket, unless the configuration names one",
    ),
    (
        "STATE_DIRECTORY",
        "directory of what outlives the process; systemd sets it",
    ),
    (
        "NO_COLOR, TERM",
        "no colours, if the first is not empty or the second is dumb",
    ),
    (
        "LISTEN_FDS, LISTEN_PID",
        "listening sockets that systemd passes",
    ),
    (
        "NOTIFY_SOCKET, WATCHDOG_USEC",
        "where and how often systemd wants to know that the program runs",
    ),
];

/// Exit codes of the commands; the last one is that of `send`.
const EXIT_CODES: [(&str, &str); 4] = [
    ("0", "success"),
    (
        "1",
        "failed at run time, or at least one check failed or request was not accepted",
    ),
    ("2", "the arguments or the configuration are wrong"),
    ("3", "send could not establish any connection"),
];

/// Returns all of these sections.
pub(super) fn all(command: &Command) -> Roff {
    let mut page = Roff::new();
    page.extend([
        list("FILES", FILES),
        signals(),
        list("ENVIRONMENT", VARIABLES),
        list("EXIT STATUS", EXIT_CODES),
        examples_of(command),
    ]);
    page
}

fn list<const N: usize>(title: &str, items: [(&str, &str); N]) -> Roff {
    let mut section = Roff::new();
    section.control("SH", [title]);
    for (term, meaning) in items {
        section
            .control("TP", [])
            .text([bold(term)])
            .text([roman(meaning)]);
    }
    section
}

/// Returns the table of signals in the manual.
fn signals() -> Roff {
    const TITLE: &str = "## Signals\n\n";
    let page = manual::page("operating").unwrap_or_default();
    let section = page.split(TITLE).nth(1).unwrap_or_default();
    let table = section.split("\n\n").next().unwrap_or_default();
    markdown::to_roff(&format!("{TITLE}{table}\n"))
}

fn examples_of(command: &Command) -> Roff {
    let mut section = Roff::new();
    section.control("SH", ["EXAMPLES"]);
    add_examples(command, &mut section);
    section
}

/// Adds the examples of each command below `parent`, under what the command does.
fn add_examples(parent: &Command, section: &mut Roff) {
    for command in parent.get_subcommands() {
        let help = command.get_after_help().map(ToString::to_string);
        let about = command.get_about().map(ToString::to_string);
        let help = help.unwrap_or_default();
        let lines: Vec<&str> = examples::lines(&help).collect();
        if !lines.is_empty() && !command.has_subcommands() {
            section
                .control("PP", [])
                .text([roman(about.unwrap_or_default())]);
            section.control("RS", ["4"]).control("nf", []);
            lines.iter().for_each(|line| {
                section.text([bold(*line)]);
            });
            section.control("fi", []).control("RE", []);
        }
        add_examples(command, section);
    }
}
