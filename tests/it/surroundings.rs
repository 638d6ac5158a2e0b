//! What a process finds around it where it is started: signals, devices, files of others,
//! addresses.
//!
//! | fault | kind | held by |
//! |---|---|---|
//! | started by a parent that blocked SIGTERM, it never ends by it | what is inherited is taken as it is | [`signals_that_were_blocked_are_obeyed`] |
//! | SIGUSR1, which NGINX's logrotate sends, kills | a signal that has the system's effect | [`what_rotates_logs_does_no_harm`] |
//! | SIGUSR2 to the first process of a container ends that | a successor that cannot outlive it | [`the_first_process_of_a_container_starts_no_successor`] |
//! | a panic where `/dev` is missing | a file that is taken for granted | [`it_serves_where_there_are_no_devices`] |
//! | `["0.0.0.0:P", "[::]:P"]` cannot be bound | one socket takes another's address | [`an_address_of_either_kind_has_its_socket`] |
//! | the second of two instances removes the first's pid file | a file is taken for one's own | [`the_pid_file_of_another_process_is_left_alone`] |
//! | a pid file that is a link is followed | likewise | [`a_pid_file_that_is_a_link_is_not_followed`] |
//! | 10,000 routes are not ready after 30 s: each was probed | work that grows with the configuration | [`many_routes_are_ready_as_soon_as_a_few`] |

use crate::support::{Edit as _, Origin, Pki, Proxy, Sender, eventually, is_event, skip, succeed};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

const ALERT: &str = "{\"alert\":\"x\"}";

const PROGRAM: &str = env!("CARGO_BIN_EXE_netdata-webhook-proxy");

#[test]
fn signals_that_were_blocked_are_obeyed() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    let config = pki.write("config.toml", &Proxy::config(&origin, "require", ""));
    let block = "import os, signal, sys\n\
                 signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))\n\
                 os.execv(sys.argv[1], sys.argv[1:])";
    for (signal, expected) in [
        ("TERM", "draining"),
        ("INT", "stopped"),
        ("HUP", "config_reloaded"),
    ] {
        let mut command = Command::new("python3");
        command
            .args(["-c", block, PROGRAM, "run", "--config"])
            .arg(&config);
        if Command::new("python3").arg("-V").output().is_err() {
            return skip("there is no python3");
        }
        let mut proxy = Proxy::run(command, &config);
        proxy.wait_for_event("ready");
        proxy.signal(signal);
        proxy.wait_for_event(expected);
        proxy.signal("INT");
        assert_eq!(proxy.wait().code(), Some(0), "{signal}");
    }
}

#[test]
fn what_rotates_logs_does_no_harm() {
    let origin = Origin::spawn();
    let proxy = Proxy::in_front_of(&origin, Pki::shared(), "require", "");
    proxy.signal("USR1");
    assert!(
        proxy
            .wait_for_event("log_rotation_ignored")
            .contains(" INFO ")
    );
    assert_eq!(
        Sender::to(&proxy, Some(&Pki::shared().netdata()))
            .post(ALERT)
            .status,
        200
    );
}

#[test]
fn the_first_process_of_a_container_starts_no_successor() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    let config = pki.write("config.toml", &Proxy::config(&origin, "require", ""));
    if !Command::new("unshare")
        .args(["--pid", "--fork", "true"])
        .output()
        .is_ok_and(|output| output.status.success())
    {
        return skip("no process can be the first of a namespace here");
    }
    let mut command = Command::new("unshare");
    command
        .args([
            "--pid",
            "--fork",
            "--kill-child",
            PROGRAM,
            "run",
            "--config",
        ])
        .arg(&config);
    let proxy = Proxy::run(command, &config);
    proxy.wait_for_event("ready");
    let children =
        std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", proxy.id())).unwrap();
    succeed(Command::new("kill").args(["-USR2", children.trim()]));
    assert!(proxy.wait_for_event("upgrade_refused").contains("ERROR"));
    assert_eq!(
        Sender::to(&proxy, Some(&pki.netdata())).post(ALERT).status,
        200
    );
}

#[test]
fn it_serves_where_there_are_no_devices() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    let config = pki.write("config.toml", &Proxy::config(&origin, "require", ""));
    std::fs::create_dir(pki.path().join("tmp")).unwrap();
    let provide = |file: &Path| {
        let inside = pki.path().join(file.strip_prefix("/").unwrap());
        std::fs::create_dir_all(inside.parent().unwrap()).unwrap();
        std::fs::copy(file, inside).unwrap();
    };
    let libraries = Command::new("ldd").arg(PROGRAM).output().unwrap();
    let libraries = String::from_utf8(libraries.stdout).unwrap();
    libraries
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .for_each(|file| provide(Path::new(file)));
    std::fs::copy(PROGRAM, pki.path().join("program")).unwrap();
    let inside = |arguments: &[&str]| {
        let mut command = Command::new("chroot");
        command
            .arg(pki.path())
            .arg("/program")
            .args(arguments)
            .env("TMPDIR", "/tmp");
        command
    };
    if !inside(&["--version"])
        .output()
        .is_ok_and(|output| output.status.success())
    {
        return skip("the root directory cannot be changed here");
    }
    let proxy = Proxy::run(inside(&["run", "--config", "/config.toml"]), &config);
    proxy.wait_for_event("ready");
    assert_eq!(
        Sender::to(&proxy, Some(&pki.netdata())).post(ALERT).status,
        200
    );
    drop(proxy);
    // Without a place for a file, either, it ends with a message.
    std::fs::remove_dir_all(pki.path().join("tmp")).unwrap();
    let output = inside(&["run", "--config", "/config.toml"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("error: cannot connect to applications: ") && !said.contains("panicked"),
        "{said}"
    );
}

#[test]
fn an_address_of_either_kind_has_its_socket() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return skip("there is no IPv6 here");
    }
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let both = |first: &str, second: &str, port| {
        let https = format!("https = [\"{first}:{port}\", \"{second}:{port}\"]");
        Proxy::config(&origin, "require", "").edit("https = \"127.0.0.1:0\"", &https)
    };
    for (first, second) in [
        ("0.0.0.0", "[::]"),
        ("[::]", "0.0.0.0"),
        ("[::]", "127.0.0.1"),
    ] {
        // Of a port that was free, another process may have become the owner.
        let proxy = eventually("a free port", || {
            let port = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            let proxy = Proxy::start(&pki, &both(first, second, port));
            let over = || {
                proxy
                    .log()
                    .into_iter()
                    .find(|line| is_event(line, "ready") || line.contains("error:"))
            };
            let line = eventually("the start", over);
            assert!(
                is_event(&line, "ready") || line.contains("in use"),
                "{line}"
            );
            is_event(&line, "ready").then_some((proxy, port))
        });
        let (proxy, port) = proxy;
        for address in [
            "127.0.0.1".parse().unwrap(),
            std::net::IpAddr::from(Ipv6Addr::LOCALHOST),
        ] {
            let mut sender = Sender::to(&proxy, Some(&pki.netdata()));
            sender.address = (address, port).into();
            assert_eq!(sender.post(ALERT).status, 200, "{first} {second} {address}");
        }
    }
    // By itself it takes both along, as ever.
    let alone = Proxy::config(&origin, "require", "").edit("127.0.0.1:0", "[::]:0");
    let proxy = Proxy::spawn(&pki, &alone);
    assert!(TcpStream::connect(("127.0.0.1", proxy.address(0).port())).is_ok());
}

fn with_pid_file(origin: &Origin) -> String {
    Proxy::config(origin, "require", "").edit("[server]", "[server]\npid_file = \"proxy.pid\"")
}

#[test]
fn the_pid_file_of_another_process_is_left_alone() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let config = with_pid_file(&origin);
    let path = pki.path().join("proxy.pid");
    let first = Proxy::spawn(&pki, &config);
    let named = || std::fs::read_to_string(&path).unwrap();
    let mut second = Proxy::spawn(&pki, &config);
    second.wait_for_event("pid_file_in_use");
    assert_eq!(named(), format!("{}\n", first.id()));
    second.signal("QUIT");
    second.wait_for_event("upgrade_waiting_for_successor");
    second.signal("TERM");
    assert_eq!(second.wait().code(), Some(0));
    assert_eq!(named(), format!("{}\n", first.id()));
    // What names none that runs, or one of another program, is replaced.
    drop(first);
    for stale in [
        "4194304\n".to_owned(),
        format!("{}\n", std::process::id()),
        "nonsense".into(),
        String::new(),
    ] {
        std::fs::write(&path, &stale).unwrap();
        let mut proxy = Proxy::spawn(&pki, &config);
        assert_eq!(named(), format!("{}\n", proxy.id()), "{stale:?}");
        proxy.signal("TERM");
        assert_eq!(proxy.wait().code(), Some(0));
        assert!(!path.exists());
    }
}

#[test]
fn a_pid_file_that_is_a_link_is_not_followed() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let precious = pki.write("precious", "precious");
    std::os::unix::fs::symlink(&precious, pki.path().join("proxy.pid")).unwrap();
    let mut proxy = Proxy::start(&pki, &with_pid_file(&origin));
    assert_eq!(proxy.wait().code(), Some(1));
    proxy.wait_for_log("cannot write the pid file");
    assert_eq!(std::fs::read_to_string(precious).unwrap(), "precious");
}

#[test]
fn many_routes_are_ready_as_soon_as_a_few() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    for verify in ["require", "request"] {
        let mut config = Proxy::config(&origin, verify, "");
        let few = started(&pki, &config);
        for index in 0..3000 {
            config += &format!(
                "[[routes]]\npath = \"/hooks/{index}\"\nupstream = \"{}\"\n",
                origin.url
            );
        }
        let many = started(&pki, &config);
        // A build for tests takes ten times what one for use does.
        assert!(many < few + 800, "{few}, and with many {many}");
    }
}

/// Returns the processor time that it takes until it is ready, in hundredths of a second.
fn started(pki: &Pki, config: &str) -> u64 {
    let proxy = Proxy::spawn(pki, config);
    let taken = proxy.processor_time();
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    assert_eq!(sender.post(ALERT).status, 200);
    taken
}
