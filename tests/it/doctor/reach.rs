//! Whether Netdata Cloud finds the server at all, and what is no URL.

use super::{Kit, run, scripted, url};
use crate::support::{MisconfiguredServer, Origin, Proxy};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

#[test]
fn a_name_without_an_ipv4_address_is_found() {
    let kit = Kit::new();
    kit.examine("https://[::1]:1/", &[])
        .has("name", "fail", "there is no IPv4 address");
    let found = kit.examine("https://nowhere.invalid/", &["--timeout", "2"]);
    found
        .has("name", "fail", "nowhere.invalid does not resolve")
        .has("port", "skip", "no address");
    assert_eq!(found.checks.len(), 2);
}

#[test]
fn a_port_where_nobody_listens_is_found() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let found = Kit::new().examine(&url(address), &[]);
    found.has("port", "fail", "Connection refused");
    assert_eq!(
        found.checks.len(),
        2,
        "nothing else can be found out: {found:#?}"
    );
}

#[test]
fn whoever_answers_nothing_or_never_stops_is_not_waited_for() {
    let kit = Kit::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let found = kit.examine_whole(&url(address), &["--timeout", "1"]);
    found.has("chain", "fail", "no response in time");

    // One that shakes hands is asked twice at most.
    let asked = Arc::new(AtomicUsize::new(0));
    let (end, ended) = mpsc::channel::<()>();
    let (count, ended) = (asked.clone(), Mutex::new(ended));
    let dumb = MisconfiguredServer::new(&kit.pki)
        .optional_client_cert()
        .answers(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            // An error says that the test is over.
            let _ = ended.lock().unwrap().recv();
            String::new()
        });
    let found = kit.examine_whole(&url(dumb.spawn()), &["--timeout", "1", "--slow=1"]);
    found
        .has("no certificate", "warn", "no response in time")
        .has("challenge", "fail", "within 1 s");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    drop(end);

    let garbage = scripted(|_| vec![b'x'; 1 << 20]);
    kit.examine_whole(&url(garbage), &["--timeout", "2"])
        .has("chain", "fail", "");
    let endless = MisconfiguredServer::new(&kit.pki).answers(|_| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n{}",
            "x".repeat(1 << 20)
        )
    });
    let found = kit.examine_whole(&url(endless.spawn()), &["--timeout", "4"]);
    found.has("challenge", "fail", "the response is not");
    let drip = scripted(|_| b"HTTP/1.1 100 Continue\r\n\r\n".repeat(10_000));
    let plain = format!("http://127.0.0.1:{}/", drip.port());
    kit.examine(&plain, &["--timeout", "1", "--no-client-certificate"])
        .has("no credentials", "warn", "unclear whether");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let kit = Kit::new();
    let missing = kit.file("missing");
    let broken = kit
        .pki
        .write("broken.toml", "[listen]\nhttps = 1\n")
        .to_str()
        .unwrap()
        .to_owned();
    let origin = Origin::spawn();
    let port0 = kit
        .pki
        .write("port0.toml", &Proxy::config(&origin, "require", ""))
        .to_str()
        .unwrap()
        .to_owned();
    for (arguments, expected) in [
        (&["hooks.example"][..], "must begin with https://"),
        (&["ftp://hooks.example/"], "must begin with https://"),
        (&["https://a:b@hooks.example/"], "credentials"),
        (
            &["https://localhost:99999/"],
            "\"99999\" is not a port: those are 1 to 65535",
        ),
        (&["https://localhost:8443x/"], "\"8443x\" is not a port"),
        (
            &["https://localhost:1/#x"],
            "a fragment is not sent: remove #x",
        ),
        (
            &["https://localhost:1/", "--secret-file", &missing],
            "cannot read",
        ),
        (&["https://localhost:1/", "--ca", &missing], "missing"),
        (
            &[
                "https://localhost:1/",
                "--ca",
                &kit.file("challenge.secret"),
            ],
            "no certificate",
        ),
        (
            &["https://localhost:1/", "--cert", &kit.file("netdata.pem")],
            "netdata.pem holds a certificate and no private key",
        ),
        (
            &[
                "https://localhost:1/",
                "--cert",
                &kit.file("netdata.pem"),
                "--key",
                &kit.file("server.key"),
            ],
            "is not the key",
        ),
        (&["https://localhost:1/", "--timeout", "0"], "--timeout"),
        (&["--config", &missing], "cannot read the configuration"),
        (&["--config", &broken], "listen.https"),
        (&["--config", &port0], "uses port 0"),
    ] {
        let output = run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(2) && said.contains(expected),
            "{arguments:?}: {said}"
        );
    }
    // As everywhere, the configuration may be named by the environment.
    let mut command = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
    let output = command
        .env("NETDATA_WEBHOOK_PROXY_CONFIG", Path::new(&port0))
        .arg("doctor")
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("uses port 0"));
}
