//! What systemd gets to know, and what it may pass: a stand-in for it has the other end of the
//! sockets.

use crate::support::{Edit as _, Origin, PATIENCE, Pki, Proxy, Sender, eventually};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const ALERT: &str = "{\"alert\":\"x\"}";

/// The socket that a service notifies.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(pki: &Pki) -> Self {
        let path = pki.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, path }
    }

    /// The lines of the next message.
    fn hears(&self) -> Vec<String> {
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length])
            .lines()
            .map(str::to_owned)
            .collect()
    }

    #[track_caller]
    fn hears_of(&self, state: &str) -> Vec<String> {
        let lines = self.hears();
        assert!(
            lines.iter().any(|line| line == state),
            "{state} in {lines:?}"
        );
        lines
    }
}

fn write_config(pki: &Pki, origin: &Origin) -> PathBuf {
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    let server = "[server]\npid_file = \"proxy.pid\"";
    pki.write(
        "config.toml",
        &Proxy::config(origin, "require", "").edit("[server]", server),
    )
}

#[test]
fn it_is_told_of_start_reload_and_end() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let (manager, config) = (Manager::new(&pki), write_config(&pki, &origin));
    let mut proxy = Proxy::launch(&config, |command| {
        command.env("NOTIFY_SOCKET", &manager.path);
    });
    assert!(
        manager
            .hears_of("READY=1")
            .iter()
            .any(|line| line.starts_with("STATUS="))
    );
    for (text, status) in [
        (std::fs::read_to_string(&config).unwrap(), "STATUS=Serving"),
        (String::new(), "old"),
    ] {
        std::fs::write(&config, text).unwrap();
        proxy.signal("HUP");
        let lines = manager.hears_of("RELOADING=1");
        let time = lines
            .iter()
            .find_map(|line| line.strip_prefix("MONOTONIC_USEC="))
            .unwrap();
        assert!(time.parse::<u64>().unwrap() > 0);
        assert!(
            manager
                .hears_of("READY=1")
                .iter()
                .any(|line| line.contains(status))
        );
    }
    proxy.signal("TERM");
    manager.hears_of("STOPPING=1");
    assert_eq!(proxy.wait().code(), Some(0));
}

#[test]
fn it_follows_an_upgrade_that_it_asked_for() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let (manager, config) = (Manager::new(&pki), write_config(&pki, &origin));
    let mut old = Proxy::launch(&config, |command| {
        command.env("NOTIFY_SOCKET", &manager.path);
    });
    manager.hears_of("READY=1");
    let sender = Sender::to(&old, Some(&pki.netdata()));
    old.signal("USR2");
    let lines = manager.hears();
    let id = lines
        .iter()
        .find_map(|line| line.strip_prefix("MAINPID="))
        .unwrap()
        .to_owned();
    // The old process says nothing after that.
    manager.hears_of("READY=1");
    assert_eq!(old.wait().code(), Some(0));
    assert_ne!(id, old.id().to_string());
    assert_eq!(
        std::fs::read_to_string(pki.path().join("proxy.pid"))
            .unwrap()
            .trim(),
        id
    );
    assert_eq!(sender.post(ALERT).status, 200);
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    manager.hears_of("STOPPING=1");
    eventually("the end of the successor", || {
        (!pki.path().join("proxy.pid").exists()).then_some(())
    });
}

#[test]
fn it_gets_signs_of_life_before_and_after_an_upgrade() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let (manager, config) = (Manager::new(&pki), write_config(&pki, &origin));
    // A process that the signs are not asked of has another id than the one that is named.
    let mut old = Proxy::run(
        {
            let program = env!("CARGO_BIN_EXE_netdata-webhook-proxy");
            let mut command = Command::new("sh");
            command
                .args([
                    "-c",
                    "WATCHDOG_PID=$$ exec \"$0\" run --config \"$1\"",
                    program,
                ])
                .arg(&config);
            command
                .env("NOTIFY_SOCKET", &manager.path)
                .env("WATCHDOG_USEC", "100000");
            command
        },
        &config,
    );
    manager.hears_of("READY=1");
    for _ in 0..3 {
        manager.hears_of("WATCHDOG=1");
    }
    old.signal("USR2");
    let mut messages = std::iter::repeat_with(|| manager.hears().join(" "));
    let id = messages
        .by_ref()
        .find_map(|line| line.strip_prefix("MAINPID=").map(str::to_owned))
        .unwrap();
    assert_eq!(old.wait().code(), Some(0));
    assert!(
        messages
            .by_ref()
            .take(50)
            .filter(|message| message == "WATCHDOG=1")
            .count()
            > 40
    );
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    assert!(messages.any(|message| message.starts_with("STOPPING=1")));
}

/// Starts the proxy with `listener` as the one socket that systemd passes.
fn activate(listener: &TcpListener, config: &std::path::Path) -> Proxy {
    let program = env!("CARGO_BIN_EXE_netdata-webhook-proxy");
    let mut command = Command::new("sh");
    // The first of them is descriptor 3, and they are for the process with this id.
    let start = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" run --config \"$1\" 3<&0 </dev/null";
    command.args(["-c", start, program]).arg(config);
    command.stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())));
    Proxy::run(command, config)
}

#[test]
fn a_socket_that_it_passes_is_listened_on_and_outlives_a_restart() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = Proxy::config(&origin, "require", "").edit("127.0.0.1:0", &address.to_string());
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    let config = pki.write("config.toml", &config);
    let mut old = activate(&listener, &config);
    old.wait_for_event("ready");
    let sender = Sender::to(&old, Some(&pki.netdata()));
    assert_eq!(sender.address, address);
    assert_eq!(sender.post(ALERT).status, 200);
    old.signal("TERM");
    assert_eq!(old.wait().code(), Some(0));
    // Connections that arrive in between wait, and are served by the next process.
    let waiting = std::thread::spawn(move || sender.post(ALERT).status);
    let _new = activate(&listener, &config);
    assert_eq!(waiting.join().unwrap(), 200);
}

#[test]
fn a_socket_that_is_not_configured_is_not_listened_on() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let config = write_config(&pki, &origin);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = activate(&listener, &config);
    proxy.wait_for_event("inherited_socket_unused");
    proxy.wait_for_event("ready");
    assert_ne!(proxy.address(0), listener.local_addr().unwrap());
    assert_eq!(
        Sender::to(&proxy, Some(&pki.netdata())).post(ALERT).status,
        200
    );
}

const CONFIG: &str = include_str!("../../conf/systemd/config.toml");
const PACKAGED: &str = include_str!("../../conf/package/config.toml");
const SERVICE: &str = include_str!("../../conf/systemd/netdata-webhook-proxy.service");
const SOCKET: &str = include_str!("../../conf/systemd/netdata-webhook-proxy.socket");

/// The values of a setting of a unit.
fn values<'u>(unit: &'u str, setting: &str) -> Vec<&'u str> {
    unit.lines()
        .filter_map(|line| line.strip_prefix(setting)?.strip_prefix('='))
        .collect()
}

/// The credentials that a configuration names, also where it proposes to.
fn named(config: &str) -> Vec<&str> {
    let credentials = config.split("{ credential = \"").skip(1);
    credentials
        .map(|rest| rest.split('"').next().unwrap())
        .collect()
}

#[test]
fn the_units_and_their_configurations_fit_together() {
    let loaded = values(SERVICE, "LoadCredential").into_iter();
    let loaded: Vec<_> = loaded
        .map(|credential| credential.split_once(':').unwrap())
        .collect();
    for config in [CONFIG, PACKAGED] {
        let mut named = named(config);
        // In a drop-in.
        named.retain(|name| *name != "bearer.secret");
        assert_eq!(named.len(), loaded.len());
        for name in named {
            let path = format!("/etc/netdata-webhook-proxy/{name}");
            assert!(loaded.contains(&(name, &path)), "{name} in {loaded:?}");
        }
        let sockets = values(SOCKET, "ListenStream");
        assert_eq!(sockets.len(), 2);
        for address in sockets {
            assert!(config.contains(&format!("\"{address}\"")), "{address}");
        }
    }
}

/// An absent file is an empty credential, which is an error only where the configuration names it.
#[test]
fn files_that_are_not_there_do_not_stop_the_service() {
    let names = values(SERVICE, "LoadCredential").into_iter();
    let fallbacks: Vec<_> = names
        .map(|credential| credential.split(':').next().unwrap().to_owned() + ":\\n")
        .collect();
    assert_eq!(values(SERVICE, "SetCredential"), fallbacks);
}

#[test]
fn what_waits_is_in_the_state_directory_of_the_service() {
    let [directory] = values(SERVICE, "StateDirectory")[..] else {
        panic!("one directory")
    };
    let queue = format!("\n[queue]\npath = \"/var/lib/{directory}/queue.db\"\n");
    for config in [CONFIG, PACKAGED] {
        assert!(config.contains(&queue), "{queue}");
        assert!(config.contains("\ndelivery = \"fallback\"\n"));
    }
    assert_eq!(values(SERVICE, "StateDirectoryMode"), ["0700"]);
}

#[test]
fn the_service_says_what_the_program_does() {
    assert_eq!(values(SERVICE, "Type"), ["notify"]);
    assert_eq!(values(SERVICE, "ExecReload"), ["/bin/kill -HUP $MAINPID"]);
    // The exit code of a wrong configuration.
    assert_eq!(values(SERVICE, "RestartPreventExitStatus"), ["2"]);
    let start = values(SERVICE, "ExecStart")[0]
        .strip_prefix("netdata-webhook-proxy ")
        .unwrap();
    let help = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .args([start, "--help"])
        .output()
        .unwrap();
    assert!(help.status.success());
    // Longer than the default of server.shutdown_timeout.
    assert!(values(SERVICE, "TimeoutStopSec")[0].parse::<u32>().unwrap() > 30);
}
