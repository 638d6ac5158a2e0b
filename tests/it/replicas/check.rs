//! `check` of a database: what it says of one that is fit, and of each that is not.

use super::pooler::Pooler;
use super::{Scene, server};
use crate::queue::{ADMIN, alert};
use crate::support::{Origin, Pki, Proxy, page, postgres};
use postgres::Server;
use std::fs;
use std::process::{Child, Command, Stdio};

/// Receives what a server writes ahead, as a standby does.
pub(super) struct Streaming {
    process: Child,
    _directory: tempfile::TempDir,
}

impl Streaming {
    pub(super) fn of(server: &Server, name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let from = format!("{}&application_name={name}", server.url("postgres"));
        let process = Command::new(server.program("pg_receivewal"))
            .args(["-D", directory.path().to_str().unwrap(), "-d", &from])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            process,
            _directory: directory,
        }
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        // Ignore the error: it has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What `check` says of a configuration with this database, and its exit status.
fn checked(url: &str) -> (String, Option<i32>) {
    let (origin, directory) = (Origin::spawn(), tempfile::tempdir().unwrap());
    let file = directory.path().join("url");
    fs::write(&file, url).unwrap();
    let config = format!(
        "{}[queue]\nurl = {{ file = {file:?} }}\n{ADMIN}",
        Proxy::config(&origin, "require", "delivery = \"queue\"\n")
    );
    let output = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .arg("check")
        .arg(Proxy::write(Pki::shared(), &config))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        String::from_utf8_lossy(&said).into_owned(),
        output.status.code(),
    )
}

#[track_caller]
fn says(url: &str, code: i32, parts: &[&str]) {
    let (said, found) = checked(url);
    for part in parts {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    assert_eq!(found, Some(code), "{said}");
}

#[test]
fn a_database_that_is_fit_is_described_and_left_as_it_is() {
    let Some(server) = server() else { return };
    let url = server.create_database("UTF8");
    let version = postgres::sql(
        &url,
        "select split_part(current_setting('server_version'), ' ', 1)",
    );
    let described = format!("queue    PostgreSQL {version}, UTF8");
    says(&url, 0, &[&described, "are made at the start"]);
    let schemas = "select count(*) from pg_namespace where nspname = 'netdata_webhook_proxy'";
    assert_eq!(postgres::sql(&url, schemas), "0");
    let scene = Scene::at(&url, "queue");
    let (said, code) = checked(&url);
    assert!(said.contains(&format!("{described}\n")), "{said}");
    assert_eq!(code, Some(0));
    // As an older version has left it, and as a newer one will.
    scene.sql(
        "drop table netdata_webhook_proxy.acme, netdata_webhook_proxy.acme_lock;
         update netdata_webhook_proxy.shape set version = 1",
    );
    says(&url, 0, &[&described, "are changed at the start"]);
    scene.sql("update netdata_webhook_proxy.shape set version = 9, min_reader = 2");
    says(&url, 0, &[&described]);
    scene.sql("update netdata_webhook_proxy.shape set version = 9, min_reader = 9");
    says(&url, 2, &["error", "queue.url", "newer version"]);
}

#[test]
fn older_tables_are_changed_beside_a_replica_that_goes_on() {
    let Some(scene) = Scene::new("queue") else {
        return;
    };
    scene.sql(
        "drop table netdata_webhook_proxy.acme, netdata_webhook_proxy.acme_lock;
         update netdata_webhook_proxy.shape set version = 1",
    );
    scene.stores(0, &alert("n", "critical"));
    let newer = super::Replica::start(&scene.config);
    let version = "select version || ' ' || min_reader from netdata_webhook_proxy.shape";
    assert_eq!(scene.sql(version), "2 1");
    scene.stores(0, &alert("n", "warning"));
    assert_eq!(newer.sender.post(&alert("n", "clear")).status, 202);
    scene.drained();
    assert_eq!(
        scene.received_of("n"),
        ["n-critical", "n-warning", "n-clear"]
    );
}

#[test]
fn a_database_that_would_lose_something_is_an_error() {
    let Some(server) = Server::start() else {
        return;
    };
    let url = server.create_database("UTF8");
    says(
        &server.create_database("SQL_ASCII"),
        2,
        &["encoding is not UTF8"],
    );
    for setting in ["fsync", "full_page_writes"] {
        postgres::sql(&url, &format!("alter system set {setting} = off"));
        postgres::sql(&url, "select pg_reload_conf()");
        let shown = format!("show {setting}");
        crate::support::eventually("the setting", || {
            (postgres::sql(&url, &shown) == "off").then_some(())
        });
        says(&url, 2, &["error", &format!("setting {setting} is off")]);
        postgres::sql(&url, &format!("alter system reset {setting}"));
        postgres::sql(&url, "select pg_reload_conf()");
        crate::support::eventually("the setting", || {
            (postgres::sql(&url, &shown) == "on").then_some(())
        });
    }
    says(&url, 0, &["PostgreSQL"]);
    let standby = Streaming::of(&server, "standby");
    crate::support::eventually("a warning", || {
        let (said, code) = checked(&url);
        assert_eq!(code, Some(0), "{said}");
        (said.contains("asynchronous standbys of the database: 1")).then_some(())
    });
    drop(standby);
}

#[test]
fn one_that_does_not_answer_is_a_warning_within_the_deadline() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let begun = std::time::Instant::now();
    let url = format!("postgres://u:s3cret@127.0.0.1:{port}/queue");
    let (said, code) = checked(&url);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("warning") && said.contains("has not answered in time"),
        "{said}"
    );
    assert!(
        !said.contains("s3cret") && !said.contains(&port.to_string()),
        "{said}"
    );
    assert!(begun.elapsed() < std::time::Duration::from_secs(10));
}

#[test]
fn a_pooler_is_noticed() {
    let Some(server) = server() else { return };
    let url = server.create_database("UTF8");
    let Some(pooler) = Pooler::before(&server.directory()) else {
        return;
    };
    let database = url
        .split("postgres:///")
        .nth(1)
        .unwrap()
        .split('?')
        .next()
        .unwrap();
    let pooled = format!("postgres://postgres@127.0.0.1:{}/{database}", pooler.port);
    says(&pooled, 0, &["PostgreSQL", ", behind a pooler"]);
    let (said, _) = checked(&url);
    assert!(!said.contains("pooler"), "{said}");
}

/// The statements of the manual that give a role what it needs, and no more.
fn grants() -> String {
    let page = page("replicas");
    let block = page.split("```sql\n").nth(1).unwrap();
    block.split("```").next().unwrap().to_owned()
}

#[test]
fn the_rights_in_the_manual_are_enough_and_each_is_missed() {
    let Some(server) = server() else { return };
    let url = server.create_database("UTF8");
    drop(Scene::at(&url, "queue"));
    let role = format!("limited_{}", std::process::id());
    let script = grants().replace("replica;", &format!("{role};"));
    postgres::sql(&url, &format!("create role {role} login"));
    let limited = url.replace("user=postgres", &format!("user={role}"));
    says(&limited, 2, &["error", "lacks a right: USAGE on schema"]);
    postgres::sql(&url, &script);
    says(&limited, 0, &["PostgreSQL"]);
    let scene = Scene::at(&limited, "queue");
    scene.origin.stop();
    scene.stores(1, &alert("n", "critical"));
    scene.origin.start();
    scene.drained();
    for statement in script.split(';').filter(|it| it.contains("grant ")) {
        let revoke = statement
            .replace("grant ", "revoke ")
            .replace(" to ", " from ");
        postgres::sql(&url, &revoke);
        let (said, code) = checked(&limited);
        assert!(said.contains("lacks a right"), "without{statement}: {said}");
        assert_eq!(code, Some(2));
        postgres::sql(&url, statement);
    }
    says(&limited, 0, &["PostgreSQL"]);
}
