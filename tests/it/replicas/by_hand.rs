//! The manual's way to two replicas without containers, followed to the letter, on one machine.

use crate::queue::alert;
use crate::support::{
    Balancer, Edit as _, Origin, Pki, Proxy, Sender, eventually, free_address, is_installed, page,
    postgres,
};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const PAGE_URL: &str = "postgres://proxy:s3cret@db1.internal/queue";

/// The first block in `language` behind a heading of the page.
fn block(heading: &str, language: &str) -> &'static str {
    let (_, section) = page("replicas").split_once(heading).unwrap();
    let (_, block) = section.split_once(&format!("\n```{language}\n")).unwrap();
    block.split("\n```").next().unwrap()
}

/// The directory of a replica with what the page names, and the path of its configuration.
fn directory(pki: &Pki, number: usize, config: &str, url: &str) -> PathBuf {
    let directory = pki.path().join(format!("replica-{number}"));
    fs::create_dir(&directory).unwrap();
    for (from, to) in [
        ("server.pem", "fullchain.pem"),
        ("server.key", "privkey.pem"),
        ("ca.pem", "ca.pem"),
    ] {
        fs::copy(pki.path().join(from), directory.join(to)).unwrap();
    }
    for (name, text) in [
        ("challenge.secret", "YOUR_CHALLENGE_SECRET\n"),
        ("database.url", url),
        ("config.toml", config),
    ] {
        fs::write(directory.join(name), text).unwrap();
    }
    directory.join("config.toml")
}

fn program(arguments: &[&str], config: &PathBuf) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .args(arguments)
        .arg(config)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap() + &said
}

#[test]
fn the_way_by_hand_leads_to_two_replicas_of_which_either_may_be_killed() {
    if !is_installed("haproxy", "haproxy", "") {
        return;
    }
    let Some(server) = postgres::Server::start() else {
        return;
    };
    // The server asks the members of a role for a password.
    let administrator = server.url("postgres");
    for statement in block("\n## Set it up\n", "text").lines() {
        postgres::sql(&administrator, statement);
    }
    postgres::sql(&administrator, "create role passworded role proxy");
    let (pki, origin) = (Pki::new(), Origin::spawn_apart());
    assert!(page("replicas").contains(&format!("`{PAGE_URL}`")));
    let url = PAGE_URL.edit("db1.internal", "") + &format!("?host={}", server.directory());
    let addresses = [free_address(), free_address()];
    let config = block("\n### By hand\n", "toml")
        .edit(
            "trusted_proxies = [\"10.0.0.5\"]",
            "trusted_proxies = [\"127.0.0.1\"]",
        )
        .edit("http://10.0.0.7:3000", &origin.url)
        .edit("127.0.0.1:9464", "127.0.0.1:0")
        + "\n[tls.client]\nca = \"ca.pem\"\n";
    let configs = [0, 1].map(|number| {
        let own = config.edit("0.0.0.0:8443", &addresses[number].to_string());
        directory(&pki, number, &own, &url)
    });
    let said = program(&["check"], &configs[0]);
    assert!(said.contains("queue    PostgreSQL ") && said.contains("the tables are not there yet"));
    let mut replicas = [0, 1].map(|number| Proxy::launch(&configs[number], |_| {}));
    for replica in &replicas {
        replica.wait_for_event("ready");
    }
    let balancer = Balancer::before(&pki, free_address(), addresses);
    let sender = Sender {
        address: balancer.address,
        ..Sender::to(&replicas[0], Some(&pki.netdata()))
    };
    let taken = |state: &str| [200, 202].contains(&sender.post(&alert("n", state)).status);
    assert!(taken("critical"));
    origin.wait_for(1);
    let is_delivering = |replica: &Proxy| !replica.events("queue_delivering").is_empty();
    let killed = eventually("a replica that delivers", || {
        replicas.iter().position(is_delivering)
    });
    // So that what comes next waits for as long as it takes to look at it.
    origin.stop();
    replicas[killed].signal("KILL");
    replicas[killed].wait();
    assert!(taken("clear"));
    let listed = program(&["queue", "list", "-c"], &configs[killed]);
    assert!(listed.contains("/webhooks/netdata"), "{listed}");
    origin.start();
    replicas[1 - killed].wait_for_event("queue_delivering");
    origin.wait_for(2);
}
