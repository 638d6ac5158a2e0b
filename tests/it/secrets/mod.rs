//! Secrets and keys are shown by nothing: no command, no log line, no error, whatever is wrong with
//! them.
//!
//! | fault | kind | held by |
//! |---|---|---|
//! | a PEM whose line ends are lost puts the whole private key, as decimal bytes, into the error of `check`, `run`, a reload, `send --key` and `doctor` | a library's error repeats what it read | [`a_key_that_is_damaged_is_shown_by_nothing`] |
//! | `challenge_secret = "…"`, `bearer = ["…"]`, `password = "…"` are repeated by `check` and in the log of a failed reload | a message repeats the value, the key or the name that it complains of | [`a_secret_in_the_wrong_place_is_shown_by_nothing`], [`whatever_the_secret_is_no_message_holds_it`] |
//! | a line of the file in a syntax error, and what a parser makes of the rest of that line | likewise | the same |
//! | a key pasted where its file's name belongs | the name of a file that is not there is repeated | the same, and [`what_is_pasted_for_a_file_is_not_repeated`] |
//! | `send --key "$(cat client.key)"` | the parser of the command line repeats an argument that it has no use for | [`what_is_pasted_for_a_file_is_not_repeated`], [`an_option_that_takes_no_secret_does_not_repeat_one`] |
//! | `{:?}` of a configuration | a derived `Debug` | [`a_configuration_that_is_printed_shows_no_secret`] |
//!
//! What the log shows at each level is in `logs`.

mod arguments;
mod configuration;
mod key;

use crate::support::{Edit as _, Pki, Proxy};
use std::fmt::Write as _;
use std::process::Command;

const SECRET: &str = "hunter2-Tr0ub4dor&3-correct-horse";

/// What a command says, on both streams, and its exit code.
fn said(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .args(arguments)
        .output()
        .unwrap();
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (output.status.code(), stdout + &stderr)
}

/// A part of `secret` that `text` shows: as it is, or as the numbers of its bytes.
fn revealed(text: &str, secret: &[u8]) -> Option<String> {
    let decimal = |part: &[u8]| {
        part.iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let hex = |part: &[u8]| {
        part.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    };
    secret.windows(12).find_map(|part| {
        let forms = [
            String::from_utf8_lossy(part).into_owned(),
            decimal(part),
            hex(part),
        ];
        forms.into_iter().find(|form| text.contains(form))
    })
}

/// Every way to write `secret`, a string of TOML in its quotes, where a configuration has to say
/// where one is kept. `is_syntax` is what is no TOML.
fn misplaced(quoted: &str, bare: &str) -> Vec<String> {
    let challenge = |value: &str| format!("challenge_secret = {value}\n");
    let auth = |line: &str| format!("[routes.auth]\n{line}\n");
    let basic = |value: &str| {
        auth(&format!(
            "basic = [{{ username = \"netdata\", password = {value} }}]"
        ))
    };
    let bearer = |value: &str| auth(&format!("bearer = [{{ token = {value} }}]"));
    let sign = |value: &str| format!("sign = {{ secret = {value} }}\n");
    let mut all = Vec::new();
    for value in [
        quoted.to_owned(),
        format!("[{quoted}]"),
        format!("[[{quoted}]]"),
        format!("{{ {quoted} = true }}"),
        format!("{{ {quoted} = {quoted} }}"),
        format!("{{ secret = {quoted} }}"),
        format!("{{ value = [{quoted}], file = [{quoted}] }}"),
        format!("{{ file = {quoted} }}"),
        format!("{{ file = {{ path = {quoted} }} }}"),
        format!("{{ env = {quoted} }}"),
        format!("{{ credential = {quoted} }}"),
        format!("{{ sha256 = {quoted} }}"),
        format!("{{ file = {quoted}, env = {quoted}, credential = {quoted} }}"),
        // No TOML.
        bare.to_owned(),
        format!("\"{bare}"),
        format!("\"\"\"{bare}\" {bare}"),
        format!("{{ file = {bare} }}"),
        format!("{{ {bare} }}"),
        format!("{{ file = {quoted} {bare} }}"),
        format!("[{quoted} {bare}]"),
        format!("{quoted}\nchallenge_secret = {quoted}"),
    ] {
        all.extend([
            challenge(&value),
            basic(&value),
            bearer(&value),
            sign(&value),
        ]);
    }
    for line in [
        format!("bearer = [{quoted}]"),
        format!("bearer = {quoted}"),
        format!("bearer = {{ token = {quoted} }}"),
        format!("bearer = [{{ {quoted} = {quoted} }}]"),
        format!("bearer = [{{ secret = {quoted} }}]"),
        format!("basic = [{quoted}]"),
        format!("basic = {quoted}"),
        format!("basic = {{ netdata = {quoted} }}"),
        format!("basic = [{{ netdata = {quoted} }}]"),
        format!("basic = [{{ username = \"netdata\", {quoted} = 1 }}]"),
        format!("basic = [[\"netdata\", {quoted}]]"),
        format!("bearer = [{bare}]"),
        format!("basic = netdata:{bare}"),
    ] {
        all.push(auth(&line));
    }
    all.extend([
        format!("auth = {quoted}\n"),
        format!("auth = [{quoted}]\n"),
        format!("auth = {bare}\n"),
    ]);
    all.extend([
        format!("sign = {quoted}\n"),
        format!("sign = [{quoted}]\n"),
        format!("sign = {{ {quoted} = {quoted} }}\n"),
        format!("sign = {{ file = {quoted} }}\n"),
        format!("sign = [{{ secret = {quoted} }}]\n"),
        format!("sign = {bare}\n"),
    ]);
    all.extend([
        format!("set_headers = {quoted}\n"),
        format!("set_headers = {{ \"X-Key\" = [{quoted}] }}\n"),
    ]);
    all.push("set_headers = { \"X-Key\" = ".to_owned() + &quoted.replacen('"', "\"$", 1) + " }\n");
    all
}

/// A configuration with its one upstream, and what follows in its one route.
fn config(upstream: &str, route: &str) -> String {
    Proxy::config_for(upstream, "request", "")
        .edit("challenge_secret = { file = \"challenge.secret\" }\n", "")
        + route
}

/// The upstreams with a secret in their address, and key files that are a secret.
fn elsewhere(secret: &str) -> Vec<String> {
    let mut all = Vec::new();
    for url in [
        "http://netdata:SECRET@127.0.0.1:1",
        "https://SECRET@127.0.0.1:1",
        "netdata:SECRET@host",
        "http://a:SECRET@",
    ] {
        let url = url.edit("SECRET", secret);
        all.push(config(&url, ""));
        all.push(config(
            "app",
            &format!("[upstreams.app]\nservers = [\"{url}\", 1]\n"),
        ));
    }
    let plain = config("http://127.0.0.1:1", "");
    all.push(plain.edit("server.key", secret));
    all.push(plain.edit("\"server.key\"", &format!("[\"{secret}\"]")));
    let identity =
        format!("client_certificate = \"server.pem\"\nclient_private_key = \"{secret}\"");
    all.push(config(
        "app",
        &format!("[upstreams.app]\nservers = \"https://127.0.0.1:1\"\n{identity}\n"),
    ));
    all
}

fn pki() -> Pki {
    let pki = Pki::new();
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    pki
}
