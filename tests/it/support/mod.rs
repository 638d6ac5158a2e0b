//! The parties of a scene: a public-key infrastructure, an application, the proxy, and a sender.

mod admin;
mod application;
mod balancer;
mod booted;
mod browser;
mod cgroup;
mod compiler;
mod disk;
mod edit;
pub(crate) mod frames;
mod hello;
mod http2;
mod language;
mod load;
mod machine;
mod misconfigured_server;
mod name_server;
mod network;
mod origin;
mod other_user;
mod pages;
mod pebble;
mod peer;
mod pipe;
mod pki;
pub(crate) mod postgres;
mod proxy;
mod receiver;
mod resolver;
mod sender;
mod stage;
mod stream;
mod strict;
mod terminal;

pub(crate) use admin::Operator;
pub(crate) use application::{Application, ServerConnection};
pub(crate) use balancer::{BALANCER, Balancer};
pub(crate) use booted::Booted;
pub(crate) use browser::Browser;
pub(crate) use cgroup::Cgroup;
pub(crate) use compiler::preloadable;
pub(crate) use disk::Disk;
pub(crate) use edit::Edit;
pub(crate) use hello::{Hello, Reply as HelloReply, read as read_reply};
pub(crate) use http2::Http2;
pub(crate) use language::Language;
pub(crate) use load::Load;
pub(crate) use machine::{Machine, succeed};
pub(crate) use misconfigured_server::{MisconfiguredServer, Seen};
pub(crate) use name_server::{NameServer, Records};
pub(crate) use network::{Cable, Network};
pub(crate) use origin::{Origin, Received, Reply, free_address};
pub(crate) use other_user::{OTHER_USER, as_other_user, give, is_root};
pub(crate) use pages::{
    PAGES, block_after, blocks, commands, commands_with, complete, first_column, is_documented,
    page,
};
pub(crate) use pebble::{Fault, Pebble, Setup, is_recent};
pub(crate) use peer::{Peer, is_installed};
pub(crate) use pipe::{Pipe, Reading};
pub(crate) use pki::{
    Leaf, NETDATA, Pki, another_common_name, critical_unknown_extension, subject,
};
pub(crate) use proxy::{Proxy, WEBHOOK, is_event};
pub(crate) use receiver::Receiver;
pub(crate) use resolver::Resolver;
pub(crate) use sender::{Answer, Connection, Sender, client_config};
pub(crate) use stage::Stage;
pub(crate) use stream::{Carrier, Stream};
pub(crate) use terminal::Screen;

use std::io::Write as _;
use std::process::{Child, Command, Output};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits for `child` to end by itself, for longer than any command takes that does not hang.
#[track_caller]
pub(crate) fn finish(child: Child) -> Output {
    let id = child.id();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(child.wait_with_output()));
    told.recv_timeout(4 * PATIENCE)
        .unwrap_or_else(|_| panic!("process {id} does not end"))
        .unwrap()
}

/// Returns `true` if a program of others is installed, of which `--version` is an option.
pub(crate) fn is_runnable(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

/// Skips a test as [`skip`] does. Fails it instead if `variable` is 1, which requires what is
/// missing.
#[track_caller]
pub(crate) fn skip_unless_required(variable: &str, missing: &str) {
    let is_required = std::env::var(variable).is_ok_and(|value| value == "1");
    assert!(!is_required, "{missing}, and {variable}=1");
    skip(missing);
}

/// Prints why a test is skipped. It bypasses the harness, which hides the output of tests that
/// pass.
pub(crate) fn skip(why: &str) {
    // Ignore the error: standard error is closed.
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}
