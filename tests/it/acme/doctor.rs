//! What `doctor` says about the authority, its permission, and the way of its validations.

use super::{FILES, authority_folder, config_for, config_without_authority, keep, state};
use crate::support::{
    Edit as _, Fault, NameServer, Origin, Pebble, Pki, Proxy, Records, Resolver, free_address, skip,
};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// Runs the doctor on the configuration at `path`, with names that `resolver` answers. Returns what
/// it says of a check.
pub(super) fn doctor(path: &Path, resolver: &Resolver, arguments: &[&str], check: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .args(["doctor", "--timeout", "5", "--config"])
        .arg(path)
        .args(arguments)
        .envs(resolver.variables())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text
        .lines()
        .skip_while(|line| !line.contains(&format!(" {check} ")));
    let line = lines.next().unwrap_or_else(|| panic!("{text}"));
    format!("{line}\n{}", lines.next().unwrap_or_default())
}

#[test]
fn the_doctor_tries_the_whole_way_of_a_validation() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let host = free_address().ip();
    let address = SocketAddr::from((host, 443));
    if std::net::TcpListener::bind(address).is_err() {
        return skip("port 443, which only root can open");
    }
    let Some(resolver) = Resolver::answering(&origin) else {
        return;
    };
    resolver.leads_to(&[host]);
    let config = config_without_authority(&origin)
        .edit("\"hooks.example\", \"Other.example\"", "\"hooks.test\"")
        .edit("127.0.0.1:0", &address.to_string());
    let proxy = Proxy::spawn(&pki, &config);
    let said = doctor(&proxy.config, &resolver, &[], "ACME validation");
    assert!(
        said.contains("pass") && said.contains("lead here"),
        "{said}"
    );
    // Nothing is left behind, and no client gets in by it.
    assert!(!state(&pki).join("validations/hooks.test.json").exists());
    origin.received_nothing();

    // Another server has the address.
    let folder = proxy.config.clone();
    drop(proxy);
    let other = config.edit(&acme_of(&config), FILES);
    let other = Proxy::spawn(&pki, &other);
    let said = doctor(&folder, &resolver, &[], "ACME validation");
    assert!(
        said.contains("fail") && said.contains("refuses the validation"),
        "{said}"
    );
    drop(other);
    let said = doctor(&folder, &resolver, &[], "ACME validation");
    assert!(said.contains("fail") && said.contains("port 443"), "{said}");
    resolver.fails();
    let said = doctor(&folder, &resolver, &[], "ACME validation");
    assert!(
        said.contains("fail") && said.contains("cannot be resolved"),
        "{said}"
    );
}

/// The line of `tls.acme`.
fn acme_of(config: &str) -> String {
    let line = config.lines().find(|line| line.starts_with("acme = "));
    line.unwrap().to_owned()
}

/// An answer of an authority, in JSON.
fn answer(body: &str) -> Fault {
    let length = body.len();
    Fault::Answer(format!(
        "HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
}

#[test]
fn the_doctor_asks_whether_the_authority_may_issue() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(resolver) = Resolver::answering(&origin) else {
        return;
    };
    let Some(pebble) = Pebble::start(&pki) else {
        return;
    };
    let names = NameServer::start();
    let config = config_for(&pebble, &origin, "[\"a.hooks.test\", \"b.hooks.test\"]");
    let config = Proxy::write(&pki, &config);
    let server = names.address.to_string();
    let check = |expected: &[&str]| {
        let meta = "{\"newOrder\": \"https://x\", \"meta\": {\"caaIdentities\": [\"ca.example\"]}}";
        pebble.plays("/dir", answer(meta));
        let said = doctor(&config, &resolver, &["--name-server", &server], "CAA");
        for text in expected {
            assert!(said.contains(text), "{text}: {said}");
        }
    };
    let issue = |values: &[&str]| Records::Issue(values.iter().map(ToString::to_string).collect());
    check(&["pass", "no record restricts authorities"]);
    names.says("hooks.test", issue(&["ca.example"]));
    check(&["pass", "the records of hooks.test allow ca.example"]);
    // Those of the name itself count more than those above it.
    names.says("b.hooks.test", issue(&["other.example", ";"]));
    check(&[
        "fail",
        "b.hooks.test: the records of b.hooks.test allow only other.example",
        "CAA 0 issue \"ca.example\"",
    ]);
    let many = (0..40).map(|number| format!("other-{number}.example"));
    names.says(
        "b.hooks.test",
        Records::Long(many.chain(["CA.example".into()]).collect()),
    );
    check(&["pass", "b.hooks.test"]);
    let account = "https://ca.example/acct/7";
    let record = format!("{{\"url\": \"{account}\", \"email\": null}}");
    let folder = authority_folder(&pebble.url("/dir"));
    names.says(
        "b.hooks.test",
        issue(&[&format!("ca.example; accounturi={account}")]),
    );
    check(&["fail", "there is no other to compare it with"]);
    keep(&pki, &format!("{folder}/account.json"), record.as_bytes());
    check(&["pass"]);
    names.says(
        "b.hooks.test",
        issue(&["ca.example; validationmethods=http-01"]),
    );
    check(&["fail", "only the validations http-01", "add tls-alpn-01"]);
    names.says("b.hooks.test", Records::Failure);
    check(&["fail", "SERVFAIL", "authorities refuse then"]);
    names.says("b.hooks.test", Records::Silence);
    check(&["fail", "no answer within"]);
}

#[test]
fn the_doctor_asks_the_authority_what_it_offers_and_what_time_it_is() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(resolver) = Resolver::answering(&origin) else {
        return;
    };
    let Some(pebble) = Pebble::start(&pki) else {
        return;
    };
    let config = config_for(&pebble, &origin, "[\"a.hooks.test\"]");
    let check = |config: &str, expected: &[&str]| {
        let config = Proxy::write(&pki, config);
        let said = doctor(&config, &resolver, &[], "ACME authority");
        for text in expected {
            assert!(said.contains(text), "{text}: {said}");
        }
    };
    check(
        &config,
        &["pass", "answers, and has the time of this machine"],
    );
    let other = config.edit("domains", "profile = \"none-such\", domains");
    check(
        &other,
        &["fail", "does not offer the profile \"none-such\""],
    );
    pebble.plays(
        "/dir",
        answer("{\"newOrder\": \"x\", \"meta\": {\"externalAccountRequired\": true}}"),
    );
    check(&config, &["fail", "set tls.acme.eab"]);
    pebble.plays("/dir", answer("<html>Welcome</html>"));
    check(
        &config,
        &["fail", "answers 200 with what is not a directory"],
    );
    let Fault::Answer(late) = answer("{\"newOrder\": \"x\"}") else {
        unreachable!()
    };
    let date = "HTTP/1.1 200 X\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT";
    pebble.plays(
        "/dir",
        Fault::Answer(late.replacen("HTTP/1.1 200 X", date, 1)),
    );
    check(
        &config,
        &["fail", "s ahead of the authority's", "synchronise"],
    );
    let unknown = config.edit(", directory_ca = \"ca.pem\"", "");
    check(&unknown, &["fail", "tls.acme.directory_ca"]);
}
