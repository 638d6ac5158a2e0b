//! Many requests: as many as are wanted, as fast as is wanted, at a time and in all.

use super::{Said, command, dry, run, said};
use crate::support::{Application, Origin, Pki, Reply, Screen, eventually};
use serde_json::Value;
use std::collections::HashSet;
use std::io::Read as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// Sends alerts to `url`.
fn alerts(url: &str, arguments: &[&str]) -> Said {
    run(&[&["alert", url, "--json"], arguments].concat())
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn what_is_repeated_is_counted() {
    let origin = Origin::spawn();
    let said = alerts(
        &origin.url,
        &["--repeat", "500", "--concurrency", "7", "--seed", "3"],
    )
    .ends_with(0);
    let report = said.report();
    said.all("accepted", Value::Null, 500);
    assert_eq!(report["concurrency"], 7);
    let bodies: HashSet<_> = origin
        .received()
        .into_iter()
        .map(|it| String::from_utf8(it.body).unwrap())
        .collect();
    assert_eq!(
        bodies,
        dry(&["alert", "--repeat", "500", "--seed", "3"])
            .into_iter()
            .collect(),
        "each was sent once"
    );
    assert!(
        (2..=7).contains(&origin.connections()),
        "{}",
        origin.connections()
    );
    let latency = &report["latency_ms"];
    let [p50, p90, p99, max] = ["p50", "p90", "p99", "max"].map(|key| number(&latency[key]));
    assert!(
        0.0 < p50 && p50 <= p90 && p90 <= p99 && p99 <= max,
        "{latency}"
    );
    let rate = 500.0 / number(&report["seconds"]);
    assert!(
        (number(&report["requests_per_second"]) / rate - 1.0).abs() < 0.001,
        "{report:#}"
    );
}

#[test]
fn so_many_are_under_way_at_a_time_from_the_beginning() {
    for pace in [&[][..], &["--rate", "1000"], &["--duration", "600"]] {
        let application = Application::listen();
        let url = application.url.clone();
        let sender = thread::spawn(move || {
            alerts(
                &url,
                &[&["--repeat", "8", "--concurrency", "4"], pace].concat(),
            )
        });
        // None waits for the answer to another.
        let mut visits: Vec<_> = (0..4).map(|_| application.accept()).collect();
        for _ in 0..2 {
            for visit in &mut visits {
                visit.head();
                visit.rest().unwrap();
            }
            application.assert_no_connection();
            for visit in &mut visits {
                visit.answer("ok");
            }
        }
        sender
            .join()
            .unwrap()
            .ends_with(0)
            .all("accepted", Value::Null, 8);
    }
}

#[test]
fn a_connection_for_each_request_may_be_wanted() {
    let origin = Origin::spawn();
    alerts(&origin.url, &["-n", "20", "-c", "3", "--new-connections"]).ends_with(0);
    assert_eq!((origin.received().len(), origin.connections()), (20, 20));
    // Or be what the server wants.
    let last =
        Reply::Last("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into());
    origin.will(vec![last; 10]);
    alerts(&origin.url, &["-n", "10"])
        .ends_with(0)
        .all("accepted", Value::Null, 10);
    assert_eq!(origin.connections(), 30);
}

#[test]
fn the_rate_is_kept() {
    let origin = Origin::spawn();
    let report = alerts(&origin.url, &["-n", "31", "--rate", "30", "-c", "4"])
        .ends_with(0)
        .report();
    assert!(
        number(&report["seconds"]) >= 1.0,
        "the last is due after 1 s: {report:#}"
    );
    // It counts for the server that a request has to wait for those before it.
    let origin = Origin::spawn();
    origin.will([Reply::Late(
        Duration::from_millis(500),
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into(),
    )]);
    let report = alerts(&origin.url, &["-n", "5", "--rate", "50"])
        .ends_with(0)
        .report();
    let latency = &report["latency_ms"];
    assert!(
        number(&latency["p50"]) > 400.0,
        "four wait for about as long as the first: {latency}"
    );
}

#[test]
fn a_duration_ends_it() {
    let origin = Origin::spawn();
    let report = alerts(&origin.url, &["--duration", "1", "--rate", "20", "-c", "2"])
        .ends_with(0)
        .report();
    let (requests, seconds) = (number(&report["requests"]), number(&report["seconds"]));
    assert!(
        (2.0..=20.0).contains(&requests) && seconds < 5.0,
        "{report:#}"
    );
    let report = alerts(&origin.url, &["--duration", "0.3"])
        .ends_with(0)
        .report();
    assert!(
        (0.3..5.0).contains(&number(&report["seconds"])),
        "{report:#}"
    );
    let report = alerts(&origin.url, &["--duration", "60", "--repeat", "3"])
        .ends_with(0)
        .report();
    assert!(
        report["requests"] == 3 && number(&report["seconds"]) < 30.0,
        "{report:#}"
    );
}

#[test]
fn a_signal_ends_it_with_a_report() {
    let origin = Origin::spawn();
    let arguments = [
        "alert",
        &origin.url,
        "--json",
        "--repeat",
        "1000000",
        "--rate",
        "100",
        "-c",
        "2",
    ];
    let child = command(&arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    origin.wait_for(5);
    interrupt(&child);
    let report = said(child.wait_with_output().unwrap())
        .ends_with(1)
        .report();
    assert_eq!(
        (&report["interrupted"], &report["ok"]),
        (&true.into(), &false.into())
    );
    assert!(number(&report["accepted"]) >= 4.0, "{report:#}");
}

#[test]
fn what_a_signal_leaves_without_an_answer_is_counted() {
    for format in ["--json", "--timeout=600"] {
        let application = Application::listen();
        let arguments = [
            "alert",
            &application.url,
            format,
            "--repeat",
            "10",
            "-c",
            "3",
        ];
        let child = command(&arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut visits: Vec<_> = (0..3).map(|_| application.accept()).collect();
        for visit in &mut visits {
            visit.head();
            visit.rest().unwrap();
        }
        visits[0].answer("ok");
        // It was answered, and there is another.
        visits[0].head();
        interrupt(&child);
        let said = said(child.wait_with_output().unwrap()).ends_with(1);
        if format == "--json" {
            let report = said.report();
            let counts =
                ["requests", "accepted", "unanswered", "interrupted"].map(|key| &report[key]);
            assert_eq!(
                counts,
                [&4.into(), &1.into(), &3.into(), &Value::Bool(true)],
                "{report:#}"
            );
            assert_eq!(report["results"][1]["code"], "interrupted", "{report:#}");
        } else {
            assert!(
                said.out
                    .contains("unanswered   3 × interrupted: interrupted before"),
                "{said:?}"
            );
        }
    }
}

#[test]
fn a_signal_while_nobody_answers_the_connection_leaves_nothing_to_count() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    let ca = Pki::shared().path().join("ca.pem");
    let arguments = [
        "alert",
        &url,
        "--json",
        "-n",
        "5",
        "-c",
        "5",
        "--timeout",
        "600",
        "--ca",
        ca.to_str().unwrap(),
    ];
    let child = command(&arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _socket = silent.accept().unwrap();
    interrupt(&child);
    let report = said(child.wait_with_output().unwrap())
        .ends_with(1)
        .report();
    let found = ["requests", "interrupted", "ok"].map(|key| &report[key]);
    assert_eq!(
        found,
        [&0.into(), &Value::Bool(true), &Value::Bool(false)],
        "{report:#}"
    );
}

fn interrupt(child: &Child) {
    assert!(
        Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn all_fates_are_told_apart() {
    let origin = Origin::spawn();
    let answer =
        |status: &str| Reply::Raw(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
    origin.will([
        answer("202 Accepted"),
        answer("500 Oops"),
        answer("204 No Content"),
        Reply::Last(String::new()),
    ]);
    let report = alerts(&origin.url, &["-n", "6"]).ends_with(1).report();
    let counts = [
        "requests",
        "accepted",
        "refused",
        "unanswered",
        "unreachable",
    ]
    .map(|key| &report[key]);
    assert_eq!(
        counts.map(|count| count.as_u64().unwrap()),
        [6, 4, 1, 1, 0],
        "{report:#}"
    );
    let results: Vec<_> = report["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["status"].as_u64())
        .collect();
    assert_eq!(results, [Some(200), Some(202), Some(204), Some(500), None]);
    // A server that goes away differs from one that was never there.
    let origin = Origin::spawn_apart();
    let url = origin.url.clone();
    let sender = thread::spawn(move || {
        alerts(
            &url,
            &["-n", "60", "--rate", "60", "-c", "2", "--new-connections"],
        )
    });
    origin.wait_for(5);
    origin.stop();
    let report = sender.join().unwrap().ends_with(1).report();
    assert!(
        number(&report["unreachable"]) > 0.0 && number(&report["accepted"]) >= 4.0,
        "{report:#}"
    );
    assert_eq!(report["requests"], 60);
}

#[test]
fn what_this_machine_does_not_allow_is_not_the_servers_fault() {
    let origin = Origin::spawn();
    let mut shell = Command::new("sh");
    let script = "ulimit -n 40; exec \"$0\" send alert \"$1\" --json -n 200 -c 60";
    shell.args([
        "-c",
        script,
        env!("CARGO_BIN_EXE_netdata-webhook-proxy"),
        &origin.url,
    ]);
    let report = said(shell.output().unwrap()).ends_with(1).report();
    let result = report["results"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["code"] == "too_many_open_files");
    let advice = result.unwrap_or_else(|| panic!("{report:#}"))["advice"].as_str();
    assert!(
        advice.is_some_and(|advice| advice.contains("ulimit -n")),
        "{report:#}"
    );
}

#[test]
fn progress_is_shown_on_a_terminal_alone() {
    let origin = Origin::spawn();
    let arguments = ["alert", &origin.url, "--json", "-n", "30", "--rate", "25"];
    let said_nowhere = run(&arguments).ends_with(0);
    assert_eq!(said_nowhere.err, "");
    let (screen, theirs) = Screen::open(80);
    let mut child = command(&arguments)
        .env("TERM", "xterm")
        .stdout(Stdio::piped())
        .stderr(theirs)
        .spawn()
        .unwrap();
    let mut report = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut report)
        .unwrap();
    let status = eventually("the end", || child.try_wait().unwrap());
    assert!(status.success());
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["accepted"], 30);
    eventually("the progress", || {
        screen.text().contains("/30, ").then_some(())
    });
}
