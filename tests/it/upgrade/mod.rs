//! The program is replaced while it serves: no sender notices.

mod failures;
mod handover;
mod socket;
mod window;

use crate::support::{Edit as _, Origin, Proxy};
use std::path::Path;

const ALERT: &str = "{\"alert\":\"x\"}";

fn config(origin: &Origin) -> String {
    let server = "[server]\npid_file = \"proxy.pid\"\nupgrade_socket = \"proxy.upgrade\"";
    Proxy::config(origin, "require", "").edit("[server]", server)
}

/// The process that the pid file in `directory` names.
fn named(directory: &Path) -> u32 {
    std::fs::read_to_string(directory.join("proxy.pid"))
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

/// The sockets of `old` are taken over by the process that this returns.
fn upgrade(old: &mut Proxy) -> Proxy {
    let new = old.successor();
    new.wait_for_event("upgrade_waiting_for_sockets");
    old.signal("QUIT");
    new.wait_for_event("ready");
    new
}
