//! What no line shows, how long one may be, and how many there may be.

use super::ALERT;
use crate::support::{
    Edit as _, Http2, Operator, Origin, Pki, Proxy, Reply, Sender, WEBHOOK, eventually, is_event,
};
use rcgen::DnType;
use std::io::Read as _;
use std::net::TcpStream;

/// Routes on which everything that is secret passes through the program, in both directions.
fn confidential(origin: &Origin) -> String {
    let headers =
        "forward_authorization = true\nset_headers = { \"X-Key\" = \"my-application-key\" }\n";
    let auth = "[routes.auth]\nbasic = [{ username = \"netdata\", password = { file = \"basic.secret\" } }]\n\
                bearer = [{ token = { file = \"bearer.secret\" } }]\n";
    let sign = "sign = { secret = { file = \"signing.secret\" } }\n";
    let webhook = Proxy::config(origin, "request", &format!("{sign}{headers}{auth}"));
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
    pki.write("signing.secret", "my-signing-secret: a phrase");
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
