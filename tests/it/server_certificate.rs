//! Clients that do not accept the certificate of the server: the operator learns it, and that it is
//! not a scanner.

use crate::support::{Operator, Origin, Pki, Proxy, Sender, eventually, is_installed};
use serde_json::Value;
use std::process::{Command, Stdio};

/// A proxy with an admin listener, whose certificate is of an authority that no client knows.
fn scene(verify: &str) -> (Pki, Origin, Proxy, Operator) {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let more = "[admin]\nlisten = \"127.0.0.1:0\"\n";
    let proxy = Proxy::spawn(&pki, &(Proxy::config(&origin, verify, "") + more));
    let operator = Operator::of(&proxy);
    (pki, origin, proxy, operator)
}

fn status(operator: &Operator) -> Value {
    serde_json::from_str(&operator.get("/api/status.json").body).unwrap()
}

const SERIES: &str = "handshakes_total{outcome=\"refused\",reason=\"server_certificate_refused\"}";

/// Holds the line, the metric, the event with its advice and the finding of a client that refuses.
fn is_told(program: &str, arguments: impl Fn(u16) -> Vec<String>) {
    if !is_installed(program, program, "") {
        return;
    }
    for verify in ["require", "request", "off"] {
        let auth = if verify == "off" {
            "auth = \"none\""
        } else {
            ""
        };
        let (pki, origin) = (Pki::new(), Origin::spawn());
        let more = "\n[admin]\nlisten = \"127.0.0.1:0\"\n";
        let proxy = Proxy::spawn(&pki, &(Proxy::config(&origin, verify, auth) + more));
        let operator = Operator::of(&proxy);
        let output = Command::new(program)
            .args(arguments(proxy.address(0).port()))
            .env_remove("SSL_CERT_FILE")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(!output.status.success(), "{program} accepts it");
        let line = proxy.wait_for_event("handshake_refused");
        assert!(
            line.contains("code=\"server_certificate_refused\"")
                && line.contains(
                    "reason=\"The client does not accept the certificate of this server: "
                ),
            "{line}"
        );
        operator.wait_for(SERIES, 1.0);
        let found = status(&operator);
        let event = &found["events"][0];
        assert_eq!(event["code"], "server_certificate_refused");
        assert!(
            event["advice"].as_str().unwrap().contains("\"doctor\""),
            "{event}"
        );
        let text = found["findings"][0]["text"].as_str().unwrap();
        assert!(
            text.starts_with("The client does not accept the certificate of this server: it does not know the authority")
                && text.contains("from 127.0.0.1 at "),
            "{text}"
        );
        // A client that is let in shows that the certificate is good enough for the one that counts.
        let sender = Sender::to(&proxy, Some(&pki.netdata()));
        assert_eq!(sender.post("{\"alert\":\"x\"}").status, 200);
        eventually("the end of the finding", || {
            (status(&operator)["status"] == "ok").then_some(())
        });
    }
}

#[test]
fn openssl_refuses_a_certificate_of_an_authority_that_it_does_not_know() {
    is_told("openssl", |port| {
        let connect = format!("127.0.0.1:{port}");
        let arguments = ["s_client", "-verify_return_error", "-connect", &connect];
        arguments.map(str::to_owned).to_vec()
    });
}

#[test]
fn curl_refuses_a_certificate_of_an_authority_that_it_does_not_know() {
    is_told("curl", |port| {
        let url = format!("https://localhost:{port}/");
        ["--silent", "--show-error", &url]
            .map(str::to_owned)
            .to_vec()
    });
}

#[test]
fn other_failures_of_a_handshake_are_not_laid_to_the_certificate() {
    let (_pki, _origin, proxy, operator) = scene("require");
    assert!(Sender::to(&proxy, None).send("POST", "/", "", "").is_err());
    proxy.wait_for_event("handshake_refused");
    eventually("the event", || {
        (status(&operator)["totals"]["refused"] == 1).then_some(())
    });
    assert_eq!(operator.metrics()[SERIES], 0.0);
    assert_eq!(status(&operator)["status"], "ok");
}
