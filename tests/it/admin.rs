//! The admin listener: its pages, metrics and rules of access.

use crate::support::{
    Edit as _, Http2, Leaf, Operator, Origin, PATIENCE, Pki, Proxy, Reply, Sender, WEBHOOK,
    eventually, first_column, skip_unless_required,
};
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};
use time::{Duration, OffsetDateTime};

const ALERT: &str = "{\"alert\":{\"name\":\"ram\",\"state\":{\"status\":\"Critical\"}}}";
const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

struct Scene {
    origin: Origin,
    proxy: Proxy,
    operator: Operator,
}

impl Scene {
    /// With `more` behind the configuration.
    fn new(pki: &Pki, verify: &str, more: &str) -> Self {
        let origin = Origin::spawn();
        let config = Proxy::config(&origin, verify, "") + more + ADMIN;
        Self::spawn(pki, &config, origin)
    }

    fn spawn(pki: &Pki, config: &str, origin: Origin) -> Self {
        let proxy = Proxy::spawn(pki, config);
        let operator = Operator::of(&proxy);
        Self {
            origin,
            proxy,
            operator,
        }
    }

    fn sender(&self, leaf: Option<&Leaf>) -> Sender {
        Sender::to(&self.proxy, leaf)
    }
}

/// A series of `requests_total`.
fn requests(route: &str, outcome: &str, code: &str) -> String {
    format!("requests_total{{code=\"{code}\",outcome=\"{outcome}\",route=\"{route}\"}}")
}

fn notifications(kind: &str, severity: &str, shape: &str) -> String {
    format!(
        "notifications_total{{kind=\"{kind}\",route=\"{WEBHOOK}\",severity=\"{severity}\",shape=\"{shape}\"}}"
    )
}

fn duration(route: &str) -> String {
    format!("request_duration_seconds_count{{route=\"{route}\"}}")
}

fn handshakes(outcome: &str, reason: &str) -> String {
    format!("handshakes_total{{outcome=\"{outcome}\",reason=\"{reason}\"}}")
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

#[test]
fn every_notification_moves_its_metrics_and_no_others() {
    let pki = Pki::shared();
    let scene = Scene::new(pki, "request", "");
    let upstream = format!(
        "upstream_duration_seconds_count{{upstream=\"{}\"}}",
        scene.origin.url
    );
    for (body, kind, severity, shape) in [
        (ALERT, "alert", "critical", "nested"),
        (
            "{\"alert\":{\"state\":{\"status\":\"Warning\"}}}",
            "alert",
            "warning",
            "nested",
        ),
        (
            "{\"alert\":{\"state\":{\"status\":\"CLEAR\"}}}",
            "alert",
            "clear",
            "nested",
        ),
        (
            "{\"alert\":\"x\",\"severity\":\"critical\"}",
            "alert",
            "critical",
            "flat",
        ),
        (
            "{\"alert\":\"x\",\"severity\":\"fatal-1\"}",
            "alert",
            "other",
            "flat",
        ),
        (
            "{\"alert\":\"x\",\"severity\":\"\\\"} 1\"}",
            "alert",
            "",
            "flat",
        ),
        (
            "{\"reachable\":true,\"severity\":\"info\"}",
            "reachability",
            "info",
            "nested",
        ),
        (
            "{\"status\":{\"reachable\":false},\"severity\":\"critical\"}",
            "reachability",
            "critical",
            "flat",
        ),
    ] {
        let sender = scene.sender(Some(&pki.netdata()));
        scene.operator.moves(
            body,
            || assert_eq!(sender.post(body).status, 200),
            &[
                &requests(WEBHOOK, "forwarded", "ok"),
                &notifications(kind, severity, shape),
                &duration(WEBHOOK),
                &upstream,
                &handshakes("ok", ""),
            ],
        );
    }
    let sender = scene.sender(Some(&pki.netdata()));
    scene.operator.moves(
        "a Test notification",
        || assert_eq!(sender.post("{\"token\":\"x\"}").status, 200),
        &[
            &requests(WEBHOOK, "test", "ok"),
            &notifications("test", "", ""),
            &duration(WEBHOOK),
            &handshakes("ok", ""),
        ],
    );
    let last = scene.operator.metrics()
        [&format!("last_notification_timestamp_seconds{{route=\"{WEBHOOK}\"}}")];
    assert!((now() - last).abs() < PATIENCE.as_secs_f64(), "{last}");
    // Over HTTP/2 it is all the same.
    scene.operator.moves(
        "HTTP/2",
        || {
            let mut http2 = Http2::connect(&scene.sender(Some(&pki.netdata()))).unwrap();
            assert_eq!(http2.post(ALERT).unwrap().status, 200);
        },
        &[
            &requests(WEBHOOK, "forwarded", "ok"),
            &notifications("alert", "critical", "nested"),
            &duration(WEBHOOK),
            &upstream,
            &handshakes("ok", ""),
        ],
    );
}

#[test]
fn every_challenge_moves_its_metrics_and_no_others() {
    let pki = Pki::shared();
    let scene = Scene::new(pki, "request", "");
    let mut connection = scene.sender(Some(&pki.netdata())).connect().unwrap();
    for (query, outcome, code, answer) in [
        ("?crc_token=abc", "challenge", "ok", "answered"),
        ("?crc_token=", "refused", "crc_token_invalid", "refused"),
        ("", "refused", "crc_token_missing", "refused"),
    ] {
        let handshake = if query == "?crc_token=abc" {
            vec![handshakes("ok", "")]
        } else {
            Vec::new()
        };
        let challenge = format!("challenges_total{{outcome=\"{answer}\",route=\"{WEBHOOK}\"}}");
        let expected = [
            vec![
                requests(WEBHOOK, outcome, code),
                duration(WEBHOOK),
                challenge,
            ],
            handshake,
        ]
        .concat();
        scene.operator.moves(
            query,
            || {
                drop(
                    connection
                        .send("GET", &format!("{WEBHOOK}{query}"), "", "")
                        .unwrap(),
                )
            },
            &expected.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    }
}

#[test]
fn every_refusal_moves_its_metrics_and_no_others() {
    let pki = Pki::shared();
    let dead = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let more = format!(
        "max_body = 100\nspaces = [\"acme\"]\n[routes.auth]\nbearer = [{{ token = {{ file = \"challenge.secret\" }} }}]\n\
         [[routes]]\npath = \"/dead\"\nupstream = \"http://{dead}\"\n[limits]\nheader_timeout = \"300ms\"\n"
    );
    let scene = Scene::new(pki, "request", &more);
    let token = "Authorization: Bearer YOUR_CHALLENGE_SECRET\r\n";
    let long = "x".repeat(40 * 1024);
    let (netdata, evil) = (pki.netdata(), pki.named("evil"));
    let (netdata, evil, nobody) = (Some(&netdata), Some(&evil), None);
    for (leaf, method, target, headers, body, code) in [
        (
            nobody,
            "POST",
            WEBHOOK,
            token,
            ALERT,
            "client_certificate_missing",
        ),
        (
            Some(&pki.impostor()),
            "POST",
            WEBHOOK,
            token,
            ALERT,
            "client_certificate_invalid",
        ),
        (evil, "POST", WEBHOOK, token, ALERT, "common_name_mismatch"),
        (netdata, "PUT", WEBHOOK, token, ALERT, "method_not_allowed"),
        (netdata, "POST", WEBHOOK, "", ALERT, "authorization_missing"),
        (
            netdata,
            "POST",
            WEBHOOK,
            "Authorization: Bearer x\r\n",
            ALERT,
            "authorization_invalid",
        ),
        (
            netdata,
            "POST",
            WEBHOOK,
            &format!("{token}Content-Type: text/html\r\n"),
            ALERT,
            "unsupported_media_type",
        ),
        (
            netdata,
            "POST",
            WEBHOOK,
            &format!("{token}Content-Encoding: gzip\r\n"),
            ALERT,
            "unsupported_encoding",
        ),
        (
            netdata,
            "POST",
            WEBHOOK,
            token,
            &long[..101],
            "body_too_large",
        ),
        (netdata, "POST", WEBHOOK, token, "nonsense", "invalid_json"),
        (netdata, "POST", WEBHOOK, token, "{}", "schema_mismatch"),
        (netdata, "POST", WEBHOOK, token, ALERT, "space_not_allowed"),
        (
            netdata,
            "GET",
            "/dead?crc_token=x",
            "",
            "",
            "challenge_disabled",
        ),
        (
            netdata,
            "POST",
            "/nowhere/%3Cscript%3E",
            "",
            ALERT,
            "not_found",
        ),
        (netdata, "POST", "/nowhere/<script>", "", ALERT, "not_found"),
        (
            netdata,
            "POST",
            "/nowhere/#script",
            "",
            ALERT,
            "malformed_request",
        ),
        (
            netdata,
            "POST",
            WEBHOOK,
            "Content-Length: 1\r\n",
            ALERT,
            "malformed_request",
        ),
        (
            netdata,
            "POST",
            WEBHOOK,
            &format!("X-Long: {long}\r\n"),
            ALERT,
            "header_too_large",
        ),
    ] {
        let route = match code {
            "not_found" | "malformed_request" | "header_too_large" => "",
            _ => target.split('?').next().unwrap(),
        };
        let mut expected = vec![requests(route, "refused", code), handshakes("ok", "")];
        // A request that could not be parsed has no duration.
        if !matches!(code, "malformed_request" | "header_too_large") {
            expected.push(duration(route));
        }
        if method == "GET" {
            expected.push(format!(
                "challenges_total{{outcome=\"refused\",route=\"{route}\"}}"
            ));
        }
        let sender = scene.sender(leaf);
        scene.operator.moves(
            code,
            || {
                assert_eq!(
                    sender.send(method, target, headers, body).unwrap().code(),
                    code
                )
            },
            &expected.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    }
    let sender = scene.sender(netdata);
    scene.operator.moves(
        "a head that does not end",
        || {
            assert_eq!(
                sender.raw(b"POST / HTTP/1.1\r\n").unwrap().code(),
                "timeout"
            )
        },
        &[&requests("", "refused", "timeout"), &handshakes("ok", "")],
    );
    scene.operator.moves(
        "an application that is not there",
        || {
            assert_eq!(
                sender.send("POST", "/dead", "", ALERT).unwrap().code(),
                "upstream_unreachable"
            )
        },
        &[
            &requests("/dead", "refused", "upstream_unreachable"),
            &notifications("alert", "critical", "nested").edit(WEBHOOK, "/dead"),
            &duration("/dead"),
            &format!("upstream_duration_seconds_count{{upstream=\"http://{dead}\"}}"),
            &handshakes("ok", ""),
        ],
    );
    scene.origin.received_nothing();
}

#[test]
fn every_handshake_is_counted_by_its_end() {
    let pki = Pki::new();
    pki.write("crl.pem", &pki.revocation_list(&[7], Duration::days(1)));
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "")
        .edit("[tls.client]", "[tls.client]\ncrl = \"crl.pem\"");
    let scene = Scene::spawn(
        &pki,
        &(config + ADMIN + "[limits]\nhandshake_timeout = \"500ms\"\n"),
        origin,
    );
    let expired =
        pki.leaf(|params| params.not_after = OffsetDateTime::now_utc() - Duration::days(1));
    let early =
        pki.leaf(|params| params.not_before = OffsetDateTime::now_utc() + Duration::days(1));
    let server = pki.leaf(|params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth]
    });
    let encryption =
        pki.leaf(|params| params.key_usages = vec![rcgen::KeyUsagePurpose::EncipherOnly]);
    for (leaf, reason) in [
        (None, "certificate_missing"),
        (Some(pki.impostor()), "certificate_untrusted"),
        (Some(expired), "certificate_expired"),
        (Some(early), "certificate_not_yet_valid"),
        (Some(server), "certificate_purpose"),
        (Some(encryption), "certificate_key_usage"),
        (
            Some(pki.leaf(|params| params.serial_number = Some(7_u64.into()))),
            "certificate_revoked",
        ),
        (Some(pki.below(1, |_| {})), "revocation_unknown"),
        (Some(pki.below(10, |_| {})), "certificate_chain_too_long"),
    ] {
        let sender = scene.sender(leaf.as_ref());
        scene.operator.moves(
            reason,
            || assert!(sender.send("POST", WEBHOOK, "", ALERT).is_err()),
            &[&handshakes("refused", reason)],
        );
        scene.proxy.wait_for_log(&format!("code=\"{reason}\""));
    }
    let connect = || TcpStream::connect(scene.proxy.address(0)).unwrap();
    let garbage = || {
        connect()
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap()
    };
    scene
        .operator
        .moves("no TLS", garbage, &[&handshakes("refused", "tls_error")]);
    let begun = || connect().write_all(b"\x16\x03").unwrap();
    scene.operator.moves(
        "a client that leaves",
        begun,
        &[&handshakes("refused", "closed")],
    );
    let silent = || assert!(connect().read(&mut [0]).is_ok());
    scene.operator.moves(
        "a client that says nothing",
        silent,
        &[&handshakes("refused", "timeout")],
    );
}

#[test]
fn connections_are_counted_while_they_last_and_when_they_are_refused() {
    let pki = Pki::shared();
    let scene = Scene::new(pki, "require", "[limits]\nmax_connections = 1\n");
    scene.operator.wait_for("connections", 0.0);
    let mut connection = scene.sender(Some(&pki.netdata())).connect().unwrap();
    assert_eq!(connection.post(ALERT).unwrap().status, 200);
    assert_eq!(scene.operator.metrics()["connections"], 1.0);
    scene
        .operator
        .wait_for(&requests(WEBHOOK, "forwarded", "ok"), 1.0);
    scene.operator.moves(
        "one connection too many",
        || {
            assert!(
                scene
                    .sender(Some(&pki.netdata()))
                    .send("POST", WEBHOOK, "", ALERT)
                    .is_err()
            )
        },
        &["connections_refused_total{reason=\"max_connections\"}"],
    );
    drop(connection);
    scene.operator.wait_for("connections", 0.0);
}

#[test]
fn reloads_are_counted_and_routes_that_are_gone_are_forgotten() {
    let pki = Pki::new();
    let scene = Scene::new(&pki, "require", "");
    assert_eq!(scene.sender(Some(&pki.netdata())).post(ALERT).status, 200);
    scene
        .operator
        .wait_for(&requests(WEBHOOK, "forwarded", "ok"), 1.0);
    let config = Proxy::config(&scene.origin, "require", "") + ADMIN;
    let reload = |outcome: &str| format!("reloads_total{{outcome=\"{outcome}\"}}");
    scene
        .operator
        .moves("a reload", || scene.proxy.reload(&config), &[&reload("ok")]);
    assert_eq!(
        scene.operator.metrics()[&requests(WEBHOOK, "forwarded", "ok")],
        1.0,
        "what goes on is kept"
    );
    scene.proxy.reload(&config.edit(ADMIN, ""));
    scene.proxy.wait_for_event("config_restart_required");
    scene.operator.moves(
        "a mistake",
        || scene.proxy.reload("nonsense"),
        &[&reload("failed")],
    );
    scene.operator.moves(
        "a reload",
        || scene.proxy.reload(&config.edit(WEBHOOK, "/new")),
        &[&reload("ok")],
    );
    let metrics = scene.operator.metrics();
    assert!(
        !metrics.keys().any(|series| series.contains(WEBHOOK)),
        "{metrics:#?}"
    );
    assert_eq!(metrics[&requests("/new", "forwarded", "ok")], 0.0);
    assert_eq!(
        scene
            .sender(Some(&pki.netdata()))
            .send("POST", "/new", "", ALERT)
            .unwrap()
            .status,
        200
    );
    scene
        .operator
        .wait_for(&requests("/new", "forwarded", "ok"), 1.0);
}

#[test]
fn every_certificate_says_until_when_it_is_valid() {
    let pki = Pki::new();
    let due = OffsetDateTime::now_utc() + Duration::days(9);
    let leaf = pki.leaf(|params| params.not_after = due + Duration::days(1));
    pki.write("crl.pem", &pki.revocation_list(&[1], Duration::days(9)));
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "")
        .edit("[tls.client]", "[tls.client]\ncrl = \"crl.pem\"");
    let scene = Scene::spawn(&pki, &(config + ADMIN), origin);
    let until = |which: &str| {
        let series = format!("certificate_not_after_timestamp_seconds{{which=\"{which}\"}}");
        scene
            .operator
            .metrics()
            .get(&series)
            .map(|time| *time as i64)
    };
    let of_file = |name: &str| {
        let pem = std::fs::read(pki.path().join(name)).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
        let certificate = pem.parse_x509().unwrap();
        Some(certificate.validity().not_after.timestamp())
    };
    assert_eq!(until("server"), of_file("server.pem"));
    assert_eq!(until("ca"), of_file("ca.pem"));
    let crl = until("crl").unwrap();
    assert!((crl - due.unix_timestamp()).abs() < 60, "{crl}");
    assert_eq!(until("client_last_seen"), None, "nobody has been seen");
    assert_eq!(scene.sender(Some(&leaf)).post(ALERT).status, 200);
    let expected = (due + Duration::days(1)).unix_timestamp();
    eventually("the client's certificate", || {
        (until("client_last_seen") == Some(expected)).then_some(())
    });
}

/// The names of the contract.
const METRICS: [&str; 19] = [
    "dropped_identity_headers_total",
    "requests_total",
    "notifications_total",
    "schema_drift_total",
    "log_lines_left_out_total",
    "challenges_total",
    "handshakes_total",
    "request_duration_seconds",
    "upstream_duration_seconds",
    "connections",
    "buffered_bytes",
    "buffered_limit_bytes",
    "log_lines_dropped_total",
    "connections_refused_total",
    "reloads_total",
    "last_notification_timestamp_seconds",
    "certificate_not_after_timestamp_seconds",
    "build_info",
    "upstream_healthy",
];

#[test]
fn the_exposition_is_what_prometheus_expects() {
    let scene = Scene::new(Pki::shared(), "require", "");
    let answer = scene.operator.get("/metrics");
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    // Groups of upstreams alone have servers whose health is known.
    for name in METRICS.iter().filter(|name| **name != "upstream_healthy") {
        for comment in ["HELP", "TYPE"] {
            let line = format!("# {comment} netdata_webhook_proxy_{name} ");
            assert!(answer.body.contains(&line), "{line} in {}", answer.body);
        }
    }
    assert!(answer.body.contains(concat!(
        "build_info{version=\"",
        env!("CARGO_PKG_VERSION"),
        "\"} 1"
    )));
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        return skip_unless_required(
            "NWP_REQUIRE_PROMTOOL",
            "promtool (Debian package prometheus) is not installed",
        );
    };
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(answer.body.as_bytes())
        .unwrap();
    assert!(promtool.wait().unwrap().success());
}

#[test]
fn every_metric_is_in_the_manual() {
    assert_eq!(
        BTreeSet::from_iter(first_column("| metric | labels | meaning |")),
        BTreeSet::from(METRICS)
    );
}

#[test]
fn the_alert_rules_fire_when_they_should() {
    let rules = include_str!("../../conf/prometheus/alerts.yml");
    let names = rules.split("netdata_webhook_proxy_").skip(1);
    let mut names = names.map(|rest| {
        rest.split(|c: char| !c.is_ascii_lowercase() && c != '_')
            .next()
            .unwrap()
    });
    assert!(names.all(|name| METRICS.contains(&name.trim_end_matches("_bucket"))));
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("alerts-under-test.yml"), rules).unwrap();
    std::fs::write(
        directory.path().join("tests.yml"),
        include_str!("support/alerts.yml"),
    )
    .unwrap();
    // Over days, and therefore in hours: each minute takes its time.
    std::fs::write(
        directory.path().join("silence.yml"),
        include_str!("support/silence.yml"),
    )
    .unwrap();
    for (command, file) in [
        ("check", "alerts-under-test.yml"),
        ("test", "tests.yml"),
        ("test", "silence.yml"),
    ] {
        match Command::new("promtool")
            .args([command, "rules"])
            .arg(directory.path().join(file))
            .output()
        {
            Ok(output) => assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            ),
            Err(_) => {
                return skip_unless_required(
                    "NWP_REQUIRE_PROMTOOL",
                    "promtool (Debian package prometheus) is not installed",
                );
            }
        }
    }
}

#[test]
fn the_self_test_leaves_no_trace() {
    let scene = Scene::new(Pki::shared(), "request", "");
    let metrics = scene.operator.metrics();
    let counted = metrics
        .iter()
        .filter(|(series, _)| series.contains("_total") || series.contains("_count"));
    for (series, value) in counted {
        assert_eq!(*value, 0.0, "{series}");
    }
}

#[test]
fn it_lives_and_is_ready_until_it_drains() {
    let pki = Pki::shared();
    let mut scene = Scene::new(pki, "require", "");
    for path in ["/livez", "/readyz"] {
        let answer = scene.operator.get(path);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "ok\n"),
            "{path}"
        );
    }
    let (tell, reply) = Reply::when_told("late");
    scene.origin.will([reply]);
    let sender = scene.sender(Some(&pki.netdata()));
    let in_flight = std::thread::spawn(move || sender.post(ALERT));
    scene.origin.wait_for(1);
    scene.proxy.signal("TERM");
    let answer = eventually("the drain", || {
        Some(scene.operator.get("/readyz")).filter(|answer| answer.status == 503)
    });
    assert_eq!(answer.body, "The process is about to end.\n");
    assert_eq!(scene.operator.get("/livez").status, 200);
    tell.send(()).unwrap();
    assert_eq!(in_flight.join().unwrap().status, 200);
    assert_eq!(scene.proxy.wait().code(), Some(0));
}

#[test]
fn it_is_not_ready_before_the_self_test_has_passed() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "request", "") + ADMIN;
    // The self-test takes some milliseconds, in which it has to be asked.
    let is_seen = (0..20).any(|_| {
        let proxy = Proxy::start(&pki, &config);
        let operator = Operator::of(&proxy);
        let answer = operator.get("/readyz");
        assert_eq!(operator.get("/livez").status, 200);
        eventually("the end of the self-test", || {
            (operator.get("/readyz").status == 200).then_some(())
        });
        answer.status == 503 && answer.body == "The self-test has not passed yet.\n"
    });
    assert!(is_seen);
}

#[test]
fn it_is_not_ready_with_what_has_expired() {
    let pki = Pki::new();
    pki.write("crl.pem", &pki.revocation_list(&[1], Duration::seconds(3)));
    pki.short_lived_server("short", Duration::seconds(3));
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "")
        .edit("[tls.client]", "[tls.client]\ncrl = \"crl.pem\"");
    let scene = Scene::spawn(&pki, &(config.edit("server.", "short.") + ADMIN), origin);
    let answer = eventually("the expiry", || {
        Some(scene.operator.get("/readyz"))
            .filter(|answer| answer.status == 503 && answer.body.lines().count() == 2)
    });
    assert!(
        answer.body.contains("A revocation list is out of date"),
        "{}",
        answer.body
    );
    assert!(
        answer.body.contains("The server's certificate has expired"),
        "{}",
        answer.body
    );
    assert_eq!(scene.operator.get("/livez").status, 200);
}

#[test]
fn what_is_not_needed_of_the_chain_may_have_run_out() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let chain = std::fs::read_to_string(pki.path().join("server.pem")).unwrap();
    let old = pki.changed_authority(|params| {
        params.not_after = OffsetDateTime::now_utc() - Duration::days(1)
    });
    pki.write("server.pem", &(chain + &old));
    let scene = Scene::spawn(
        &pki,
        &(Proxy::config(&origin, "require", "") + ADMIN),
        origin,
    );
    let answer = scene.operator.get("/readyz");
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
    let status = scene.operator.get("/api/status.json").body;
    assert!(
        status.contains("beside its own, has expired: O=Test, CN=Test Root CA."),
        "{status}"
    );
    let metrics = scene.operator.metrics();
    for which in ["server", "chain"] {
        let until =
            metrics[&format!("certificate_not_after_timestamp_seconds{{which=\"{which}\"}}")];
        assert!(
            until > OffsetDateTime::now_utc().unix_timestamp() as f64,
            "{which}"
        );
    }
}

#[test]
fn names_that_are_not_local_are_refused() {
    let scene = Scene::new(Pki::shared(), "require", "");
    let port = scene.operator.address.port();
    for host in [
        "localhost".to_owned(),
        format!("localhost:{port}"),
        format!("127.0.0.1:{port}"),
        "[::1]".to_owned(),
    ] {
        assert_eq!(
            scene.operator.ask("GET", "/metrics", &host).status,
            200,
            "{host}"
        );
    }
    for path in ["/", "/metrics", "/livez", "/api/status.json", "/nothing"] {
        for host in [
            "evil.example",
            "localhost.evil.example",
            &format!("evil.example:{port}"),
        ] {
            let answer = scene.operator.ask("GET", path, host);
            assert_eq!(answer.status, 421, "{path} {host}");
            assert!(
                !answer.body.contains("netdata_webhook_proxy"),
                "{}",
                answer.body
            );
        }
    }
    assert_eq!(
        scene
            .operator
            .raw("GET http://localhost/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .status,
        421
    );
    assert_eq!(
        scene.operator.raw("GET /metrics HTTP/1.0\r\n\r\n").status,
        421
    );
}

#[test]
fn heads_are_bounded_in_size_time_and_form() {
    let scene = Scene::new(Pki::shared(), "require", "");
    let long = "x".repeat(17 * 1024);
    for (request, status) in [
        (
            format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n"),
            431,
        ),
        (format!("GET /{long}"), 431),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(),
            400,
        ),
        ("GET / HTTP/1.1\n\n".to_owned(), 400),
        ("nonsense\r\n\r\n".to_owned(), 400),
        (
            "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            400,
        ),
        (
            "GET /<script> HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            400,
        ),
        ("GET /".to_owned(), 408),
    ] {
        let started = std::time::Instant::now();
        assert_eq!(scene.operator.raw(&request).status, status, "{request}");
        assert!(started.elapsed() < PATIENCE);
    }
    // A body that is not expected does not prevent the response.
    let body =
        format!("POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n{long}");
    assert_eq!(scene.operator.raw(&body).status, 405);
    // Many silent connections do not keep the next one waiting for good.
    let silent: Vec<_> = (0..70)
        .map(|_| TcpStream::connect(scene.operator.address).unwrap())
        .collect();
    assert_eq!(scene.operator.get("/livez").status, 200);
    drop(silent);
}

#[test]
fn only_reading_is_allowed() {
    let scene = Scene::new(Pki::shared(), "require", "");
    let host = scene.operator.address.to_string();
    for path in ["/livez", "/readyz", "/metrics"] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
            let answer = scene.operator.ask(method, path, &host);
            assert_eq!(
                (answer.status, answer.header("allow")),
                (405, Some("GET, HEAD")),
                "{method} {path}"
            );
        }
        let (get, head) = (
            scene.operator.get(path),
            scene.operator.ask("HEAD", path, &host),
        );
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"));
        assert!(
            head.header("content-length")
                .is_some_and(|length| length != "0")
        );
    }
    assert_eq!(scene.operator.get("/nothing").status, 404);
    assert_eq!(scene.operator.ask("POST", "/nothing", &host).status, 404);
}
