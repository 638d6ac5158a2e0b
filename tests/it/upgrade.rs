//! The program is replaced while it serves: no sender notices.
//!
//! | fault | kind | held by |
//! |---|---|---|
//! | an authority that is withdrawn while a successor waits for the sockets is trusted again, for good | a configuration that is read before it is its turn | [`what_was_withdrawn_while_a_successor_waited_is_not_trusted_again`], in the window of the reading: [`what_is_withdrawn_while_a_successor_reads_is_not_trusted_for_good`] |
//! | by another configuration and a SIGHUP that only the process which ends can hear | likewise | [`a_configuration_that_changes_while_a_successor_starts_keeps_it_from_serving`] |
//! | what was right before the wait is wrong after it | fail closed: the one that runs goes on | [`a_successor_whose_files_went_wrong_while_it_waited_changes_nothing`] |
//! | the directory of the socket, under `/tmp`, is another user's, or a link | a name that any user can take first | [`a_directory_that_others_can_have_made_is_not_used`] |
//! | a process that listens at the socket and accepts nothing holds the running one up for ever | a connect without a deadline | [`a_socket_that_accepts_nothing_holds_nothing_up`] |
//! | `run --upgrade` dies of SIGHUP while it waits | a signal that has the system's effect | [`a_successor_that_waits_outlives_sighup`] |

use crate::support::{
    Edit as _, Load, Operator, Origin, Pipe, Pki, Proxy, Reading, Reply, Sender, eventually,
    is_event,
};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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

#[test]
fn upgrades_under_load_lose_nothing() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let mut proxy = Proxy::spawn(&pki, &config(&origin));
    let load = Load::start(&Sender::to(&proxy, Some(&pki.netdata())));
    load.goes_on_for(20);
    for _ in 0..3 {
        let new = upgrade(&mut proxy);
        assert_eq!(new.address(0), proxy.address(0));
        assert_eq!(proxy.wait().code(), Some(0));
        assert_eq!(named(pki.path()), new.id());
        load.goes_on_for(20);
        proxy = new;
    }
    let answered = load.ends_without_failure();
    assert!(origin.received().len() >= answered);
}

#[test]
fn the_admin_listener_is_ready_all_the_time() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let config = config(&origin) + "[admin]\nlisten = \"127.0.0.1:0\"\n";
    let mut old = Proxy::spawn(&pki, &config);
    let sender = Sender::to(&old, Some(&pki.netdata()));
    assert_eq!(sender.post(ALERT).status, 200);
    let operator = Operator::of(&old);
    let forwarded = "requests_total{code=\"ok\",outcome=\"forwarded\",route=\"/webhooks/netdata\"}";
    operator.wait_for(forwarded, 1.0);
    // The old process is still at work when the new one answers.
    origin.will([Reply::Late(
        Duration::from_secs(1),
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into(),
    )]);
    let late = std::thread::spawn(move || sender.post(ALERT));
    origin.wait_for(2);
    let is_over = Arc::new(AtomicBool::new(false));
    let asking = std::thread::spawn({
        let (operator, is_over) = (
            Operator {
                address: operator.address,
            },
            is_over.clone(),
        );
        move || {
            let mut asked = 0;
            while !is_over.load(Ordering::Relaxed) {
                assert_eq!(operator.get("/readyz").status, 200);
                asked += 1;
            }
            asked
        }
    });
    let new = upgrade(&mut old);
    assert_eq!(Operator::of(&new).address, operator.address);
    operator.wait_for(forwarded, 0.0);
    assert_eq!(late.join().unwrap().status, 200);
    assert_eq!(old.wait().code(), Some(0));
    is_over.store(true, Ordering::Relaxed);
    assert!(asking.join().unwrap() > 10);
}

#[test]
fn what_is_in_flight_is_finished_by_the_old_process() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let mut old = Proxy::spawn(&pki, &config(&origin));
    let sender = Sender::to(&old, Some(&pki.netdata()));
    let mut idle = sender.connect().unwrap();
    assert_eq!(idle.post(ALERT).unwrap().status, 200);
    let (tell, reply) = Reply::when_told("late");
    origin.will([reply]);
    let late = std::thread::spawn({
        let sender = sender.clone();
        move || sender.post(ALERT)
    });
    origin.wait_for(2);
    let new = upgrade(&mut old);
    // What was idle gets one more answer, and then a new connection.
    let answer = idle.post(ALERT).unwrap();
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    tell.send(()).unwrap();
    let answer = late.join().unwrap();
    assert_eq!(
        (answer.body.as_str(), answer.header("connection")),
        ("late", Some("close"))
    );
    assert_eq!(old.wait().code(), Some(0));
    assert_eq!(sender.post(ALERT).status, 200);
    assert!(eventually("its access line", || new
        .log()
        .iter()
        .any(|line| line.contains("outcome"))
        .then_some(true)));
}

#[test]
fn the_signal_may_come_before_the_successor() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let mut old = Proxy::spawn(&pki, &config(&origin));
    old.signal("QUIT");
    old.wait_for_event("upgrade_waiting_for_successor");
    let socket = pki.path().join("proxy.upgrade");
    assert_eq!(
        std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let new = old.successor();
    new.wait_for_event("ready");
    assert_eq!(old.wait().code(), Some(0));
    assert!(!socket.exists());
    assert_eq!(
        Sender::to(&new, Some(&pki.netdata())).post(ALERT).status,
        200
    );
}

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
fn a_successor_with_a_wrong_configuration_changes_nothing() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let mut old = Proxy::spawn(&pki, &config(&origin));
    std::fs::write(&old.config, config(&origin).edit("ca.pem", "missing.pem")).unwrap();
    old.signal("QUIT");
    let mut wrong = old.successor();
    assert_eq!(wrong.wait().code(), Some(2));
    // The operator fixes it; the old process is still waiting.
    std::fs::write(&old.config, config(&origin)).unwrap();
    assert_eq!(
        Sender::to(&old, Some(&pki.netdata())).post(ALERT).status,
        200
    );
    let new = old.successor();
    new.wait_for_event("ready");
    assert_eq!(old.wait().code(), Some(0));
}

#[test]
fn a_successor_that_fails_at_the_last_moment_changes_nothing() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let mut old = Proxy::spawn(&pki, &config(&origin));
    let load = Load::start(&Sender::to(&old, Some(&pki.netdata())));
    std::fs::write(
        &old.config,
        config(&origin).replace("proxy.pid", "missing/proxy.pid"),
    )
    .unwrap();
    let mut wrong = old.successor();
    old.signal("QUIT");
    assert_eq!(wrong.wait().code(), Some(1));
    wrong.wait_for_log("cannot write the pid file");
    old.wait_for_event("upgrade_failed");
    assert_eq!(named(pki.path()), old.id());
    load.goes_on_for(20);
    std::fs::write(&old.config, config(&origin)).unwrap();
    let _new = upgrade(&mut old);
    load.goes_on_for(20);
    load.ends_without_failure();
}

#[test]
fn a_successor_that_says_something_else_or_vanishes_changes_nothing() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let old = Proxy::spawn(&pki, &config(&origin));
    let socket = pki.path().join("proxy.upgrade");
    for (round, words) in [
        &b""[..],
        b"hello\n",
        b"serving\n",
        b"ready\n",
        b"ready\nready\n",
        &[b'x'; 5000],
    ]
    .into_iter()
    .enumerate()
    {
        old.signal("QUIT");
        let mut stream = eventually("the socket", || UnixStream::connect(&socket).ok());
        // It may have been called off before all was said.
        let _ = stream.write_all(words);
        drop(stream);
        old.wait_for_events("upgrade_failed", round + 1);
        assert!(!socket.exists());
        assert_eq!(
            Sender::to(&old, Some(&pki.netdata())).post(ALERT).status,
            200
        );
    }
    assert_eq!(named(pki.path()), old.id());
}

#[test]
fn a_successor_serves_if_the_old_process_dies() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let config = config(&origin);
    let mut old = Proxy::spawn(&pki, &config);
    let address = old.address(0);
    let new = old.successor();
    new.wait_for_event("upgrade_waiting_for_sockets");
    old.signal("QUIT");
    new.wait_for_event("upgrade_sockets_received");
    old.signal("KILL");
    old.wait();
    new.wait_for_event("ready");
    let mut sender = Sender::to(&new, Some(&pki.netdata()));
    sender.address = address;
    assert_eq!(sender.post(ALERT).status, 200);
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
fn addresses_may_come_and_go_with_an_upgrade() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let two = config(&origin).edit(
        "https = \"127.0.0.1:0\"",
        "https = [\"127.0.0.1:0\", \"127.0.0.2:0\"]",
    );
    let three = config(&origin).edit(
        "https = \"127.0.0.1:0\"",
        "https = [\"127.0.0.3:0\", \"127.0.0.1:0\"]",
    );
    let mut old = Proxy::spawn(&pki, &two);
    std::fs::write(&old.config, three).unwrap();
    let new = upgrade(&mut old);
    assert_eq!(new.address(1), old.address(0));
    assert_ne!(new.address(0), old.address(1));
    new.wait_for_event("inherited_socket_unused");
    assert_eq!(old.wait().code(), Some(0));
    assert!(std::net::TcpStream::connect(old.address(1)).is_err());
    assert_eq!(
        Sender::to(&new, Some(&pki.netdata())).post(ALERT).status,
        200
    );
}

#[test]
fn without_the_signal_nothing_is_handed_over() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let old = Proxy::spawn(&pki, &config(&origin));
    // Without the signal it waits, and can be ended.
    let mut new = old.successor();
    new.wait_for_event("upgrade_waiting_for_sockets");
    new.signal("TERM");
    assert!(!new.wait().success());
    assert_eq!(
        Sender::to(&old, Some(&pki.netdata())).post(ALERT).status,
        200
    );
}

#[test]
fn what_was_withdrawn_while_a_successor_waited_is_not_trusted_again() {
    let (pki, next, origin) = (Pki::new(), Pki::new(), Origin::spawn());
    let (withdrawn, trusted) = (pki.netdata(), next.netdata());
    let config = config(&origin).edit("\"require\"", "\"request\"");
    let mut old = Proxy::spawn(&pki, &config);
    let new = old.successor();
    new.wait_for_event("upgrade_waiting_for_sockets");
    pki.write(
        "ca.pem",
        &std::fs::read_to_string(next.path().join("ca.pem")).unwrap(),
    );
    old.wait_for_event("config_reloaded");
    Sender::to(&old, Some(&withdrawn))
        .post(ALERT)
        .refuses(403, "client_certificate_invalid");
    old.signal("QUIT");
    new.wait_for_event("ready");
    assert_eq!(old.wait().code(), Some(0));
    Sender::to(&new, Some(&withdrawn))
        .post(ALERT)
        .refuses(403, "client_certificate_invalid");
    assert_eq!(Sender::to(&new, Some(&trusted)).post(ALERT).status, 200);
    assert!(
        !new.log()
            .iter()
            .any(|line| is_event(line, "config_reloaded")),
        "it was right from the start"
    );
}

/// A process, and its successor that has the sockets, has read its authorities and is about to read
/// its secret.
fn reading_successor(pki: &Pki, config: &str) -> (Proxy, Proxy, Pipe, Reading) {
    let pipe = Pipe::new(pki, "secret.pipe");
    let old = Proxy::spawn(pki, config);
    let path = pki.write(
        "successor.toml",
        &config.edit("challenge.secret", "secret.pipe"),
    );
    let new = Proxy::launch(&path, |command| {
        command.arg("--upgrade");
    });
    pipe.open().write("another-secret-0123456789");
    new.wait_for_event("upgrade_waiting_for_sockets");
    old.signal("QUIT");
    new.wait_for_event("upgrade_sockets_received");
    let reading = pipe.open();
    (old, new, pipe, reading)
}

#[test]
fn what_is_withdrawn_while_a_successor_reads_is_not_trusted_for_good() {
    let (pki, next, origin) = (Pki::new(), Pki::new(), Origin::spawn());
    let withdrawn = pki.netdata();
    let config = config(&origin).edit("\"require\"", "\"request\"");
    let (mut old, new, pipe, reading) = reading_successor(&pki, &config);
    pki.write(
        "ca.pem",
        &std::fs::read_to_string(next.path().join("ca.pem")).unwrap(),
    );
    reading.write("another-secret-0123456789");
    new.wait_for_event("ready");
    assert_eq!(old.wait().code(), Some(0));
    // The first look finds it.
    pipe.open().write("another-secret-0123456789");
    let sender = Sender::to(&new, Some(&withdrawn));
    eventually("the withdrawal", || {
        (sender.post(ALERT).status == 403).then_some(())
    });
}

#[test]
fn a_configuration_that_changes_while_a_successor_starts_keeps_it_from_serving() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let config = config(&origin).edit("\"require\"", "\"request\"");
    let (old, mut new, _pipe, reading) = reading_successor(&pki, &config);
    let changed = config.edit(
        "[tls.client]",
        "[tls.client]\ncommon_names = [\"new.netdata.cloud\"]",
    );
    std::fs::write(&new.config, &changed).unwrap();
    old.reload(&changed);
    reading.write("another-secret-0123456789");
    assert_eq!(new.wait().code(), Some(1));
    new.wait_for_log("the configuration changed while this process took over");
    old.wait_for_event("upgrade_failed");
    Sender::to(&old, Some(&pki.netdata()))
        .post(ALERT)
        .refuses(403, "common_name_mismatch");
    origin.received_nothing();
}

#[test]
fn a_successor_whose_files_went_wrong_while_it_waited_changes_nothing() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let mut old = Proxy::spawn(&pki, &config(&origin));
    let ca = std::fs::read_to_string(pki.path().join("ca.pem")).unwrap();
    let mut wrong = old.successor();
    wrong.wait_for_event("upgrade_waiting_for_sockets");
    pki.write("ca.pem", "");
    old.signal("QUIT");
    assert_eq!(wrong.wait().code(), Some(2));
    assert!(wrong.wait_for_log("tls.client.ca").contains("is empty"));
    old.wait_for_event("upgrade_failed");
    assert_eq!(
        Sender::to(&old, Some(&pki.netdata())).post(ALERT).status,
        200
    );
    pki.write("ca.pem", &ca);
    let new = upgrade(&mut old);
    assert_eq!(
        Sender::to(&new, Some(&pki.netdata())).post(ALERT).status,
        200
    );
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

#[test]
fn a_successor_that_waits_outlives_sighup() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let mut old = Proxy::spawn(&pki, &config(&origin));
    let new = old.successor();
    new.wait_for_event("upgrade_waiting_for_sockets");
    new.signal("HUP");
    old.signal("QUIT");
    new.wait_for_event("ready");
    assert_eq!(old.wait().code(), Some(0));
    assert_eq!(
        Sender::to(&new, Some(&pki.netdata())).post(ALERT).status,
        200
    );
}
