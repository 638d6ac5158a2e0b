//! Each kind and shape is sent, and arrives.

use super::{Scene, dry, run};
use crate::support::free_address;
use serde_json::Value;

#[test]
fn every_kind_and_shape_is_accepted_and_forwarded() {
    let scene = Scene::new("");
    for (arguments, kind, severity) in [
        (
            &["alert", "--severity", "critical"][..],
            "alert",
            "critical",
        ),
        (
            &["alert", "--severity", "warning", "--shape", "nested"],
            "alert",
            "warning",
        ),
        (&["alert", "--severity", "clear"], "alert", "clear"),
        (
            &["alert", "--severity", "critical", "--shape", "flat"],
            "alert",
            "critical",
        ),
        (
            &["alert", "--severity", "clear", "--shape", "flat"],
            "alert",
            "clear",
        ),
        (
            &["reachability", "--status", "reachable"],
            "reachability",
            "info",
        ),
        (
            &["reachability", "--status", "unreachable"],
            "reachability",
            "critical",
        ),
        (
            &["reachability", "--status", "reachable", "--shape", "flat"],
            "reachability",
            "info",
        ),
        (
            &["reachability", "--status", "unreachable", "--shape", "flat"],
            "reachability",
            "critical",
        ),
    ] {
        let arguments = [arguments, &["--seed", "1"]].concat();
        for version in ["1.1", "2"] {
            let said = scene
                .send(&[&arguments[..], &["--http", version]].concat())
                .ends_with(0);
            let report = said.report();
            assert_eq!(report["protocol"], format!("HTTP/{version}"), "{report:#}");
            assert_eq!(
                (&report["kind"], &report["seed"]),
                (&kind.into(), &1.into())
            );
            let result = said.all("accepted", Value::Null, 1);
            assert_eq!(
                (&result["status"], &result["detail"]),
                (&200.into(), &"ok".into())
            );
            let received = scene.last();
            assert_eq!(
                received.header("X-Netdata-Notification"),
                kind,
                "{arguments:?}"
            );
            assert_eq!(
                received.header("X-Netdata-Severity"),
                severity,
                "{arguments:?}"
            );
            assert_eq!(
                received.header("User-Agent"),
                format!("Go-http-client/{}", &format!("{version}.0")[..3])
            );
            assert_eq!(
                String::from_utf8(received.body).unwrap(),
                dry(&arguments)[0],
                "byte for byte"
            );
        }
    }
    assert_eq!(scene.origin.received().len(), 18);
}

#[test]
fn a_test_notification_says_which_token_the_operator_has_to_see() {
    let scene = Scene::new("");
    let mut logged = 0;
    for (arguments, count) in [(&["test"][..], 1), (&["test", "-n", "3"], 3), (&["all"], 1)] {
        let report = scene.send(arguments).ends_with(0).report();
        let token = report["test_token"].as_str().unwrap();
        logged += count;
        assert!(
            scene
                .proxy
                .wait_for_events("test_token_received", logged)
                .contains(token),
            "{arguments:?}"
        );
    }
    let [url, ca] = [scene.url(), scene.file("ca.pem")];
    let [cert, key] = ["netdata.pem", "netdata.key"].map(|name| scene.file(name));
    let people = |arguments: &[&str]| {
        run(&[arguments, &["--ca", &ca, "--cert", &cert, "--key", &key]].concat())
    };
    let said = people(&["test", &url, "-n", "3"]).ends_with(0);
    assert!(
        said.out.contains(", of the last of 3 Tests: look for it"),
        "{said:?}"
    );
    // Requests that were refused are not to be listed.
    let said = people(&["test", &url.replace("/webhooks", "/elsewhere")]).ends_with(1);
    assert!(!said.out.contains("token "), "{said:?}");
    let said = people(&[
        "test",
        "https://localhost/",
        "--connect-to",
        &free_address().to_string(),
    ])
    .ends_with(3);
    assert!(!said.out.contains("token "), "{said:?}");
}

#[test]
fn all_is_one_of_each() {
    let scene = Scene::new("tests = \"forward\"");
    scene
        .send(&["all"])
        .ends_with(0)
        .all("accepted", Value::Null, 11);
    let mut kinds: Vec<_> = scene.origin.received().iter().map(Scene::kind).collect();
    kinds.sort();
    let kind = |kind: &str, shape: &str, severity: &str| format!("{kind} {shape} {severity}");
    let mut expected = vec!["test  ".to_owned()];
    for shape in ["flat", "nested"] {
        expected.extend(
            ["critical", "warning", "clear"].map(|severity| kind("alert", shape, severity)),
        );
        expected.extend(["critical", "info"].map(|severity| kind("reachability", shape, severity)));
    }
    expected.sort();
    assert_eq!(kinds, expected);
    scene
        .send(&["all", "--repeat", "25"])
        .ends_with(0)
        .all("accepted", Value::Null, 25);
    assert_eq!(scene.origin.received().len(), 36);
}
