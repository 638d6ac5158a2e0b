//! The log: what a line looks like, what has one, and how that changes while the program runs.
//!
//! | fault | kind | held by |
//! |---|---|---|
//! | at `trace`, Pingora writes requests out: `Authorization`, `crc_token`; at `debug`, whatever goes to an application and comes back | a library logs what passes through it | [`no_level_shows_what_is_secret`] |
//! | a refused handshake wrote its whole subject (110 KB), a body the whole name of its space (850 KB), a path all of it, in JSON with separators of lines | what a client chose is written whole | [`no_line_is_long_whatever_was_sent`] |
//! | whatever a client repeats has as many lines | a client fills the log | [`warnings_that_repeat_are_limited_and_counted`] |

use crate::support::{
    Edit as _, Http2, Operator, Origin, Pki, Proxy, Reply, Sender, WEBHOOK, eventually,
    first_column, is_documented, is_event,
};
use rcgen::DnType;
use rustls::SupportedProtocolVersion;
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

const ALERT: &str = "{\"alert\":\"x\"}";

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// What was logged after the line that says that the start is over.
fn since_ready(proxy: &Proxy) -> Vec<String> {
    let log = proxy.log();
    let ready = log.iter().position(|line| is_event(line, "ready")).unwrap();
    log[ready + 1..].to_vec()
}

#[test]
fn format_level_and_access_change_with_a_reload() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let base = Proxy::config(&origin, "require", "");
    let proxy = Proxy::spawn(&pki, &base);
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    assert_eq!(sender.post(ALERT).status, 200);
    assert!(
        proxy
            .wait_for_log("outcome=\"forwarded\"")
            .contains(" INFO request ")
    );

    proxy.reload(&format!("{base}[log]\nformat = \"json\"\n"));
    assert_eq!(sender.post(ALERT).status, 200);
    let line: serde_json::Value =
        serde_json::from_str(&proxy.wait_for_log("\"outcome\":\"forwarded\"")).unwrap();
    assert_eq!(
        (&line["level"], &line["message"]),
        (&"INFO".into(), &"request".into())
    );
    for field in line
        .as_object()
        .unwrap()
        .keys()
        .filter(|key| !["timestamp", "level", "message"].contains(&key.as_str()))
    {
        assert!(
            is_documented(&format!("`{field}`")),
            "the manual does not explain {field}"
        );
    }
    assert!(
        line["timestamp"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z')),
        "{line}"
    );

    proxy.reload(&format!("{base}[log]\naccess = false\n"));
    assert_eq!(sender.post(ALERT).status, 200);
    // At level error a reload has no line, so another change shows that it has happened.
    let quiet = base.edit(WEBHOOK, "/quiet");
    std::fs::write(
        &proxy.config,
        format!("{quiet}[log]\nlevel = \"error\"\naccess = false\n"),
    )
    .unwrap();
    proxy.signal("HUP");
    eventually("the reload", || {
        (sender.post(ALERT).status == 404).then_some(())
    });
    assert!(
        Sender::to(&proxy, None)
            .send("POST", WEBHOOK, "", ALERT)
            .is_err()
    );
    std::fs::write(&proxy.config, "").unwrap();
    proxy.signal("HUP");
    // One line for each problem.
    proxy.wait_for_events("config_reload_failed", 2);

    // At level debug, what others log comes along, and says whose it is.
    proxy.reload(&format!("{base}[log]\nlevel = \"debug\"\n"));
    assert_eq!(sender.post(ALERT).status, 200);
    proxy.wait_for_log("DEBUG rustls::");
    proxy.wait_for_log(" pingora_");
    proxy.wait_for_logs("outcome=\"forwarded\"", 2);
    let log = proxy.log();
    assert_eq!(
        log.iter().filter(|line| line.contains("outcome")).count(),
        3,
        "those in between have none: {log:#?}"
    );
    assert!(
        !log.iter().any(|line| is_event(line, "handshake_refused")),
        "a warning at level error: {log:#?}"
    );
}

#[test]
fn a_refused_handshake_is_one_line() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let proxy = Proxy::in_front_of(&origin, &pki, "require", "");
    let mut refused = 0;
    for version in VERSIONS {
        for leaf in [None, Some(&pki.impostor()), Some(&pki.self_signed())] {
            assert!(
                Sender::with_versions(&proxy, leaf, &[version])
                    .send("POST", WEBHOOK, "", ALERT)
                    .is_err()
            );
            refused += 1;
            proxy.wait_for_events("handshake_refused", refused);
        }
    }
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03",
    ] {
        let mut socket = TcpStream::connect(proxy.address(0)).unwrap();
        socket.write_all(bytes).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        // An answer or a reset: either way it is over.
        let _ = socket.read_to_end(&mut Vec::new());
        refused += 1;
        proxy.wait_for_events("handshake_refused", refused);
    }
    // An impostor may call itself what it likes.
    let impostor = Pki::new().leaf(|params| params.distinguished_name = forged_name());
    assert!(
        Sender::to(&proxy, Some(&impostor))
            .send("POST", WEBHOOK, "", ALERT)
            .is_err()
    );
    refused += 1;
    let line = proxy.wait_for_events("handshake_refused", refused);
    assert!(
        line.contains("forged") && !line.contains('\u{1b}'),
        "{line}"
    );
    let lines = since_ready(&proxy);
    assert_eq!(lines.len(), refused, "{lines:#?}");
    assert!(
        lines.iter().all(|line| line.contains(
            " WARN TLS handshake refused event=\"handshake_refused\" remote_addr=127.0.0.1 code="
        )),
        "{lines:#?}"
    );
    origin.received_nothing();
}

/// Routes on which everything that is secret passes through the program, in both directions.
fn confidential(origin: &Origin) -> String {
    let headers =
        "forward_authorization = true\nset_headers = { \"X-Key\" = \"my-application-key\" }\n";
    let auth = "[routes.auth]\nbasic = [{ username = \"netdata\", password = { file = \"basic.secret\" } }]\n\
                bearer = [{ token = { file = \"bearer.secret\" } }]\n";
    let webhook = Proxy::config(origin, "request", &format!("{headers}{auth}"));
    let url = &origin.url;
    format!(
        "{webhook}[[routes]]\npath = \"/all/*\"\nkind = \"proxy\"\nupstream = \"{url}\"\n{headers}{auth}"
    )
}

#[test]
fn no_level_shows_what_is_secret() {
    let pki = Pki::new();
    pki.write("basic.secret", "my-basic-password");
    pki.write("bearer.secret", "my-bearer-token");
    pki.write("challenge.secret", "my-challenge-secret");
    let origin = Origin::spawn();
    let basic = format!(
        "Basic {}",
        base64::Engine::encode(
            &base64::prelude::BASE64_STANDARD,
            "netdata:my-basic-password"
        )
    );
    let body = "{\"alert\":\"x\",\"info\":\"my-own-body\"}";
    let key = std::fs::read_to_string(pki.path().join("server.key")).unwrap();
    for level in ["trace", "debug", "info", "warn", "error"] {
        let config = format!("{}[log]\nlevel = \"{level}\"\n", confidential(&origin));
        // At the quieter levels nothing says where it listens.
        let proxy = Proxy::spawn(
            &pki,
            &config.replace("warn", "info").replace("error", "info"),
        );
        let sender = Sender::to(&proxy, Some(&pki.netdata()));
        std::fs::write(
            &proxy.config,
            config.replace("/all/*", &format!("/{level}/*")),
        )
        .unwrap();
        proxy.signal("HUP");
        let (all, with_token) = (
            format!("/{level}/x"),
            format!("/{level}/x?crc_token=my-crc-token"),
        );
        let mut sent = 0;
        eventually("the reload", || {
            sent += 1;
            (sender.send("GET", &all, "", "").unwrap().status != 404).then_some(())
        });
        let reply = "HTTP/1.1 200 OK\r\nSet-Cookie: my-own-cookie\r\nContent-Length: 13\r\n\r\nmy-own-answer";
        for authorization in [
            &*basic,
            "Bearer my-bearer-token",
            "Bearer my-wrong-token",
            "Digest my-wrong-token",
        ] {
            for (method, target) in [
                ("POST", WEBHOOK),
                ("GET", "/webhooks/netdata?crc_token=my-crc-token"),
                (
                    "GET",
                    "/webhooks/netdata?crc_token=my-crc-token&crc_token=my-crc-token-2",
                ),
                ("POST", &*all),
                ("GET", &*with_token),
                ("POST", "/none?crc_token=my-crc-token"),
            ] {
                origin.will([Reply::Raw(reply.into()), Reply::Raw(reply.into())]);
                let text = if method == "POST" { body } else { "" };
                let header =
                    format!("Authorization: {authorization}\r\nX-Secret: my-own-header\r\n");
                assert!(sender.send(method, target, &header, text).unwrap().status >= 200);
                let authorization = format!("authorization: {authorization}");
                let mut http2 = Http2::connect(&sender).unwrap();
                assert!(
                    http2
                        .send(
                            method,
                            target,
                            &[&authorization, "x-secret: my-own-header"],
                            text
                        )
                        .unwrap()
                        .status
                        >= 200
                );
                sent += 2;
            }
        }
        // What cannot be read is not shown, either.
        for raw in [
            "GET /?crc_token=my-crc-token HTTP/1.1\r\nHost : x\r\nAuthorization: my-wrong-token\r\n\r\n",
            "my-own-body\r\n\r\n",
        ] {
            sender.raw(raw.as_bytes()).unwrap();
        }
        std::fs::write(&proxy.config, config.replace(level, "nothing")).unwrap();
        proxy.signal("HUP");
        proxy.wait_for_event("config_reload_failed");
        proxy.wait_for_events("request", sent);
        let log = proxy.log().join("\n");
        for secret in ["my-", &basic[6..], key.lines().nth(1).unwrap()] {
            let shown: Vec<_> = log.lines().filter(|line| line.contains(secret)).collect();
            assert!(shown.is_empty(), "{level}: {secret}: {shown:#?}");
        }
        assert!(
            !log.lines().any(
                |line| line.contains("TRACE ") && !line.contains("TRACE netdata_webhook_proxy")
            ),
            "{log}"
        );
    }
}

fn forged_name() -> rcgen::DistinguishedName {
    crate::support::subject(&[(
        DnType::CommonName,
        "x\n2026-01-01 INFO request forged\u{1b}[31m".into(),
    )])
}

#[test]
fn a_request_has_one_line_whatever_is_in_it() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let proxy = Proxy::in_front_of(&origin, &pki, "require", "");
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    let mut answered = 0;
    for (method, target, headers, body) in [
        ("POST", WEBHOOK, "", ALERT),
        ("POST", WEBHOOK, "", "not JSON"),
        ("GET", "/webhooks/netdata?crc_token=my-crc-token", "", ""),
        ("GET", "/other%0aINFO%20forged?\u{9b}31m", "", ""),
        ("PUT", WEBHOOK, "X-Request-Id: a\tb\r\n", ""),
        ("POST", WEBHOOK, "Transfer-Encoding: chunked\r\n", ALERT),
        ("CONNECT", "/", "", ""),
    ] {
        assert!(
            sender.send(method, target, headers, body).unwrap().status >= 200,
            "{method} {target}"
        );
        answered += 1;
        proxy.wait_for_events("request", answered);
    }
    let mut http2 = Http2::connect(&sender).unwrap();
    assert_eq!(http2.post(ALERT).unwrap().status, 200);
    answered += 1;
    proxy.wait_for_events("request", answered);
    let lines = since_ready(&proxy);
    assert_eq!(lines.len(), answered, "{lines:#?}");
    assert!(
        lines.iter().all(|line| line.contains("request_id=\"")),
        "{lines:#?}"
    );
    assert!(
        !lines.iter().any(|line| line.contains("my-crc-token")),
        "{lines:#?}"
    );
}

#[test]
fn the_self_test_has_no_lines() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    for verify in ["require", "request"] {
        let proxy = Proxy::spawn(&pki, &Proxy::config(&origin, verify, ""));
        let log = proxy.log();
        assert!(
            !log.iter()
                .any(|line| line.contains("self-test") || line.contains("outcome=")),
            "{log:#?}"
        );
        // Nor does it keep others from having theirs.
        let sender = Sender::to(&proxy, Some(&pki.netdata()));
        assert_eq!(sender.post(ALERT).status, 200);
        proxy.wait_for_log("outcome=\"forwarded\"");
    }
}

#[test]
fn a_line_has_the_length_of_the_answer_to_what_could_not_be_read_as_well() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let limits = "[limits]\nheader_timeout = \"1s\"\nmax_header_size = \"1KiB\"\n";
    let proxy = Proxy::spawn(&pki, &(Proxy::config(&origin, "require", "") + limits));
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    for (request, code) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "not_found"),
        ("GET / HTTP/1.1\r\nHost : x\r\n\r\n", "malformed_request"),
        (&*"x".repeat(2000), "header_too_large"),
        ("GET / HTTP/1.1\r\nHo", "timeout"),
    ] {
        let answer = sender.raw(request.as_bytes()).unwrap();
        let line = proxy.wait_for_log(&format!("code=\"{code}\""));
        assert!(
            line.contains(&format!(" bytes_sent={} ", answer.body.len()))
                && !answer.body.is_empty(),
            "{line}"
        );
    }
}

#[test]
fn a_request_id_leads_from_the_answer_through_the_log_to_the_application() {
    let origin = Origin::spawn();
    let proxy = Proxy::in_front_of(&origin, Pki::shared(), "require", "");
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    assert_eq!(sender.post(ALERT).status, 200);
    let id = origin.received_one().header("X-Request-Id").to_owned();
    assert!(proxy.wait_for_log(&id).contains("outcome=\"forwarded\""));
    let refused = sender.post("[]");
    let id = refused.header("X-Request-Id").unwrap();
    assert!(refused.body.contains(id));
    assert!(proxy.wait_for_log(id).contains("code=\"invalid_json\""));
}

/// The checks of a webhook that is delivered, in their order.
const CHECKS: [&str; 8] = [
    "path",
    "rate",
    "client_certificate",
    "method",
    "authorization",
    "content",
    "body",
    "notification",
];

#[test]
fn at_level_debug_the_log_of_a_request_tells_its_story() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let base = Proxy::config(&origin, "require", "");
    let proxy = Proxy::spawn(&pki, &format!("{base}[log]\nlevel = \"debug\"\n"));
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    let post = |id: &str, body: &str| {
        let headers = format!("X-Request-Id: {id}\r\n");
        sender.send("POST", WEBHOOK, &headers, body).unwrap()
    };

    assert_eq!(post("story-1", ALERT).status, 200);
    proxy.wait_for_log("outcome=\"forwarded\"");
    let log = proxy.log();
    let story: Vec<_> = log.iter().filter(|line| line.contains("story-1")).collect();
    for line in &story {
        assert_eq!(line.matches("story-1").count(), 1, "{line}");
        assert_eq!(line.matches("remote_addr=").count(), 1, "{line}");
    }
    let passed = story.iter().filter(|line| is_event(line, "check_passed"));
    for (line, check) in passed.clone().zip(CHECKS) {
        assert!(line.contains(&format!(" check=\"{check}\"")), "{story:#?}");
    }
    assert_eq!(passed.count(), CHECKS.len(), "{story:#?}");
    let position = |event| story.iter().position(|line| is_event(line, event));
    assert_eq!(position("request"), Some(story.len() - 1), "{story:#?}");
    let response = story[position("upstream_responded").unwrap()];
    assert!(
        response.contains("connection{remote_addr=127.0.0.1}:request{")
            && response.contains(&format!(" route=\"{WEBHOOK}\"}}"))
            && response.contains(" status=200"),
        "{response}"
    );

    proxy.reload(&format!(
        "{base}[log]\nlevel = \"debug\"\nformat = \"json\"\n"
    ));
    assert_eq!(post("story-2", "[]").status, 400);
    proxy.wait_for_log("\"outcome\":\"refused\"");
    let log = proxy.log();
    let line = log.iter().find(|line| is_event(line, "check_failed"));
    let line: serde_json::Value = serde_json::from_str(line.unwrap()).unwrap();
    assert_eq!(
        (&line["check"], &line["code"]),
        (&"notification".into(), &"invalid_json".into())
    );
    let request = &line["spans"][1];
    assert_eq!(
        (&request["name"], &request["request_id"]),
        (&"request".into(), &"story-2".into())
    );
    assert_eq!(request["route"], WEBHOOK);
}

#[test]
fn at_level_info_a_request_has_its_line_alone() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let proxy = Proxy::spawn(&pki, &Proxy::config(&origin, "require", ""));
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    assert_eq!(sender.post(ALERT).status, 200);
    proxy.wait_for_log("outcome=\"forwarded\"");
    let lines = since_ready(&proxy);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(
        is_event(&lines[0], "request") && !lines[0].contains("connection{"),
        "{lines:#?}"
    );
}

/// As systemd starts a service whose standard error is the journal, with a pipe for it.
fn in_the_journal(pki: &Pki, config: &str) -> Proxy {
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    let path = pki.write("config.toml", config);
    let mut command = Command::new("sh");
    let start = "JOURNAL_STREAM=$(stat -L -c %d:%i /dev/fd/2) exec \"$0\" run --config \"$1\"";
    command
        .args(["-c", start, env!("CARGO_BIN_EXE_netdata-webhook-proxy")])
        .arg(&path);
    let proxy = Proxy::run(command, &path);
    proxy.wait_for_event("ready");
    proxy
}

#[test]
fn the_journal_gets_priorities_and_keeps_the_time_itself() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "");
    let proxy = in_the_journal(&pki, &config);
    assert!(proxy.wait_for_event("ready").starts_with("<6> INFO ready"));
    assert!(
        Sender::to(&proxy, None)
            .send("POST", WEBHOOK, "", ALERT)
            .is_err()
    );
    assert!(
        proxy
            .wait_for_event("handshake_refused")
            .starts_with("<4> WARN TLS handshake refused")
    );
    std::fs::write(&proxy.config, "").unwrap();
    proxy.signal("HUP");
    assert!(
        proxy
            .wait_for_event("config_reload_failed")
            .starts_with("<3>ERROR")
    );
    assert!(
        proxy.log().iter().all(|line| !line.contains('\u{1b}')),
        "{:#?}",
        proxy.log()
    );

    let proxy = in_the_journal(&pki, &format!("{config}[log]\nformat = \"json\"\n"));
    let line = proxy.wait_for_event("ready");
    let record: serde_json::Value =
        serde_json::from_str(line.strip_prefix("<6>").unwrap()).unwrap();
    assert_eq!(record["message"], "ready");
}

#[test]
fn elsewhere_nothing_is_for_the_journal() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    let path = pki.write("config.toml", &Proxy::config(&origin, "require", ""));
    // The variable is inherited by everything that a service starts, wherever its standard error
    // leads.
    let proxy = Proxy::launch(&path, |command| {
        command.env("JOURNAL_STREAM", "1:1");
    });
    assert!(proxy.wait_for_event("ready").contains("Z  INFO ready"));
}

/// What a client may choose: long, and not only letters.
fn hostile_text() -> String {
    "x\u{202e}\u{2028}y".repeat(1000)
}

/// In bytes. The longest line has five JSON pointers and a dozen other fields.
const MAX_LINE: usize = 8_000;

#[test]
fn no_line_is_long_whatever_was_sent() {
    let (pki, origin, hostile) = (Pki::new(), Origin::spawn(), hostile_text());
    let json = |text: &str| serde_json::Value::from(text).to_string();
    for format in ["text", "json"] {
        let config = |verify: &str| {
            let route = "schema = \"warn\"\nmax_body = \"8MiB\"\n\
                         [[routes]]\npath = \"/dead\"\nupstream = \"http://127.0.0.1:1\"";
            let config = Proxy::config(&origin, verify, route);
            format!("{config}\n[log]\nformat = \"{format}\"\n")
        };
        let (strict, asking) = (
            Proxy::spawn(&pki, &config("require")),
            Proxy::spawn(&pki, &config("request")),
        );
        let subject = |params: &mut rcgen::CertificateParams| {
            let part = || hostile.clone().into();
            params.distinguished_name = crate::support::subject(&[
                (DnType::OrganizationName, part()),
                (DnType::CommonName, part()),
            ]);
        };
        // The subject, the issuer and the common name.
        let stranger = Pki::of(&hostile).leaf(subject);
        assert!(
            Sender::to(&strict, Some(&stranger))
                .send("POST", WEBHOOK, "", ALERT)
                .is_err()
        );
        strict.wait_for_event("handshake_refused");
        for leaf in [&stranger, &pki.leaf(subject)] {
            let answer = Sender::to(&asking, Some(leaf)).post(ALERT);
            assert!(
                answer.status == 403 && answer.body.len() < 4000,
                "{answer:?}"
            );
        }
        asking.wait_for_log("common_name_mismatch");

        // What stands in a head, and in a body.
        let sender = Sender::to(&strict, Some(&pki.netdata()));
        let path = "x".repeat(10_000);
        sender
            .send(
                "POST",
                &format!("/{path}?{path}&crc_token=secret"),
                "",
                ALERT,
            )
            .unwrap()
            .refuses(404, "not_found");
        sender
            .send(&path, "/dead", "", "")
            .unwrap()
            .refuses(405, "method_not_allowed");
        let request_id = format!("X-Request-Id: {path}\r\n");
        assert_eq!(
            sender
                .send("POST", WEBHOOK, &request_id, ALERT)
                .unwrap()
                .status,
            200
        );
        let text = json(&hostile.repeat(30));
        for body in [
            format!(
                "{{\"alert\":{text},\"space\":{text},\"severity\":{text},\"alert_url\":{text}}}"
            ),
            format!(
                "{{\"alert\":{{\"name\":{text},\"transition_id\":{text}}},\"space\":{{\"slug\":{text}}},{text}:1}}"
            ),
            format!("{{\"token\":{text},\"message\":{text}}}"),
            format!("{{{text}:{{{text}:{text}}}}}"),
        ] {
            assert_eq!(sender.post(&body).status, 200);
        }
        sender
            .send("POST", "/dead", "", ALERT)
            .unwrap()
            .refuses(502, "upstream_unreachable");
        strict.wait_for_log("upstream_unreachable");
        for line in strict.log().iter().chain(&asking.log()) {
            assert!(line.len() < MAX_LINE, "{} in {:.200}", line.len(), line);
            assert!(!line.contains(['\u{2028}', '\u{202e}']), "{line:.1000}");
        }
        assert!(
            strict
                .log()
                .iter()
                .any(|line| line.contains(&format!("/{}…", "x".repeat(239))))
        );
    }
}

#[test]
fn warnings_that_repeat_are_limited_and_counted() {
    const TIMES: usize = 1000;
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let config =
        Proxy::config(&origin, "require", "").edit("[listen]", "[listen]\nallow = [\"192.0.2.1\"]");
    let proxy = Proxy::spawn(
        &pki,
        &format!("{config}[admin]\nlisten = \"127.0.0.1:0\"\n"),
    );
    let operator = Operator::of(&proxy);
    let address = proxy.address(0);
    for _ in 0..TIMES {
        let mut socket = TcpStream::connect(address).unwrap();
        // It is closed, or reset.
        let _ = socket.read(&mut [0]);
    }
    operator.wait_for(
        "connections_refused_total{reason=\"not_allowed\"}",
        TIMES as f64,
    );
    let series = "log_lines_left_out_total{event=\"connection_refused\"}";
    let left_out = operator.metrics()[series] as usize;
    let written = || {
        proxy
            .log()
            .iter()
            .filter(|line| is_event(line, "connection_refused"))
            .count()
    };
    eventually("the lines", || {
        (written() + left_out == TIMES).then_some(())
    });
    assert!(left_out > 0, "a thousand connections took so many seconds");
    eventually("how many were left out", || {
        let log = proxy.log();
        let said = log
            .iter()
            .filter(|line| line.contains("of=\"connection_refused\""));
        let said =
            said.filter_map(|line| line.split("left_out=").nth(1)?.trim().parse::<usize>().ok());
        (said.sum::<usize>() == left_out).then_some(())
    });
    // Others have their lines all the same.
    assert_eq!(
        operator.metrics()["log_lines_left_out_total{event=\"handshake_refused\"}"],
        0.0
    );
}

/// The macros that write a line, by level.
const MACROS: [&str; 4] = ["error!(", "warn!(", "info!(", "debug!("];

/// Returns the events that `source` writes, and fails if a line has none.
fn events_in(source: &str, file: &Path) -> Vec<String> {
    let mut events = Vec::new();
    for name in MACROS {
        for (start, _) in source.match_indices(name) {
            if source[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let arguments = source[start + name.len()..].trim_start();
            let arguments = arguments
                .strip_prefix("target: TARGET,")
                .unwrap_or(arguments)
                .trim_start();
            let event = arguments
                .strip_prefix("event = \"")
                .and_then(|rest| rest.split('"').next());
            let line = source[..start].lines().count();
            let event = event.unwrap_or_else(|| {
                panic!("{}:{line}: the line has no event", file.display());
            });
            events.push(event.to_owned());
        }
    }
    events
}

#[test]
fn every_line_has_an_event_and_every_event_is_in_the_manual() {
    let mut written = BTreeSet::new();
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/src/**/*.rs");
    for path in glob::glob(sources).unwrap().map(Result::unwrap) {
        let source = std::fs::read_to_string(&path).unwrap();
        written.extend(events_in(&source, &path));
    }
    let described = first_column("\n| event | level | meaning |").into_iter();
    assert_eq!(written, described.map(str::to_owned).collect());
}
