//! Commands for requests to the proxy of the demo, to copy.

use super::setup::Setup;
use crate::auth::secret::Secret;
use crate::commands::output::shell_word;
use crate::webhook::challenge;
use std::path::PathBuf;

/// Returns commands to copy, and what they print.
pub(super) fn text(setup: &Setup) -> String {
    format!(
        "{}\nAn alert of your own, which the application receives:\n\n  {}\n\n\
         The same with curl, and a body to edit:\n\n  {}\n\n\
         A challenge, whose response must be\n\n  {}\n\n  {}\n\n{ENDING}",
        introduction(setup),
        send(setup),
        curl_alert(setup),
        response(setup),
        curl_challenge(setup),
    )
}

const ENDING: &str = "\
Omit the certificate, the token or a quote of the alert to see a refusal.
Requests are shown here, and the proxy's log on standard error. Ctrl-C stops
the demo and removes the files.
";

fn introduction(setup: &Setup) -> String {
    format!(
        "The proxy continues to serve, with the configuration in\n  {}\n\
         The status page shows what was received and refused:\n  http://{}/\n",
        setup.file("config.toml").display(),
        setup.admin
    )
}

fn send(setup: &Setup) -> String {
    let program = shell_word(&program());
    let token = file(setup, "bearer.secret");
    let options = identity(setup, "--ca", &format!("--bearer-file {token}"));
    format!("{program} send alert{options} \\\n    {}", setup.url())
}

fn curl_alert(setup: &Setup) -> String {
    let (alert, url) = (file(setup, "alert.json"), setup.url());
    format!(
        "{} \\\n    -H 'Content-Type: application/json' \\\n    --data-binary @{alert} \\\n    {url}",
        curl(setup)
    )
}

fn curl_challenge(setup: &Setup) -> String {
    format!("{} \\\n    '{}?crc_token=abc'", curl(setup), setup.url())
}

fn curl(setup: &Setup) -> String {
    let authorization = format!("-H 'Authorization: Bearer {}'", setup.token);
    format!("curl{}", identity(setup, "--cacert", &authorization))
}

/// Returns the options for the certificates and the token, one a line.
fn identity(setup: &Setup, ca_option: &str, authorization: &str) -> String {
    let ca = file(setup, "demo-root-ca.pem");
    let (certificate, key) = (file(setup, "netdata.pem"), file(setup, "netdata.key"));
    format!(
        " \\\n    {ca_option} {ca} \\\n    --cert {certificate} \\\n    --key {key} \\\n    {authorization}"
    )
}

/// Returns the response to a challenge with the token `abc`.
fn response(setup: &Setup) -> String {
    challenge::answer(&Secret::new(setup.secret.clone().into()), "abc")
}

fn file(setup: &Setup, name: &str) -> String {
    shell_word(&setup.file(name))
}

/// Returns the path of this program, as it was started.
fn program() -> PathBuf {
    let name = || PathBuf::from("netdata-webhook-proxy");
    std::env::args_os().next().map_or_else(name, PathBuf::from)
}
