//! Any server, or none: `send` ends in time, with the reason and advice.

use super::{Said, Scene, run, url};
use crate::support::{MisconfiguredServer, Origin, Pki, Proxy, Reply, WEBHOOK};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use time::OffsetDateTime;

/// Sends an alert, which may take a second.
fn alert(arguments: &[&str]) -> Said {
    run(&[&["alert", "--json", "--timeout", "1"], arguments].concat())
}

/// A result with advice.
#[track_caller]
fn ended(said: Said, exit: i32, result: &str, code: &str) -> Value {
    let result = said.ends_with(exit).all(result, code, 1);
    assert!(
        result["advice"]
            .as_str()
            .is_some_and(|advice| !advice.is_empty()),
        "{result:#}"
    );
    result
}

fn http(address: SocketAddr) -> String {
    format!("http://{address}/")
}

/// Answers whatever comes with `answer`, and goes on to listen.
fn scripted(answer: &'static [u8], times: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let _ = socket.read(&mut [0; 8192]);
            // Ignore the error: the client has gone.
            let _ = (0..times).try_for_each(|_| socket.write_all(answer));
            let _ = socket.read(&mut [0; 8192]);
        }
    });
    address
}

#[test]
fn where_nobody_is_one_attempt_is_enough() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let ca = Pki::shared()
        .path()
        .join("ca.pem")
        .to_str()
        .unwrap()
        .to_owned();
    let often = ["--repeat", "50", "-c", "5"];
    for arguments in [&[http(address).as_str()][..], &[&url(address), "--ca", &ca]] {
        ended(
            alert(&[arguments, &often].concat()),
            3,
            "unreachable",
            "connection_refused",
        );
    }
    ended(
        alert(&["http://nowhere.invalid/"]),
        3,
        "unreachable",
        "unresolved",
    );
    // A server that accepts connections, but never sends anything.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    ended(
        alert(&[&url(address), "--ca", &ca]),
        3,
        "unreachable",
        "timeout",
    );
    ended(alert(&[&http(address)]), 1, "unanswered", "timeout");
}

#[test]
fn what_is_no_http_is_said_to_be_none() {
    let ca = Pki::shared().path().join("ca.pem");
    let garbage = scripted(b"SSH-2.0-OpenSSH\r\n\r\n", 1);
    ended(alert(&[&http(garbage)]), 1, "unanswered", "not_http");
    ended(
        alert(&[&url(garbage), "--ca", ca.to_str().unwrap()]),
        3,
        "unreachable",
        "not_tls",
    );
    // An https:// port that is spoken to in plain HTTP.
    let scene = Scene::new("");
    let plain = format!("http://{}{WEBHOOK}", scene.proxy.address(0));
    ended(alert(&[&plain]), 1, "unanswered", "not_http");
    scene.origin.received_nothing();
}

#[test]
fn what_never_ends_is_cut() {
    let endless_body = scripted(
        b"HTTP/1.1 200 OK\r\n\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        1_000_000,
    );
    let result = alert(&[&http(endless_body)])
        .ends_with(0)
        .all("accepted", Value::Null, 1);
    assert!(
        result["detail"].as_str().unwrap().chars().count() <= 601,
        "{result:#}"
    );
    let endless_head = scripted(
        b"HTTP/1.1 200 OK\r\nX-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        1_000_000,
    );
    alert(&[&http(endless_head)]).ends_with(1);
    let endless_interim = scripted(b"HTTP/1.1 100 Continue\r\n\r\n", 1_000_000);
    alert(&[&http(endless_interim)]).ends_with(1);
    // The rest never comes.
    let half_head = scripted(b"HTTP/1.1 200", 1);
    ended(alert(&[&http(half_head)]), 1, "unanswered", "timeout");
    let half_body = scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx", 1);
    ended(alert(&[&http(half_body)]), 1, "unanswered", "timeout");
}

#[test]
fn what_a_server_says_moves_no_cursor_and_is_told_apart_within_bounds() {
    let origin = Origin::spawn();
    origin.will([Reply::Raw(
        "HTTP/1.1 418 x\r\nContent-Length: 10\r\n\r\nI'm a pot\n".into(),
    )]);
    let result = alert(&[&origin.url])
        .ends_with(1)
        .all("refused", Value::Null, 1);
    assert_eq!(
        (&result["detail"], &result["advice"]),
        (&"I'm a pot".into(), &Value::Null)
    );
    let problem = |status: &str, problem: &str| {
        Reply::Raw(format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{problem}",
            problem.len()
        ))
    };
    let hostile = "{\"code\":\"a\\u001b[2J\",\"title\":\"b\\u009b1m\",\"detail\":\"c\\r\\nd\\u202e\",\"request_id\":\"e\\u0007\"}";
    origin.will([
        problem("418 x", hostile),
        problem("200 OK", "\x1b[31mred\x07"),
    ]);
    let said = run(&["alert", &origin.url, "-n", "2"]).ends_with(1);
    assert!(
        said.out.contains("a\u{fffd}[2J: b\u{fffd}1m")
            && said.out.contains("c\u{fffd}\u{fffd}d\u{fffd}"),
        "{said:?}"
    );
    assert!(
        !said
            .out
            .contains(['\x1b', '\x07', '\u{9b}', '\r', '\u{202e}']),
        "{said:?}"
    );

    origin.will(
        (0..200).map(|number| problem("400 Bad Request", &format!("{{\"code\":\"c{number}\"}}"))),
    );
    let report = run(&["alert", &origin.url, "-n", "200", "--json"])
        .ends_with(1)
        .report();
    assert_eq!(report["refused"], 200);
    let results = report["results"].as_array().unwrap();
    assert!(results.len() < 40, "{}", results.len());
    assert_eq!(
        results
            .iter()
            .map(|result| result["count"].as_u64().unwrap())
            .sum::<u64>(),
        200
    );
}

#[test]
fn a_redirect_is_a_refusal() {
    let (origin, elsewhere) = (Origin::spawn(), Origin::spawn());
    let redirect = |status: u16| {
        Reply::Raw(format!(
            "HTTP/1.1 {status} Moved\r\nLocation: {}/\r\nContent-Length: 0\r\n\r\n",
            elsewhere.url
        ))
    };
    for status in [301, 302, 307, 308] {
        origin.will([redirect(status)]);
        let report = alert(&[&origin.url]).ends_with(1).report();
        let result = &report["results"][0];
        assert_eq!(
            (&result["result"], &result["status"]),
            (&"refused".into(), &status.into())
        );
        assert!(
            result["detail"].as_str().unwrap().contains(&elsewhere.url),
            "{result:#}"
        );
        assert!(
            result["advice"].as_str().unwrap().contains("redirect"),
            "{result:#}"
        );
    }
    elsewhere.received_nothing();
}

#[test]
fn only_a_server_that_is_who_it_should_be_gets_anything() {
    let pki = Pki::new();
    let ca = pki.path().join("ca.pem").to_str().unwrap().to_owned();
    let now = OffsetDateTime::now_utc();
    let server = |change: fn(&mut CertificateParams, OffsetDateTime)| {
        let leaf = pki.leaf(|params| {
            params.subject_alt_names = CertificateParams::new(["localhost".to_owned()])
                .unwrap()
                .subject_alt_names;
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            change(params, now);
        });
        url(MisconfiguredServer::new(&pki)
            .no_client_cert()
            .shows(&leaf)
            .spawn())
    };
    let good = server(|_, _| {});
    alert(&[&good, "--ca", &ca]).ends_with(0);
    let other = Pki::of("Other CA");
    let unknown = ended(
        alert(&[&good, "--ca", other.path().join("ca.pem").to_str().unwrap()]),
        3,
        "unreachable",
        "server_certificate",
    );
    assert!(
        unknown["advice"].as_str().unwrap().contains("--ca FILE"),
        "{unknown:#}"
    );
    ended(alert(&[&good]), 3, "unreachable", "server_certificate");
    for (url, advice) in [
        (
            server(|params, now| params.not_after = now - time::Duration::days(1)),
            "renew the server's certificate",
        ),
        (
            server(|params, now| params.not_before = now + time::Duration::days(1)),
            "the clock",
        ),
        (
            server(|params, _| params.subject_alt_names.clear()),
            "one of its names",
        ),
        (
            server(|params, _| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]
            }),
            "certificate for servers",
        ),
    ] {
        let result = ended(
            alert(&[&url, "--ca", &ca]),
            3,
            "unreachable",
            "server_certificate",
        );
        assert!(
            result["advice"].as_str().unwrap().contains(advice),
            "{advice}: {result:#}"
        );
    }
    // A name that does not lead there yet.
    let hooks = pki.server("hooks.example", |_| {});
    let address = MisconfiguredServer::new(&pki)
        .no_client_cert()
        .shows(&hooks)
        .spawn()
        .to_string();
    alert(&[
        "https://hooks.example/",
        "--connect-to",
        &address,
        "--ca",
        &ca,
    ])
    .ends_with(0);
    ended(
        alert(&[
            "https://hooks.invalid/",
            "--connect-to",
            &address,
            "--ca",
            &ca,
        ]),
        3,
        "unreachable",
        "server_certificate",
    );
    // The system's authorities are those that it names.
    let mut command = super::command(&["alert", &good]);
    let output = command
        .env("SSL_CERT_FILE", &ca)
        .env("SSL_CERT_DIR", pki.path().join("none"))
        .output()
        .unwrap();
    super::said(output).ends_with(0);
}

#[test]
fn a_client_that_is_not_trusted_is_told_so_in_every_version() {
    let pki = Pki::new();
    let other = Pki::of("Other CA");
    other.write_leaf("stranger", &other.netdata());
    let file = |pki: &Pki, name: &str| pki.path().join(name).to_str().unwrap().to_owned();
    let (ca, cert, key) = (
        file(&pki, "ca.pem"),
        file(&other, "stranger.pem"),
        file(&other, "stranger.key"),
    );
    for version in rustls::ALL_VERSIONS {
        let url = url(MisconfiguredServer::new(&pki).speaks(&[*version]).spawn());
        let nobody = alert(&[&url, "--ca", &ca]).ends_with(1).report();
        let result = &nobody["results"][0];
        assert_eq!(result["result"], "refused", "{version:?}: {nobody:#}");
        assert!(
            result["advice"]
                .as_str()
                .unwrap()
                .contains("send certificate"),
            "{version:?}: {nobody:#}"
        );
        ended(
            alert(&[&url, "--ca", &ca, "--cert", &cert, "--key", &key]),
            1,
            "refused",
            "tls_unknown_ca",
        );
    }
    // Where the handshake is let pass, the answer says it.
    let origin = Origin::spawn();
    let proxy = Proxy::in_front_of(&origin, &pki, "request", "");
    let url = url(proxy.address(0));
    let result = ended(
        alert(&[&url, "--ca", &ca]),
        1,
        "refused",
        "client_certificate_missing",
    );
    assert_eq!(result["status"], 403);
    ended(
        alert(&[&url, "--ca", &ca, "--cert", &cert, "--key", &key]),
        1,
        "refused",
        "client_certificate_invalid",
    );
    origin.received_nothing();
}

#[test]
fn many_refusals_in_tls_are_as_many() {
    let scene = Scene::new("");
    let arguments = [
        "alert",
        &scene.url(),
        "--json",
        "--ca",
        &scene.file("ca.pem"),
        "-n",
        "40",
        "-c",
        "4",
    ];
    for version in ["1.1", "2"] {
        run(&[&arguments[..], &["--http", version]].concat())
            .ends_with(1)
            .all("refused", "tls_certificate_required", 40);
    }
    scene.origin.received_nothing();
}
