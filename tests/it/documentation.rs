//! The README, the manual and the sample configurations are true.

use crate::support::{
    Edit as _, Origin, PAGES, Pki, Proxy, WEBHOOK, blocks, commands, complete, first_column,
    free_address, is_documented, page,
};
use std::collections::BTreeSet;
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
    write("signing.secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
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
    if text.contains("database.url") {
        let Some(server) = crate::replicas::server() else {
            return;
        };
        let url = server.create_database("UTF8");
        std::fs::write(directory.path().join("database.url"), url).unwrap();
    }
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
fn every_configuration_in_the_manual_passes_check() {
    let configurations = blocks("toml");
    assert!(configurations.len() >= 4);
    for fragment in configurations {
        check_passes(&complete(fragment));
    }
}

#[test]
fn every_sample_configuration_passes_check() {
    for sample in ["example", "mtls", "basic", "bearer"] {
        let path = root().join(format!("conf/{sample}.toml"));
        check_passes(&std::fs::read_to_string(path).unwrap());
    }
}

/// Where the commands that begin like this are tried; all others are tried here.
const TRIED_ELSEWHERE: [(&str, &str); 24] = [
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
    ("sqlite3 ", "storage::recovery, with those that follow it"),
    ("sed ", "storage::recovery"),
    (
        "netdata-webhook-proxy queue export --file recovered.db ",
        "storage::recovery",
    ),
    (
        "netdata-webhook-proxy send file recovered.jsonl ",
        "storage::recovery",
    ),
    ("CREDENTIALS_DIRECTORY=", "setup"),
    ("netdata-webhook-proxy run ", "setup, and everywhere else"),
    ("netdata-webhook-proxy doctor ", "below"),
    ("netdata-webhook-proxy check /etc/", "setup"),
    (
        "netdata-webhook-proxy import ",
        "import, with what stands there and with many others",
    ),
    (
        "apt install ",
        "packages::life_cycle, in a container with systemd",
    ),
    ("editor ", "packages::life_cycle writes what it says"),
    (
        "netdata-webhook-proxy check --credentials /etc/",
        "packages::life_cycle, in a container with systemd",
    ),
    ("kubectl ", "not without a cluster: kubernetes validates it"),
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

/// Runs a documented command in a shell, with the program in its path.
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

/// A proxy with the smallest configuration, in front of `origin`, that trusts the
/// certificates of `send`.
fn proxy(directory: &Path, origin: &Origin) -> Proxy {
    let config = blocks("toml")[0]
        .edit("0.0.0.0:8443", "127.0.0.1:0")
        .edit("http://127.0.0.1:3000", &origin.url);
    let path = directory.join("running.toml");
    let authority = "ca = [\"builtin:netdata\", \"sender-ca.pem\"]";
    assert!(is_documented(authority));
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
fn the_documented_commands_work() {
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
                command.edit(
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
fn the_manual_names_every_command_and_what_send_prints() {
    let help = program(Path::new("."), &["--help"]);
    let help = String::from_utf8(help.stdout).unwrap();
    let listed = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty());
    let names: Vec<_> = listed
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(names.len() >= 9, "{names:?}");
    let documented = first_column("| command | purpose |");
    for name in names {
        assert!(documented.contains(&name), "{name}");
    }
    let origin = Origin::spawn();
    let output = program(Path::new("."), &["send", "alert", &origin.url, "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let results = report["results"][0].as_object().unwrap();
    for key in report.as_object().unwrap().keys().chain(results.keys()) {
        assert!(page("send").contains(&format!("`{key}`")), "{key}");
    }
}

#[test]
fn the_manual_names_every_option_of_send() {
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
    for option in options {
        assert!(page("send").contains(&format!("`{option}")), "{option}");
    }
}

#[test]
fn doctor_makes_the_documented_checks() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let config =
        Proxy::config(&origin, "require", "").edit("127.0.0.1:0", &free_address().to_string());
    let proxy = Proxy::spawn(&pki, &config);
    std::fs::copy(&proxy.config, pki.path().join("config.toml")).unwrap();
    let url = format!("https://{}{WEBHOOK}", proxy.address(0));
    let documented = first_column("| check | expectation |");
    let made = program(
        pki.path(),
        &["send", "certificate", "--forgeries", "throw-away"],
    );
    assert!(made.status.success(), "{made:?}");
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

/// The anchors of a page's headings, as forges and rustdoc make them.
fn anchors(text: &str) -> Vec<String> {
    let kept = |c: char| c.is_alphanumeric() || " -_".contains(c);
    prose(text)
        .filter(|line| line.starts_with('#'))
        .map(|heading| heading.trim_start_matches(['#', ' ']).to_lowercase())
        .map(|heading| heading.replace(|c| !kept(c), "").replace(' ', "-"))
        .collect()
}

/// The lines of a page outside its fenced blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split("```").step_by(2);
    parts.flat_map(str::lines)
}

/// The targets of a page's links, and the labels of links that are defined elsewhere on the page.
fn links(text: &str) -> (Vec<&str>, Vec<&str>) {
    let mut targets: Vec<_> = between(text, "](", ')');
    let definitions = text.lines().filter_map(definition);
    targets.extend(definitions.map(|(_, target)| target));
    (targets, between(text, "][", ']'))
}

fn between<'t>(text: &'t str, start: &str, end: char) -> Vec<&'t str> {
    text.split(start)
        .skip(1)
        .map(|rest| rest.split(end).next().unwrap())
        .collect()
}

/// The label and the target of a line that defines a link.
fn definition(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix('[')?.split_once("]: ")
}

#[test]
fn every_link_leads_to_a_heading_or_a_file() {
    let mut found = 0;
    for (path, text) in PAGES {
        let directory = Path::new(path).parent().unwrap();
        let (targets, labels) = links(text);
        for label in labels {
            assert!(
                text.contains(&format!("\n[{label}]: ")),
                "{path}: {label} is not defined"
            );
        }
        for target in targets {
            found += 1;
            if target.starts_with("https://") {
                continue;
            }
            let (file, anchor) = match target.split_once('#') {
                Some((file, anchor)) => (file, Some(anchor)),
                None => (target, None),
            };
            let linked = match file {
                "" => path.to_owned(),
                file => directory.join(file).to_str().unwrap().to_owned(),
            };
            assert!(root().join(&linked).exists(), "{path}: {target}");
            let is_there = |anchor: &str| {
                let (_, text) = PAGES.iter().find(|(page, _)| *page == linked).unwrap();
                anchors(text).iter().any(|heading| heading == anchor)
            };
            assert!(anchor.is_none_or(is_there), "{path}: {target}");
        }
    }
    assert!(found > 70, "{found}");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// rustdoc shows a page without its links between files; `mod.rs` defines each as a link to a
/// module.
#[test]
fn every_link_between_pages_is_one_between_modules() {
    let modules = include_str!("../../src/manual/mod.rs");
    let defined: BTreeSet<_> = modules
        .lines()
        .filter_map(|line| definition(line.trim_start()))
        .map(|(label, _)| label)
        .collect();
    let pages = PAGES.iter().skip(1);
    let labels: BTreeSet<_> = pages
        .flat_map(|(_, text)| text.lines().filter_map(definition))
        .map(|(label, _)| label)
        .collect();
    assert_eq!(defined, labels);
    for label in labels {
        let module = format!("[{label}]: crate::manual::{label}");
        assert!(modules.contains(&module), "{module}");
    }
    for (path, text) in PAGES.iter().skip(1) {
        assert!(!text.contains(".md)"), "{path} has a link to a file");
    }
}

#[test]
fn every_page_is_listed() {
    let directory = root().join("src/manual");
    let files = std::fs::read_dir(&directory).unwrap();
    let names: BTreeSet<_> = files
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".md").map(str::to_owned))
        .collect();
    let (_, readme) = PAGES[0];
    assert!(readme.lines().count() <= 250, "the README is an overview");
    let help = String::from_utf8(program(Path::new("."), &["help"]).stdout).unwrap();
    for name in &names {
        assert!(readme.contains(&format!("\n| [{name}](src/manual/{name}.md) |")));
        assert!(help.contains(&format!("\n  {name} ")), "{name} in {help}");
        assert!(!page(name).is_empty());
    }
    assert_eq!(names.len(), PAGES.len() - 1);
}

/// The rows of a page's tables, as cells.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = prose(text).filter(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
}

#[test]
fn tables_are_easy_to_read() {
    for (path, text) in PAGES {
        let rows: Vec<_> = rows(text).collect();
        for (index, row) in rows.iter().enumerate() {
            for cell in row {
                let words = cell.split_whitespace().count();
                assert!(words <= 25, "{path} has {words} words in a cell: {cell}");
            }
            let is_head = rows.get(index + 1).is_some_and(|next| {
                next.iter()
                    .all(|cell| cell.trim_matches(':').starts_with("--"))
            });
            assert!(
                !is_head || row.iter().all(|cell| !cell.is_empty()),
                "{path} has an unnamed column: {row:?}"
            );
        }
    }
}

#[test]
fn the_programs_of_the_library_are_those_that_the_tests_run() {
    let programs = [
        include_str!("../../src/manual/pingora_proxy.rs"),
        include_str!("../../src/manual/axum_handler.rs"),
    ];
    let shown = blocks("rust,no_run");
    for program in programs {
        assert!(
            shown.iter().any(|block| block.trim() == program.trim()),
            "{program}"
        );
    }
    assert!(programs[0].lines().count() < 50);
}

#[test]
fn the_manual_explains_every_code_and_every_key() {
    let codes: Vec<_> = include_str!("../../src/rejection/table.rs")
        .split("RefusalRow::new(")
        .filter_map(|row| row.trim_start().strip_prefix('"')?.split('"').next())
        .collect();
    assert!(codes.len() > 20);
    for code in codes {
        assert!(is_documented(&format!("`{code}`")), "{code}");
    }
    let example = include_str!("../../conf/example.toml");
    let keys = example
        .lines()
        .filter(|line| !line.starts_with(['#', '[', ' ']))
        .filter_map(|line| line.split_once(" = "));
    for (key, _) in keys {
        assert!(is_documented(&format!("{key}`")), "{key}");
    }
}
