//! What Prometheus reads, with which names, and the alert rules made of it.

use super::Scene;
use crate::support::{Pki, first_column, skip_unless_required};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

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
    let rules = include_str!("../../../conf/prometheus/alerts.yml");
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
        include_str!("../support/alerts.yml"),
    )
    .unwrap();
    // Over days, and therefore in hours: each minute takes its time.
    std::fs::write(
        directory.path().join("silence.yml"),
        include_str!("../support/silence.yml"),
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
