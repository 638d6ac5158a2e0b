//! The way from nothing to a proxy that serves: `init`, `example`, and `check` before the first
//! start.

use crate::support::{Edit as _, Machine, Origin, Pki, Proxy, Sender};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

fn program(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .current_dir(directory)
        .env_remove("CREDENTIALS_DIRECTORY")
        .args(arguments)
        .output()
        .unwrap()
}

#[track_caller]
fn printed(directory: &Path, arguments: &[&str]) -> String {
    let output = program(directory, arguments);
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{arguments:?}: {output:?}"
    );
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn refused(directory: &Path, arguments: &[&str]) -> String {
    let output = program(directory, arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_init_makes_serves_once_there_is_a_certificate() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let next = printed(pki.path(), &["init", "hooks"]);
    let directory = pki.path().join("hooks");
    let mode = |name: &str| {
        fs::metadata(directory.join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(
        (mode("config.toml"), mode("challenge.secret")),
        (0o644, 0o600)
    );
    let secret = fs::read_to_string(directory.join("challenge.secret")).unwrap();
    assert_eq!(secret.trim_end().len(), 44, "32 bytes in Base64");
    assert!(!next.contains(secret.trim_end()), "{next}");

    let path = directory.join("config.toml");
    let path = path.to_str().unwrap();
    for step in [
        &format!("netdata-webhook-proxy check {path}"),
        &format!("netdata-webhook-proxy run --config {path}"),
        "netdata-webhook-proxy doctor https://",
        directory.join("fullchain.pem").to_str().unwrap(),
    ] {
        assert!(next.contains(step), "{step} in {next}");
    }
    let said = refused(pki.path(), &["check", path]);
    assert!(
        said.contains("tls.certificate: cannot read ") && said.contains("tls.private_key: "),
        "{said}"
    );

    // What the steps say.
    fs::copy(
        pki.path().join("server.pem"),
        directory.join("fullchain.pem"),
    )
    .unwrap();
    fs::copy(pki.path().join("server.key"), directory.join("privkey.pem")).unwrap();
    fs::copy(pki.path().join("ca.pem"), directory.join("sender-ca.pem")).unwrap();
    let config = fs::read_to_string(path)
        .unwrap()
        .edit("http://127.0.0.1:3000", &origin.url)
        .edit("0.0.0.0:8443", "127.0.0.1:0")
        .edit("127.0.0.1:9464", "127.0.0.1:0")
        .edit("# [tls.client]\n# ca", "[tls.client]\nca");
    fs::write(path, config).unwrap();
    let checked = program(pki.path(), &["check", path]);
    let warning = String::from_utf8(checked.stderr).unwrap();
    assert!(
        checked.status.success()
            && warning.lines().count() == 1
            && warning.contains("another authority beside Netdata's own"),
        "{warning}"
    );
    let proxy = Proxy::launch(Path::new(path), |_| {});
    proxy.wait_for_event("ready");
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    assert_eq!(sender.post("{\"alert\":\"x\"}").status, 200);
}

#[test]
fn the_lines_that_init_leaves_out_are_right_as_well() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    printed(pki.path(), &["init", "."]);
    pki.write("bearer.secret", "YOUR_BEARER_TOKEN\n");
    let config = fs::read_to_string(pki.path().join("config.toml"))
        .unwrap()
        .edit("fullchain.pem", "server.pem")
        .edit("privkey.pem", "server.key")
        .edit("http://127.0.0.1:3000", &origin.url)
        .edit("# spaces = ", "spaces = ")
        .edit("# [routes.auth]\n# bearer", "[routes.auth]\nbearer");
    pki.write("config.toml", &config);
    let said = printed(pki.path(), &["check", "config.toml"]);
    assert!(
        said.contains("a Bearer token") && said.contains("my-space"),
        "{said}"
    );
}

#[test]
fn init_replaces_nothing() {
    for name in ["config.toml", "challenge.secret"] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(name), "mine").unwrap();
        let said = refused(directory.path(), &["init", "."]);
        assert!(said.contains(&format!("{name} exists already: ")), "{said}");
        let files: Vec<_> = fs::read_dir(&directory).unwrap().collect();
        assert_eq!(files.len(), 1, "none of the others is written");
        assert_eq!(
            fs::read_to_string(directory.path().join(name)).unwrap(),
            "mine"
        );
    }
}

#[test]
fn example_prints_every_key() {
    let printed = printed(Path::new("."), &["example"]);
    assert_eq!(printed, include_str!("../../conf/example.toml"));
}

#[test]
fn check_takes_its_file_in_each_form() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    pki.write("a.toml", &Proxy::config(&origin, "require", ""));
    for words in [&["a.toml"][..], &["-c", "a.toml"], &["--config", "a.toml"]] {
        printed(pki.path(), &[&["check"], words].concat());
    }
    refused(pki.path(), &["check", "a.toml", "-c", "a.toml"]);
    let missing = refused(pki.path(), &["check", "b.toml"]);
    assert!(
        missing.starts_with("error: b.toml: cannot read the configuration: "),
        "{missing}"
    );
}

/// The certificate, its key and the secret are credentials, which there are none of before systemd
/// has started the service.
#[test]
fn the_service_of_systemd_can_be_checked_before_its_first_start() {
    let (machine, pki, origin) = (Machine::new(), Pki::new(), Origin::spawn());
    let directory = machine.path("/etc/netdata-webhook-proxy");
    fs::create_dir_all(&directory).unwrap();
    let config =
        include_str!("../../conf/systemd/config.toml").edit("http://127.0.0.1:3000", &origin.url);
    fs::write(directory.join("config.toml"), machine.at(&config)).unwrap();
    fs::create_dir(machine.path("/var/lib/netdata-webhook-proxy")).unwrap();
    let directory = directory.to_str().unwrap();
    let file = format!("{directory}/config.toml");
    let without = refused(pki.path(), &["check", &file]);
    for key in [
        "tls.certificate: ",
        "tls.private_key: ",
        "routes[0].challenge_secret: ",
    ] {
        let expected = format!("{key}CREDENTIALS_DIRECTORY is not set");
        assert!(without.contains(&expected), "{expected} in {without}");
    }
    assert_eq!(
        without.matches("check with --credentials DIR").count(),
        3,
        "{without}"
    );
    let too_early = refused(pki.path(), &["check", &file, "--credentials", directory]);
    assert_eq!(
        too_early.matches(": cannot read ").count(),
        3,
        "{too_early}"
    );
    for (name, from) in [
        ("fullchain.pem", "server.pem"),
        ("privkey.pem", "server.key"),
    ] {
        fs::copy(pki.path().join(from), format!("{directory}/{name}")).unwrap();
    }
    fs::write(
        format!("{directory}/challenge.secret"),
        "YOUR_CHALLENGE_SECRET\n",
    )
    .unwrap();
    printed(pki.path(), &["check", &file, "--credentials", directory]);
}

#[test]
fn a_url_where_it_cannot_stand_is_explained() {
    let here = Path::new(".");
    for arguments in [
        &["send", "localhost:8443/x"][..],
        &["send", "hooks.example"],
        &["send", "https://hooks.example/x"],
        &["localhost:8443/x"],
    ] {
        let said = refused(here, arguments);
        assert!(
            said.contains("must begin with https://")
                && said.contains("send alert https://hooks.example/"),
            "{arguments:?}: {said}"
        );
    }
    for command in [&["send", "alert"][..], &["send", "test"], &["doctor"]] {
        for url in ["localhost:8443/x", "hooks.example", "hooks.example/x"] {
            let said = refused(here, &[command, &[url]].concat());
            assert!(
                said.contains("begin with https://"),
                "{command:?} {url}: {said}"
            );
        }
    }
    let said = refused(here, &["send", "alrt"]);
    assert!(said.contains("unrecognized subcommand 'alrt'"), "{said}");
}

/// The same option has the same name in each command, and the names of old are known.
#[test]
fn send_and_doctor_name_their_options_alike() {
    let here = Path::new(".");
    let help = |words: &[&str]| printed(here, &[words, &["--help"]].concat());
    let (doctor, send) = (help(&["doctor"]), help(&["send", "challenge"]));
    for option in [
        "--cert <FILE>",
        "--key <FILE>",
        "--ca <FILE>",
        "--secret-file <FILE>",
        "--timeout <SECONDS>",
        "--json",
    ] {
        assert!(doctor.contains(option) && send.contains(option), "{option}");
    }
    for (old, of) in [
        ("--certificate", "--cert"),
        ("--server-ca", "--ca"),
        ("--cacert", "--ca"),
    ] {
        for command in [&["doctor"][..], &["send", "alert"]] {
            let arguments = [command, &["https://127.0.0.1:1/", old, "/nonexistent.pem"]].concat();
            let said = refused(here, &arguments);
            assert!(
                said.contains("cannot read /nonexistent.pem"),
                "{old} is {of}: {said}"
            );
        }
    }
}
