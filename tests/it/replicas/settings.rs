//! `[queue] url`: what is wrong with it, and what no output repeats.

use super::{Scene, server};
use crate::queue::{ADMIN, alert};
use crate::support::{Origin, Pki, Proxy};
use std::fs;
use std::process::{Command, Output};

fn check(config: &std::path::Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .arg("check")
        .arg(config)
        .output()
        .unwrap()
}

fn config_with(origin: &Origin, queue: &str) -> String {
    let route = "delivery = \"queue\"\n";
    format!(
        "{}[queue]\n{queue}\n{ADMIN}",
        Proxy::config(origin, "require", route)
    )
}

#[test]
fn a_url_that_is_wrong_is_explained_without_being_shown() {
    let origin = Origin::spawn();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("url");
    for (url, part) in [
        ("postgres://u:s3c@ret@db.example/q", "%40"),
        (
            "postgres://u:s3cret@db.example/q?sslmode=disable",
            "verify-full",
        ),
        (
            "postgres://u:s3cret@db.example/q?sslmode=allow",
            "verify-full",
        ),
        (
            "postgres://u:s3cret@db.example/q?sslmode=prefer",
            "verify-full",
        ),
        ("mysql://u:s3cret@db.example/q", "postgres://"),
    ] {
        fs::write(&file, url).unwrap();
        let config = config_with(&origin, &format!("url = {{ file = {file:?} }}"));
        let output = check(&Proxy::write(Pki::shared(), &config));
        assert_eq!(output.status.code(), Some(2));
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(said.contains("queue.url") && said.contains(part), "{said}");
        assert!(
            !said.contains("s3c") && !said.contains("db.example"),
            "{said}"
        );
    }
    fs::write(&file, "postgres:///q?host=/run/postgresql").unwrap();
    let both = config_with(
        &origin,
        &format!("path = \"queue.db\"\nurl = {{ file = {file:?} }}"),
    );
    let output = check(&Proxy::write(Pki::shared(), &both));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("queue.path"), "{said}");
}

#[test]
fn a_database_that_must_not_be_used_stops_the_start() {
    let Some(server) = server() else { return };
    let origin = Origin::spawn();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("url");
    fs::write(&file, server.create_database("SQL_ASCII")).unwrap();
    let config = config_with(&origin, &format!("url = {{ file = {file:?} }}"));
    let path = Proxy::write(Pki::shared(), &config);
    let output = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .args(["run", "--config"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        said.contains("queue.url") && said.contains("UTF8"),
        "{said}"
    );
}

#[test]
fn neither_the_password_nor_a_body_is_in_any_log() {
    let Some(server) = server() else { return };
    let url = server
        .create_database("UTF8")
        .replace("?host", "?password=p4ssw0rd&host");
    let scene = Scene::at(&url, "queue");
    scene.sql(
        "alter table netdata_webhook_proxy.notification add check (idempotency <> 'n-s3cret')",
    );
    let refused = scene.replicas[1].sender.post(&alert("n", "s3cret"));
    assert_eq!(refused.status, 503, "{refused:?}");
    scene.stores(1, &alert("n", "clear"));
    scene.drained();
    let line = scene.replicas[1].proxy.wait_for_event("queue_row_refused");
    assert!(line.contains("23514"), "{line}");
    for replica in &scene.replicas {
        let log = replica.proxy.log().join("\n");
        assert!(!log.contains("p4ssw0rd"), "{log}");
        assert!(!log.contains("Failing row"), "{log}");
        assert!(!log.contains(scene.directory.path().to_str().unwrap()) || !log.contains("p4ss"));
    }
}
