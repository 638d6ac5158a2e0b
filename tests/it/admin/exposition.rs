//! What Prometheus reads, with which names, and the alert rules made of it.

use super::Scene;
use crate::support::{Pki, first_column, skip_unless_required};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// The names of the contract.
const METRICS: [&str; 28] = [
    "acme_failures",
    "acme_last_success_timestamp_seconds",
    "acme_orders_total",
    "acme_renewal_timestamp_seconds",
    "acme_retry_timestamp_seconds",
    "acme_validations_total",
    "certificate_not_before_timestamp_seconds",
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
    "not_delivered_total",
    "not_delivered_open",
];

/// The names that metrics of a process have everywhere.
const PROCESS: [&str; 7] = [
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_threads",
    "process_virtual_memory_bytes",
];

/// Those of a queue, where there is one.
const QUEUE_METRICS: [&str; 11] = [
    "queue_messages",
    "queue_bytes",
    "queue_max_bytes",
    "queue_oldest_timestamp_seconds",
    "queue_stored_total",
    "queue_deliveries_total",
    "queue_parked_total",
    "queue_dropped_total",
    "queue_commit_duration_seconds",
    "queue_delivering",
    "queue_hazard",
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
    // Groups of upstreams alone have servers whose health is known, and ACME alone has its times.
    let is_rare = |name: &str| {
        name == "upstream_healthy" || name.starts_with("acme_") && name.ends_with("_seconds")
    };
    for name in METRICS.iter().filter(|name| !is_rare(name)) {
        for comment in ["HELP", "TYPE"] {
            let line = format!("# {comment} netdata_webhook_proxy_{name} ");
            assert!(answer.body.contains(&line), "{line} in {}", answer.body);
        }
    }
    for name in PROCESS {
        let line = format!("\n{name} ");
        assert!(answer.body.contains(&line), "{line} in {}", answer.body);
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
    let own = BTreeSet::from_iter(first_column("| metric | labels | meaning |"));
    let known = METRICS.into_iter().chain(QUEUE_METRICS);
    assert_eq!(own, known.collect());
    let usual = BTreeSet::from_iter(first_column("| metric of the process | meaning |"));
    assert_eq!(usual, BTreeSet::from(PROCESS));
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
    let is_known = |name: &str| METRICS.contains(&name) || QUEUE_METRICS.contains(&name);
    assert!(names.all(|name| is_known(name.trim_end_matches("_bucket"))));
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

const NETDATA: &str = include_str!("../../../conf/netdata/health.d/netdata_webhook_proxy.conf");

/// The value of a line of an alarm.
fn line<'e>(entity: &'e str, key: &str) -> Option<&'e str> {
    let lines = entity.lines().filter_map(|line| line.split_once(": "));
    let mut found = lines.filter(|(name, _)| name.trim() == key);
    found.next().map(|(_, value)| value)
}

#[test]
fn the_alarms_of_netdata_are_the_alert_rules() {
    let rules = include_str!("../../../conf/prometheus/alerts.yml");
    let alerts = rules.split("- alert: ").skip(1);
    let alerts: BTreeSet<_> = alerts.map(|rest| rest.lines().next().unwrap()).collect();
    let named = NETDATA.lines().filter_map(|line| line.strip_prefix("# "));
    let named: BTreeSet<_> = named
        .flat_map(|line| line.split([' ', ',', ':']))
        .filter(|word| word.starts_with("NetdataWebhook"))
        .collect();
    assert_eq!(named, alerts);
}

#[test]
fn each_alarm_of_netdata_has_what_an_agent_wants_of_it() {
    let job = include_str!("../../../conf/netdata/go.d/prometheus.conf");
    for part in [
        "- name: netdata_webhook_proxy\n",
        "app: netdata_webhook_proxy\n",
    ] {
        assert!(job.contains(part), "{part}");
    }
    let mut names = BTreeSet::new();
    let entities: Vec<_> = NETDATA.split("\n     template: ").skip(1).collect();
    assert!(entities.len() > 15, "{}", entities.len());
    for entity in entities {
        let (name, rest) = entity.split_once('\n').unwrap();
        assert!(names.insert(name), "{name} is there twice");
        assert!(
            name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{name}"
        );
        // The context of a chart is made of the app and the name of the metric.
        let metric = line(rest, "on").unwrap();
        let metric = metric
            .strip_prefix("prometheus.netdata_webhook_proxy.netdata_webhook_proxy_")
            .unwrap();
        let is_known = METRICS.contains(&metric) || QUEUE_METRICS.contains(&metric);
        assert!(is_known, "{name}: {metric}");
        assert!(line(rest, "units").is_some(), "{name}");
        assert!(line(rest, "every").is_some(), "{name}");
        assert!(
            line(rest, "lookup").or(line(rest, "calc")).is_some(),
            "{name}"
        );
        let is_alarm = line(rest, "warn").or(line(rest, "crit")).is_some();
        // What others compute with has no state of its own.
        assert_ne!(is_alarm, name.ends_with("_responses"), "{name}");
        for key in ["class", "type", "component", "summary", "info", "to"] {
            assert_eq!(line(rest, key).is_some(), is_alarm, "{name}: {key}");
        }
        for label in rest.split("${label:").skip(1) {
            let label = label.split('}').next().unwrap();
            let known = [
                "route", "kind", "reason", "which", "server", "upstream", "hazard",
            ];
            assert!(known.contains(&label), "{name}: {label}");
        }
    }
}
