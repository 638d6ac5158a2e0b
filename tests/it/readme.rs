//! What the README and the sample configurations say is true.

use crate::support::{
    Origin, Pki, Proxy, README, WEBHOOK, blocks, commands, first_column, free_address,
};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

/// A directory with every file that the examples name.
fn example_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    // For more hosts than one, so that it is not known which of them requests carry.
    let certified =
        rcgen::generate_simple_self_signed(["localhost", "hooks.example"].map(str::to_owned))
            .unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("fullchain.pem", &certified.cert.pem());
    write("privkey.pem", &certified.signing_key.serialize_pem());
    let protect = |key| {
        std::fs::set_permissions(directory.path().join(key), Permissions::from_mode(0o600)).unwrap()
    };
    protect("privkey.pem");
    write("client.pem", &certified.cert.pem());
    write("client.key", &certified.signing_key.serialize_pem());
    protect("client.key");
    for secret in ["challenge.secret", "basic.secret", "bearer.secret"] {
        write(secret, "YOUR_CHALLENGE_SECRET\n");
    }
    directory
}

fn program(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .current_dir(directory)
        .args(arguments)
        .output()
        .unwrap()
}

fn check_passes(text: &str) {
    let directory = example_directory();
    // Applications that answer, wherever this runs, and under the name that the sample gives them.
    let theirs = Pki::of("Their Root CA");
    std::fs::copy(
        theirs.path().join("ca.pem"),
        directory.path().join("upstream-ca.pem"),
    )
    .unwrap();
    let certificate = theirs.server("app.internal", |_| {});
    let spawn = |is_tls: bool| match is_tls {
        true => Origin::spawn_tls(Pki::server_config(&certificate, None)),
        false => Origin::spawn(),
    };
    let applications = ["127.0.0.1:3000", "10.0.0.1:3000", "10.0.0.2:3000"]
        .map(|address| (address, spawn(text.contains(&format!("https://{address}")))));
    let text = applications
        .iter()
        .fold(text.to_owned(), |text, (address, application)| {
            text.replace(address, &application.address().to_string())
        });
    // What other servers have there.
    let text = text
        .replace("/etc/ssl/hooks.pem", "fullchain.pem")
        .replace("/etc/ssl/hooks.key", "privkey.pem");
    std::fs::write(directory.path().join("config.toml"), &text).unwrap();
    let output = program(directory.path(), &["check", "--config", "config.toml"]);
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.stderr.is_empty(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn every_configuration_in_the_readme_passes_check() {
    let configurations = blocks("toml");
    assert!(configurations.len() >= 4);
    configurations.into_iter().for_each(check_passes);
}

#[test]
fn every_sample_configuration_passes_check() {
    for sample in ["example", "mtls", "basic", "bearer"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("conf/{sample}.toml"));
        check_passes(&std::fs::read_to_string(path).unwrap());
    }
}

/// Where the commands that begin like this are tried; all others are tried here.
const TRIED_ELSEWHERE: [(&str, &str); 15] = [
    ("cargo run -- demo", "demo"),
    ("cargo test", "this is it"),
    (
        "cargo bench --bench ",
        "takes minutes: here, it is only looked for",
    ),
    ("install ", "setup, and send::identity"),
    ("ln ", "setup"),
    ("openssl ", "setup"),
    ("kill ", "setup"),
    ("CREDENTIALS_DIRECTORY=", "setup"),
    ("netdata-webhook-proxy run ", "setup, and everywhere else"),
    ("netdata-webhook-proxy doctor ", "below"),
    (
        "netdata-webhook-proxy import ",
        "import, with what stands there and with many others",
    ),
    ("certbot ", "not without Let's Encrypt: setup runs the hook"),
    (
        "podman ",
        "not without an engine: setup enters what the image holds",
    ),
    (
        "systemctl enable ",
        "not without systemd: setup makes its links, and has the units verified",
    ),
    (
        "systemctl ",
        "not without systemd: the module systemd is in its place",
    ),
];

/// What a shell makes of a line of the README, with the program in its path.
fn shell(directory: &Path, line: &str) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
    let path = format!(
        "{}:{}",
        program.parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    let mut shell = Command::new("sh");
    // The server's certificate is what a public authority would have issued.
    shell
        .current_dir(directory)
        .env("PATH", path)
        .env("SSL_CERT_FILE", directory.join("fullchain.pem"));
    shell.args(["-c", line]).output().unwrap()
}

/// A proxy with the first configuration of the README, in front of `origin`, that trusts the
/// certificates of `send`.
fn proxy(directory: &Path, origin: &Origin) -> Proxy {
    let config = blocks("toml")[0]
        .replace("0.0.0.0:8443", "127.0.0.1:0")
        .replace("http://127.0.0.1:3000", &origin.url);
    let path = directory.join("running.toml");
    let authority = "ca = [\"builtin:netdata\", \"sender-ca.pem\"]";
    assert!(README.contains(authority));
    std::fs::copy(
        directory.join("sender/ca.pem"),
        directory.join("sender-ca.pem"),
    )
    .unwrap();
    std::fs::write(&path, format!("{config}\n[tls.client]\n{authority}\n")).unwrap();
    let proxy = Proxy::launch(&path, |_| {});
    proxy.wait_for_event("ready");
    proxy
}

#[test]
fn the_commands_in_the_readme_work() {
    for needed in ["cargo run -- demo", "cargo test"] {
        assert!(commands().any(|command| command == needed), "{needed}");
    }
    let directory = example_directory();
    std::fs::write(directory.path().join("config.toml"), blocks("toml")[0]).unwrap();
    let is_tried_elsewhere = |command: &&str| {
        TRIED_ELSEWHERE
            .iter()
            .any(|(start, _)| command.starts_with(start))
    };
    let (origin, mut running) = (Origin::spawn(), None);
    let mut tried = Vec::new();
    for command in commands().filter(|command| !is_tried_elsewhere(command)) {
        assert!(
            command.starts_with("netdata-webhook-proxy "),
            "who tries {command:?}?"
        );
        let url = "https://hooks.example/";
        let line = match command.contains(url) {
            true => {
                let proxy: &Proxy = running.get_or_insert_with(|| proxy(directory.path(), &origin));
                command.replace(
                    url,
                    &format!("https://localhost:{}/", proxy.address(0).port()),
                )
            }
            false => command.to_owned(),
        };
        let output = shell(directory.path(), &line);
        let said =
            [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        assert!(output.status.success(), "{line}: {said:?}");
        tried.push(command.split(' ').nth(1).unwrap());
    }
    for command in ["check", "challenge", "send", "man", "completions"] {
        assert!(tried.contains(&command), "{command} in {tried:?}");
    }
    assert!(origin.received().len() > 100, "of send");
    for (start, _) in TRIED_ELSEWHERE {
        assert!(
            commands().any(|command| command.starts_with(start)),
            "nobody says {start:?}"
        );
    }
}

#[test]
fn the_readme_names_every_command_and_what_send_says() {
    let help = program(Path::new("."), &["--help"]);
    let help = String::from_utf8(help.stdout).unwrap();
    let listed = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty());
    let names: Vec<_> = listed
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(names.len() >= 9, "{names:?}");
    let table = README
        .split("| `netdata-webhook-proxy …` | |")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    for name in names {
        assert!(table.contains(&format!("`{name}`")), "{name}");
    }
    let origin = Origin::spawn();
    let output = program(Path::new("."), &["send", "alert", &origin.url, "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let results = report["results"][0].as_object().unwrap();
    for key in report.as_object().unwrap().keys().chain(results.keys()) {
        assert!(README.contains(&format!("`{key}`")), "{key}");
    }
}

#[test]
fn the_readme_names_every_option_of_send() {
    let mut options = Vec::new();
    for what in [
        "challenge",
        "alert",
        "reachability",
        "test",
        "all",
        "file",
        "certificate",
    ] {
        let help =
            String::from_utf8(program(Path::new("."), &["send", what, "--help"]).stdout).unwrap();
        let words = help
            .split_whitespace()
            .filter(|word| word.starts_with("--"))
            .map(|word| {
                let end = word
                    .find(|c: char| !(c.is_ascii_lowercase() || c == '-'))
                    .unwrap_or(word.len());
                word[..end].to_owned()
            });
        options.extend(words.filter(|word| word.len() > 2 && word != "--help"));
    }
    assert!(options.len() > 100, "{options:?}");
    let send = README
        .split("\n## Send\n")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    for option in options {
        assert!(send.contains(&format!("`{option}")), "{option}");
    }
}

#[test]
fn doctor_makes_the_checks_in_the_readme() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let config =
        Proxy::config(&origin, "require", "").replace("127.0.0.1:0", &free_address().to_string());
    let proxy = Proxy::spawn(&pki, &config);
    std::fs::copy(&proxy.config, pki.path().join("config.toml")).unwrap();
    let url = format!("https://{}{WEBHOOK}", proxy.address(0));
    let documented = first_column("| check | what is looked at |");
    for command in commands().filter(|command| command.starts_with("netdata-webhook-proxy doctor "))
    {
        let command = command.replace("https://hooks.example/webhooks/netdata", &url) + " --json";
        let output = program(pki.path(), &command.split(' ').skip(1).collect::<Vec<_>>());
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = report["targets"][0]["checks"].as_array().unwrap();
        assert!(checks.len() > 10, "{command}: {report:#}");
        for check in checks.iter().map(|check| check["check"].as_str().unwrap()) {
            assert!(documented.contains(&check), "{check}");
        }
    }
}

#[test]
fn the_benchmarks_in_the_readme_exist() {
    let manifest = include_str!("../../Cargo.toml");
    for command in commands().filter_map(|command| command.strip_prefix("cargo bench --bench ")) {
        let name = command.split(' ').next().unwrap();
        assert!(
            manifest.contains(&format!("[[bench]]\nname = \"{name}\"\n")),
            "{name}"
        );
    }
}

#[test]
fn every_line_of_the_log_in_the_readme_is_one() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let lines = first_column("| line | level | when |");
    assert!(lines.len() > 10);
    for line in lines {
        assert!(sources.contains(&format!("\"{line}\"")), "{line}");
    }
}

/// Everything below a directory, as one text.
fn sources(directory: &Path) -> String {
    let entries = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            if path.is_dir() {
                sources(&path)
            } else {
                std::fs::read_to_string(path).unwrap()
            }
        })
        .collect()
}

/// Every heading's own, as forges make them.
fn anchors() -> Vec<String> {
    let headings = README
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches(['#', ' ']));
    let kept = |heading: &str| {
        heading
            .to_lowercase()
            .replace(|c: char| !c.is_alphanumeric() && !" -_".contains(c), "")
    };
    headings
        .map(|heading| kept(heading).replace(' ', "-"))
        .collect()
}

#[test]
fn every_link_in_the_readme_leads_somewhere() {
    let links: Vec<_> = README
        .split("](")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap())
        .collect();
    assert!(links.len() > 30);
    for link in links.iter().filter(|link| !link.starts_with("https://")) {
        let found = match link.strip_prefix('#') {
            Some(anchor) => anchors().iter().any(|heading| heading == anchor),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join(link).exists(),
        };
        assert!(found, "{link}");
    }
}

#[test]
fn the_library_is_used_as_its_documentation_has_it() {
    let documented = include_str!("../../src/lib.rs")
        .replace("\n//! ", "\n")
        .replace("\n//!\n", "\n\n");
    let excerpt = blocks("rust")
        .into_iter()
        .find(|block| block.contains("request_filter"))
        .unwrap();
    let indented = excerpt
        .lines()
        .map(|line| format!("    {line}\n"))
        .collect::<String>();
    assert!(documented.contains(&indented), "{indented}");
}

#[test]
fn the_readme_explains_every_code_and_every_key() {
    let codes = include_str!("../../src/rejection.rs")
        .split("pub fn status")
        .next()
        .unwrap();
    let codes: Vec<_> = codes
        .lines()
        .filter_map(|line| line.split("=> \"").nth(1)?.split('"').next())
        .collect();
    assert!(codes.len() > 20);
    for code in codes {
        assert!(README.contains(&format!("`{code}`")), "{code}");
    }
    let example = include_str!("../../conf/example.toml");
    let keys = example
        .lines()
        .filter(|line| !line.starts_with(['#', '[', ' ']))
        .filter_map(|line| line.split_once(" = "));
    for (key, _) in keys {
        assert!(README.contains(&format!("{key}`")), "{key}");
    }
}
