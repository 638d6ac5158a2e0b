//! The files for two replicas, a database and a balancer: they agree with each other, and what they
//! describe works with processes in the place of containers.

use crate::acme::ALERT;
use crate::support::{
    BALANCER, Balancer, Edit as _, Origin, Pebble, Pki, Proxy, Sender, WEBHOOK, eventually,
    is_installed, postgres, skip_unless_required,
};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const COMPOSE: &str = include_str!("../../conf/compose/compose.yaml");
const CONFIG: &str = include_str!("../../conf/compose/config.toml");

/// Reads YAML as the tools of `.ci/run` do, or any Python with the library of theirs.
fn parse(yaml: &str) -> Option<Value> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/kubernetes/bin/python3");
    let python = match own.exists() {
        true => own,
        false => PathBuf::from("python3"),
    };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("compose.yaml");
    std::fs::write(&file, yaml).unwrap();
    let script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let output = Command::new(python).args(["-c", script]).arg(file).output();
    let parsed = output.ok().filter(|output| output.status.success());
    let Some(parsed) = parsed else {
        skip_unless_required(
            "NWP_REQUIRE_KUBERNETES",
            "no Python with PyYAML is installed",
        );
        return None;
    };
    Some(serde_json::from_slice(&parsed.stdout).unwrap())
}

#[test]
fn its_parts_agree_with_each_other_and_with_the_image() {
    let Some(compose) = parse(COMPOSE) else {
        return;
    };
    let services = &compose["services"];
    assert_eq!(services["replica-1"], services["replica-2"]);
    let replica = &services["replica-1"];
    let build = replica["build"].to_string();
    assert!(build.contains("conf/container/Containerfile"), "{build}");
    let mounts = replica["volumes"].to_string();
    for mount in [
        "./config.toml:/etc/netdata-webhook-proxy/config.toml:ro",
        "./challenge.secret:/etc/netdata-webhook-proxy/challenge.secret:ro",
        "socket:/run/postgresql",
    ] {
        assert!(mounts.contains(mount), "{mounts}");
    }
    assert!(
        services["database"]["volumes"]
            .to_string()
            .contains("socket:/run/postgresql")
    );
    // The database takes no connections from elsewhere, and asks for a password.
    let database = &services["database"];
    assert_eq!(database["command"][2], "listen_addresses=");
    let arguments = database["environment"]["POSTGRES_INITDB_ARGS"]
        .as_str()
        .unwrap();
    assert_eq!(arguments, "--encoding=UTF8 --auth-local=scram-sha-256");
    assert!(database.get("ports").is_none());
    let url = replica["environment"]["DATABASE_URL"].as_str().unwrap();
    assert!(url.starts_with("postgres:///queue?host=/run/postgresql&user=proxy&password=$"));
    assert!(CONFIG.contains("url = { env = \"DATABASE_URL\" }"));
    let subnet = compose["networks"]["inside"]["ipam"]["config"][0]["subnet"]
        .as_str()
        .unwrap();
    assert!(CONFIG.contains(&format!("trusted_proxies = [\"{subnet}\"]")));
    assert_eq!(services["balancer"]["ports"][0], "443:8443");
    for part in [
        "bind :8443",
        "replica-1:8443",
        "replica-2:8443",
        "send-proxy-v2",
    ] {
        assert!(BALANCER.contains(part), "{part}");
    }
    assert!(CONFIG.contains("\nproxy_protocol = true\n"));
    let volumes = compose["volumes"].as_object().unwrap();
    assert!(volumes.contains_key("database") && volumes.contains_key("socket"));
}

#[test]
fn what_they_describe_goes_on_without_either_replica() {
    if !is_installed("haproxy", "haproxy", "") {
        return;
    }
    let Some(server) = postgres::Server::start() else {
        return;
    };
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(pebble) = Pebble::start(&pki) else {
        return;
    };
    let acme = format!(
        "acme = {{ domains = [\"hooks.example\"], directory = \"{}\", directory_ca = \"ca.pem\" }}\n\
         [tls.client]\nca = \"ca.pem\"",
        pebble.url("/dir")
    );
    let config = CONFIG
        .edit("0.0.0.0:8443", "127.0.0.1:0")
        .edit("172.30.61.0/24", "127.0.0.0/8")
        .edit("acme = { domains = [] }", &acme)
        .edit("http://app:3000", &origin.url)
        .edit("127.0.0.1:9464", "127.0.0.1:0");
    let url = server.create_database("UTF8");
    let start = || {
        let variables = [("DATABASE_URL", PathBuf::from(&url))];
        Proxy::spawn_with(&pki, &config, &variables)
    };
    let mut replicas = [start(), start()];
    let addresses = [replicas[0].address(0), replicas[1].address(0)];
    let balancer = Balancer::before(&pki, pebble.validated, addresses);
    for replica in &replicas {
        replica.wait_for_event("acme_certificate_installed");
    }
    let sender = Sender {
        address: balancer.address,
        ..Sender::to(&replicas[0], Some(&pki.netdata()))
    };
    // One of them tries directly, the other one stores. Without the balancer's word on who connects,
    // neither would take a connection.
    (0..4).for_each(|_| assert!([200, 202].contains(&sender.post(ALERT).status)));
    for replica in &replicas {
        assert!(!replica.events("request").is_empty(), "each has its share");
    }
    for index in [0, 1] {
        replicas[index].signal("KILL");
        replicas[index].wait();
        let answered = eventually("an answer", || {
            sender
                .send("POST", WEBHOOK, "Content-Type: application/json\r\n", ALERT)
                .ok()
        });
        assert!([200, 202].contains(&answered.status), "{answered:?}");
        if index == 0 {
            replicas[1].wait_for_event("queue_delivering");
            let again = config.edit_first("127.0.0.1:0", &addresses[0].to_string());
            let variables = [("DATABASE_URL", PathBuf::from(&url))];
            replicas[0] = Proxy::spawn_with(&pki, &again, &variables);
            eventually("both in the balancer", || {
                assert!([200, 202].contains(&sender.post(ALERT).status));
                (!replicas[0].events("request").is_empty()).then_some(())
            });
        }
    }
    let sent = "select count(*) from netdata_webhook_proxy.notification";
    eventually("an empty queue", || {
        (postgres::sql(&url, sent) == "0").then_some(())
    });
    assert!(origin.received().len() >= 3);
}
