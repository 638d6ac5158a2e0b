//! The store works with nothing but the system calls and the memory that the unit of systemd allows.

use super::{alert, config, receives};
use crate::support::{
    Origin, Pki, Proxy, Sender, as_other_user, give, is_root, skip, skip_unless_required,
};
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const SERVICE: &str = include_str!("../../../conf/systemd/netdata-webhook-proxy.service");

/// The names in a filter, with those of the groups in it.
fn names(filter: &str, groups: &HashMap<String, Vec<String>>) -> BTreeSet<String> {
    let members = |name: &str| match groups.get(name) {
        Some(members) => names(&members.join(" "), groups),
        None => BTreeSet::from([name.to_owned()]),
    };
    filter.split_whitespace().flat_map(members).collect()
}

/// The system calls that the unit allows.
fn allowed(text: &str) -> BTreeSet<String> {
    let mut groups = HashMap::<String, Vec<String>>::new();
    let mut group = String::new();
    for line in text.lines() {
        let word = line.trim();
        if line.starts_with('@') {
            word.clone_into(&mut group);
        } else if !word.is_empty() && !word.starts_with('#') {
            groups
                .entry(group.clone())
                .or_default()
                .push(word.to_owned());
        }
    }
    let filters = SERVICE
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="));
    let mut allowed = BTreeSet::new();
    for filter in filters {
        match filter.strip_prefix('~') {
            Some(denied) => names(denied, &groups).iter().for_each(|name| {
                allowed.remove(name);
            }),
            None => allowed.extend(names(filter, &groups)),
        }
    }
    allowed
}

/// Compiles the program that runs others in the sandbox of the unit.
fn sandbox(directory: &Path) -> Option<PathBuf> {
    let Ok(output) = Command::new("systemd-analyze")
        .arg("syscall-filter")
        .output()
    else {
        let missing = "systemd-analyze (Debian package systemd) is not installed";
        skip_unless_required("NWP_REQUIRE_SYSTEMD", missing);
        return None;
    };
    let allowed = allowed(&String::from_utf8(output.stdout).unwrap());
    let mut header = String::new();
    for name in &allowed {
        let _ = writeln!(header, "#ifdef SYS_{name}\nSYS_{name},\n#endif");
    }
    fs::write(directory.join("allowed.h"), header).unwrap();
    fs::write(
        directory.join("sandbox.c"),
        include_str!("../support/sandbox.c"),
    )
    .unwrap();
    let program = directory.join("sandbox");
    let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler
        .arg("-o")
        .arg(&program)
        .arg(directory.join("sandbox.c"));
    let is_compiled = compiler.status().is_ok_and(|status| status.success());
    if !is_compiled {
        skip("a C compiler is needed for the sandbox");
    }
    is_compiled.then_some(program)
}

/// A command in the sandbox, as a user without privileges.
fn sandboxed(sandbox: &Path) -> Command {
    match is_root() {
        true => as_other_user(sandbox),
        false => Command::new(sandbox),
    }
}

#[test]
fn the_sandbox_of_the_unit_allows_what_the_store_needs() {
    let tools = tempfile::tempdir().unwrap();
    fs::set_permissions(tools.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let Some(sandbox) = sandbox(tools.path()) else {
        return;
    };
    let (pki, origin, state) = (
        Pki::new(),
        Origin::spawn_apart(),
        tempfile::tempdir().unwrap(),
    );
    let config = Proxy::write(&pki, &config(&origin, &state, "fallback", ""));
    if is_root() {
        give(pki.path());
        give(state.path());
    }
    // What the sandbox denies is denied: changing an owner, even to the present one.
    let file = state.path().join("mine");
    for (is_allowed, inner) in [(true, "touch"), (false, "chown --reference=/proc/self")] {
        let mut command = sandboxed(&sandbox);
        command.args(inner.split(' ')).arg(&file);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), is_allowed, "{inner}: {said}");
    }
    let start = || {
        let mut command = sandboxed(&sandbox);
        command.arg(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
        command.args(["run", "--config"]).arg(&config);
        let proxy = Proxy::run(command, &config);
        proxy.wait_for_event("ready");
        proxy
    };
    let mut proxy = start();
    origin.stop();
    for state in ["critical", "clear"] {
        let sender = Sender::to(&proxy, Some(&pki.netdata()));
        assert_eq!(sender.post(&alert("n", state)).status, 202);
    }
    proxy.signal("KILL");
    proxy.wait();
    let _proxy = start();
    origin.start();
    receives(&origin, &["n-critical", "n-clear"]);
}
