//! What a command prints is all there, or it says that it is not; and a reader may go away.

use crate::support::{Operator, Origin, Pki, Proxy, finish, free_address};
use std::fs::OpenOptions;
use std::process::{Command, Output, Stdio};

/// Every command that prints a result, and the code that it ends with where that can be read.
fn commands(pki: &Pki, origin: &Origin, operator: &Operator) -> Vec<(String, i32)> {
    let path = |name: &str| pki.path().join(name).to_str().unwrap().to_owned();
    let config = Proxy::config(origin, "require", "");
    pki.write("config.toml", &config);
    pki.write(
        "admin.toml",
        &format!("{config}[admin]\nlisten = \"{}\"\n", operator.address),
    );
    pki.write(
        "site.conf",
        "server { listen 80; location /hooks { proxy_pass http://127.0.0.1:3000; } }\n",
    );
    let (config, url) = (path("config.toml"), &origin.url);
    [
        (format!("check --config {config}"), 0),
        (format!("health --config {}", path("admin.toml")), 0),
        (format!("doctor {url}"), 1),
        (format!("doctor {url} --json"), 1),
        (
            format!("challenge --secret-file {} abc", path("challenge.secret")),
            0,
        ),
        (
            format!("import nginx {} --webhook /hooks", path("site.conf")),
            0,
        ),
        (format!("send alert {url}"), 0),
        (format!("send alert {url} --json"), 0),
        (format!("send alert http://{}/", free_address()), 3),
        (format!("send alert {url} --dry-run --repeat 1000000"), 0),
        (format!("send certificate {}", path("sender")), 0),
        ("man".into(), 0),
        ("man config".into(), 0),
        ("help configuration".into(), 0),
        ("completions bash".into(), 0),
        ("demo --once".into(), 0),
    ]
    .into()
}

fn run(arguments: &str, out: impl Into<Stdio>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
    command
        .args(arguments.split(' '))
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(Stdio::piped());
    finish(command.spawn().unwrap())
}

/// Runs every command, and says how it ended, with what on standard error.
fn each(out: impl Fn() -> Stdio, judge: impl Fn(&str, i32, Option<i32>, &str)) {
    let (pki, origin) = (Pki::new(), Origin::spawn().lenient());
    let config = Proxy::config(&origin, "require", "") + "[admin]\nlisten = \"127.0.0.1:0\"\n";
    let proxy = Proxy::spawn(&pki, &config);
    for (arguments, code) in commands(&pki, &origin, &Operator::of(&proxy)) {
        let output = run(&arguments, out());
        judge(
            &arguments,
            code,
            output.status.code(),
            &String::from_utf8_lossy(&output.stderr),
        );
    }
}

#[test]
fn what_cannot_be_written_is_a_failure_that_is_said() {
    let full = || {
        OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap()
            .into()
    };
    each(full, |arguments, _, code, err| {
        let last = err.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("error: cannot write to standard output: No space left"),
            "{arguments}: {err}"
        );
        assert_eq!(code, Some(1), "{arguments}");
    });
}

#[test]
fn a_reader_that_went_away_has_seen_enough() {
    let unread = || std::io::pipe().unwrap().1.into();
    each(unread, |arguments, expected, code, err| {
        assert!(
            !err.contains("error:") && !err.contains("panicked"),
            "{arguments}: {err}"
        );
        assert_eq!(code, Some(expected), "{arguments}: {err}");
    });
}
