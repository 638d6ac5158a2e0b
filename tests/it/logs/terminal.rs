//! The log and the reports of commands on a terminal: short, in colour, and in whole words.

use super::ALERT;
use crate::support::{
    Edit as _, Origin, Pki, Proxy, Screen, Sender, WEBHOOK, eventually, free_address,
};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A proxy whose standard error is a terminal.
struct OnScreen {
    child: Child,
    screen: Screen,
    sender: Sender,
}

impl OnScreen {
    fn spawn(pki: &Pki, config: &str, change: impl FnOnce(&mut Command)) -> Self {
        let address = free_address();
        let path = Proxy::write(pki, &config.edit("127.0.0.1:0", &address.to_string()));
        let (screen, theirs) = Screen::open(100);
        let mut command = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
        command.args(["run", "--config"]).arg(path);
        command
            .env("TERM", "xterm")
            .env("TZ", "UTC")
            .env_remove("NO_COLOR")
            .stderr(theirs);
        change(&mut command);
        // Whatever fails from here on, it ends with this.
        let proxy = Self {
            child: command.spawn().unwrap(),
            screen,
            sender: sender(pki, address),
        };
        drop(command);
        proxy.wait_for("ready");
        proxy
    }

    /// The first line with `text`, without colours.
    fn wait_for(&self, text: &str) -> String {
        eventually(&format!("{text} in {:?}", self.screen.text()), || {
            let shown = self.screen.plain();
            let mut lines = shown.lines();
            lines.find(|line| line.contains(text)).map(str::to_owned)
        })
    }
}

impl Drop for OnScreen {
    fn drop(&mut self) {
        // An error says that it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client with the certificate of Netdata Cloud.
fn sender(pki: &Pki, address: SocketAddr) -> Sender {
    let config = crate::support::client_config(Some(&pki.netdata()), rustls::ALL_VERSIONS);
    Sender {
        address,
        config: config.into(),
    }
}

fn is_time(word: &str) -> bool {
    regex::Regex::new("^[0-2][0-9]:[0-5][0-9]:[0-5][0-9]$")
        .unwrap()
        .is_match(word)
}

const NAMED: &str = "{\"alert\":{\"name\":\"disk_space_usage\",\"state\":{\"status\":\"Critical\"}},\
                     \"node\":{\"hostname\":\"db-1\"}}";

#[test]
fn on_a_terminal_a_request_is_one_short_line() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let config = Proxy::config_of_group(&[&origin], "");
    let proxy = OnScreen::spawn(&pki, &config, |_| {});
    assert_eq!(proxy.sender.post(NAMED).status, 200);
    let line = proxy.wait_for("disk_space_usage");
    let (time, rest) = line.split_once(' ').unwrap();
    assert!(is_time(time), "{line}");
    let rest = rest
        .strip_prefix("200 alert critical disk_space_usage db-1 → app ")
        .unwrap_or_else(|| panic!("{line}"));
    assert!(
        rest.ends_with(" ms") && rest.split(' ').count() == 2,
        "{line}"
    );

    assert_eq!(proxy.sender.get("?crc_token=abc").status, 200);
    proxy.wait_for(&format!(" 200 challenge {WEBHOOK} "));
    let long = format!("/{}", "x".repeat(500));
    proxy
        .sender
        .send("GET", &long, "", "")
        .unwrap()
        .refuses(404, "not_found");
    let line = proxy.wait_for(" 404 GET /xxx");
    assert!(line.chars().count() == 120 && line.contains('…'), "{line}");
    assert!(line.ends_with(" ms"), "{line}");
    proxy.sender.post("[]").refuses(400, "invalid_json");
    proxy.wait_for(" 400 POST /webhooks/netdata invalid_json: ");
    // The lost notification has no second line.
    let dead = proxy.screen.text();
    assert!(
        dead.contains("\u{1b}[32m200\u{1b}[0m") && dead.contains("\u{1b}[33m404\u{1b}[0m"),
        "{dead:?}"
    );
    for line in proxy.screen.plain().lines() {
        let time = line.split(' ').next().unwrap();
        assert!(is_time(time), "{line}");
    }
}

#[test]
fn a_lost_notification_is_one_line_as_well() {
    let pki = Pki::new();
    let config = Proxy::config_for("http://127.0.0.1:1", "require", "");
    let proxy = OnScreen::spawn(&pki, &config, |_| {});
    proxy
        .sender
        .post(NAMED)
        .refuses(502, "upstream_unreachable");
    let line = proxy.wait_for("disk_space_usage");
    assert!(
        line.contains(
            " 502 alert critical disk_space_usage db-1 → http://127.0.0.1:1 upstream_unreachable: Cannot connect"
        ),
        "{line}"
    );
    proxy.sender.get("?crc_token=abc");
    proxy.wait_for(" challenge ");
    assert_eq!(proxy.screen.plain().matches("disk_space_usage").count(), 1);
    assert!(proxy.screen.text().contains("\u{1b}[31m502\u{1b}[0m"));
}

#[test]
fn all_fields_come_with_v_or_with_the_format_text() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let base = Proxy::config(&origin, "require", "");
    let text = format!("{base}[log]\nformat = \"text\"\n");
    let json = format!("{base}[log]\nformat = \"json\"\n");
    let debug = format!("{base}[log]\nlevel = \"debug\"\n");
    for (config, argument) in [
        (&base, Some("-v")),
        (&base, Some("--verbose")),
        (&text, None),
        (&debug, None),
        (&json, Some("-v")),
    ] {
        let proxy = OnScreen::spawn(&pki, config, |command| {
            command.args(argument);
        });
        assert_eq!(proxy.sender.post(ALERT).status, 200);
        let line = proxy.wait_for("body_bytes");
        assert!(line.contains("request_id"), "{line}");
        assert_eq!(line.starts_with('{'), config == &json, "{line}");
    }
}

#[test]
fn elsewhere_the_log_has_all_fields_and_no_colours() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let config = Proxy::config(&origin, "require", "");
    let proxy = Proxy::launch(&Proxy::write(&pki, &config), |command| {
        command.env("TERM", "xterm").env_remove("NO_COLOR");
    });
    proxy.wait_for_event("ready");
    assert_eq!(
        Sender::to(&proxy, Some(&pki.netdata())).post(ALERT).status,
        200
    );
    let line = proxy.wait_for_event("request");
    assert!(line.contains("body_bytes="), "{line}");
    assert!(!proxy.log().join("").contains('\u{1b}'));
}

#[test]
fn there_are_no_colours_where_they_are_not_wanted() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let config = Proxy::config(&origin, "require", "");
    for (variable, value, is_coloured) in [
        ("NO_COLOR", "1", false),
        ("NO_COLOR", "", true),
        ("TERM", "dumb", false),
    ] {
        let proxy = OnScreen::spawn(&pki, &config, |command| {
            command.env(variable, value);
        });
        assert_eq!(proxy.sender.post(ALERT).status, 200);
        proxy.wait_for(" 200 alert ");
        let text = proxy.screen.text();
        assert_eq!(
            text.contains('\u{1b}'),
            is_coloured,
            "{variable}={value}: {text:?}"
        );
    }
}

/// What a command shows on a terminal of so many columns.
fn shown(directory: &Path, arguments: &[&str], columns: u16) -> Screen {
    let (screen, theirs) = Screen::open(columns);
    let status = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .args(arguments)
        .current_dir(directory)
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .stdout(theirs.try_clone().unwrap())
        .stderr(theirs)
        .status()
        .unwrap();
    assert!(status.code().is_some());
    screen
}

/// Asserts that lines are no wider than the terminal, and that no word of `whole` is broken.
fn is_wrapped(screen: &Screen, whole: &str, columns: usize) {
    let text = eventually("the end of the output", || {
        let text = screen.plain();
        let is_complete = whole
            .split_whitespace()
            .all(|word| text.split_whitespace().any(|shown| shown == word));
        is_complete.then_some(text)
    });
    for line in text.lines() {
        let is_one_word = line.trim_start().matches(' ').count() < 2;
        assert!(line.chars().count() <= columns || is_one_word, "{line}");
    }
}

#[test]
fn check_and_doctor_are_in_colour_and_in_whole_words() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let address = free_address();
    let dead = "[[routes]]\npath = \"/dead\"\nupstream = \"http://127.0.0.1:1\"";
    let config = Proxy::config(&origin, "request", dead).edit("127.0.0.1:0", &address.to_string());
    let path = Proxy::write(&pki, &config);
    let path = path.to_str().unwrap();
    for (arguments, colour) in [
        (
            &["check", "--config", path][..],
            "\u{1b}[1;33mwarning\u{1b}[0m: ",
        ),
        (&["doctor", "--config", path], "\u{1b}[1;31mfail\u{1b}[0m  "),
    ] {
        let whole = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
            .args(arguments)
            .current_dir(pki.path())
            .output()
            .unwrap();
        let whole = String::from_utf8([whole.stderr, whole.stdout].concat()).unwrap();
        assert!(!whole.contains('\u{1b}'), "{whole}");
        let screen = shown(pki.path(), arguments, 72);
        is_wrapped(&screen, &whole, 72);
        assert!(screen.text().contains(colour), "{:?}", screen.text());
    }
}
