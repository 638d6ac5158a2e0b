//! The socket over which the listeners are handed over.
//!
//! | fault | kind | held by |
//! |---|---|---|
//! | the directory of the socket, under `/tmp`, is another user's, or a link | a name that any user can take first | [`a_directory_that_others_can_have_made_is_not_used`] |
//! | a process that listens at the socket and accepts nothing holds the running one up for ever | a connect without a deadline | [`a_socket_that_accepts_nothing_holds_nothing_up`] |

use super::{ALERT, config, upgrade};
use crate::support::{Edit as _, Origin, Pki, Proxy, Sender};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;

#[test]
fn without_a_path_both_find_the_same_one() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    for server in ["[server]", "[server]\npid_file = \"proxy.pid\""] {
        std::fs::write(
            pki.path().join("config.toml"),
            Proxy::config(&origin, "require", "").edit("[server]", server),
        )
        .unwrap();
        pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
        let launch = |arguments: &[&str]| {
            Proxy::launch(&pki.path().join("config.toml"), |command| {
                command
                    .args(arguments)
                    .env("XDG_RUNTIME_DIR", pki.path())
                    .env_remove("RUNTIME_DIRECTORY");
            })
        };
        let mut old = launch(&[]);
        old.wait_for_event("ready");
        let new = launch(&["--upgrade"]);
        old.signal("QUIT");
        new.wait_for_event("ready");
        assert_eq!(old.wait().code(), Some(0));
    }
}

#[test]
fn what_a_crash_left_behind_is_replaced_and_nothing_else() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let mut old = Proxy::spawn(&pki, &config(&origin));
    let socket = pki.path().join("proxy.upgrade");
    std::fs::write(&socket, "precious").unwrap();
    old.signal("QUIT");
    assert!(
        old.wait_for_event("upgrade_failed")
            .contains("not a socket")
    );
    assert_eq!(std::fs::read_to_string(&socket).unwrap(), "precious");
    std::fs::remove_file(&socket).unwrap();
    let somebody = UnixListener::bind(&socket).unwrap();
    old.signal("QUIT");
    assert!(
        old.wait_for_events("upgrade_failed", 2)
            .contains("another process")
    );
    drop(somebody);
    upgrade(&mut old);
}

#[test]
fn a_directory_that_others_can_have_made_is_not_used() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let user = rustix::process::geteuid().as_raw();
    let config = Proxy::config(&origin, "require", "");
    let own = pki.path().join(format!("netdata-webhook-proxy-{user}"));
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    let path = pki.write("config.toml", &config);
    let launch = |arguments: &[&str]| {
        Proxy::launch(&path, |command| {
            command
                .args(arguments)
                .env("XDG_RUNTIME_DIR", pki.path())
                .env_remove("RUNTIME_DIRECTORY");
        })
    };
    let mut proxy = launch(&[]);
    proxy.wait_for_event("ready");
    let refuses = |round: usize, expected: &str| {
        proxy.signal("QUIT");
        assert!(
            proxy
                .wait_for_events("upgrade_failed", round)
                .contains(expected)
        );
        let mut successor = launch(&["--upgrade"]);
        assert_eq!(successor.wait().code(), Some(1));
        successor.wait_for_log(expected);
    };
    // One that others can use.
    std::fs::create_dir(&own).unwrap();
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o777)).unwrap();
    refuses(1, "can be used by other users");
    std::fs::remove_dir(&own).unwrap();
    // A link to one that is safe.
    let elsewhere = pki.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::set_permissions(&elsewhere, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &own).unwrap();
    refuses(2, "is not a directory");
    std::fs::remove_file(&own).unwrap();
    // One of another user, which only root can make.
    if user == 0 {
        std::fs::create_dir(&own).unwrap();
        std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::chown(&own, Some(12345), None).unwrap();
        refuses(3, "belongs to another user (12345)");
    }
    assert_eq!(
        Sender::to(&proxy, Some(&pki.netdata())).post(ALERT).status,
        200
    );
    proxy.signal("TERM");
    assert_eq!(proxy.wait().code(), Some(0));
}

#[test]
fn a_socket_that_accepts_nothing_holds_nothing_up() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let mut old = Proxy::spawn(&pki, &config(&origin));
    let path = pki.path().join("proxy.upgrade");
    let silent = UnixListener::bind(&path).unwrap();
    rustix::net::listen(&silent, 0).unwrap();
    // Its queue is full: the next connection waits.
    let queue = fill(&path);
    old.signal("QUIT");
    assert!(
        old.wait_for_event("upgrade_failed")
            .contains("another process listens there")
    );
    assert_eq!(
        Sender::to(&old, Some(&pki.netdata())).post(ALERT).status,
        200
    );
    old.signal("TERM");
    assert_eq!(old.wait().code(), Some(0));
    drop((silent, queue));
}

/// Connections to a socket that accepts none, as many as it takes.
fn fill(path: &Path) -> Vec<rustix::fd::OwnedFd> {
    use rustix::net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
    };
    let address = SocketAddrUnix::new(path).unwrap();
    let mut queue = Vec::new();
    loop {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        if connect(&socket, &address).is_err() {
            return queue;
        }
        queue.push(socket);
    }
}
