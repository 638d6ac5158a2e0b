//! What the README and the sample configurations say is true.

use crate::support::{README, blocks};
use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

/// A directory with every file that the examples name.
fn example_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("fullchain.pem", &certified.cert.pem());
    write("privkey.pem", &certified.signing_key.serialize_pem());
    let protect = |key| std::fs::set_permissions(directory.path().join(key), Permissions::from_mode(0o600)).unwrap();
    protect("privkey.pem");
    write("client.pem", &certified.cert.pem());
    write("client.key", &certified.signing_key.serialize_pem());
    protect("client.key");
    write("upstream-ca.pem", netdata_webhook_proxy::config::NETDATA_ROOT_CA);
    for secret in ["challenge.secret", "basic.secret", "bearer.secret"] {
        write(secret, "YOUR_CHALLENGE_SECRET\n");
    }
    directory
}

fn program(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy")).current_dir(directory).args(arguments).output().unwrap()
}

fn check_passes(text: &str) {
    let directory = example_directory();
    // Applications that answer, wherever this runs.
    let applications = ["127.0.0.1:3000", "10.0.0.1:3000", "10.0.0.2:3000"]
        .map(|address| (address, TcpListener::bind("127.0.0.1:0").unwrap()));
    let text = applications.iter().fold(text.to_owned(), |text, (address, application)| {
        text.replace(address, &application.local_addr().unwrap().to_string())
    });
    std::fs::write(directory.path().join("config.toml"), &text).unwrap();
    let output = program(directory.path(), &["check", "--config", "config.toml"]);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_configuration_in_the_readme_passes_check() {
    let configurations = blocks("toml");
    assert!(configurations.len() >= 2);
    configurations.into_iter().for_each(check_passes);
}

#[test]
fn every_sample_configuration_passes_check() {
    for sample in ["example", "mtls", "basic", "bearer"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("conf/{sample}.toml"));
        check_passes(&std::fs::read_to_string(path).unwrap());
    }
}

#[test]
fn the_commands_in_the_readme_work() {
    let commands: Vec<_> = blocks("sh").into_iter().flat_map(str::lines).collect();
    for needed in ["cargo run --release -- demo", "cargo test"] {
        assert!(commands.contains(&needed), "{needed}");
    }
    let directory = example_directory();
    std::fs::write(directory.path().join("config.toml"), blocks("toml")[0]).unwrap();
    let ours = commands.iter().filter_map(|line| line.strip_prefix("netdata-webhook-proxy "));
    let mut tried = 0;
    // `run` is tried by every other test, on ports of their own.
    for arguments in ours.filter(|arguments| !arguments.starts_with("run ")) {
        let output = program(directory.path(), &arguments.split(' ').collect::<Vec<_>>());
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        tried += 1;
    }
    assert!(tried >= 2);
}

#[test]
fn the_readme_explains_every_code_and_every_key() {
    let codes = include_str!("../../src/rejection.rs").split("pub fn status").next().unwrap();
    let codes: Vec<_> = codes.lines().filter_map(|line| line.split("=> \"").nth(1)?.split('"').next()).collect();
    assert!(codes.len() > 20);
    for code in codes {
        assert!(README.contains(&format!("`{code}`")), "{code}");
    }
    let example = include_str!("../../conf/example.toml");
    let keys =
        example.lines().filter(|line| !line.starts_with(['#', '[', ' '])).filter_map(|line| line.split_once(" = "));
    for (key, _) in keys {
        assert!(README.contains(&format!("{key}`")), "{key}");
    }
}
