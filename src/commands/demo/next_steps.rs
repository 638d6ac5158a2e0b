//! Commands for requests to the proxy of the demo, to copy.

use super::setup::Setup;
use crate::auth::secret::Secret;
use crate::commands::output::shell_word;
use crate::webhook::challenge;
use std::path::PathBuf;

/// Returns commands to copy, and what they print.
pub(super) fn text(setup: &Setup) -> String {
    let file = |name: &str| shell_word(&setup.file(name));
    let (ca, certificate, key) = (
        file("demo-root-ca.pem"),
        file("netdata.pem"),
        file("netdata.key"),
    );
    let url = setup.url();
    let curl = format!(
        "curl --cacert {ca} \\\n    --cert {certificate} \\\n    --key {key} \\\n    \
         -H 'Authorization: Bearer {}'",
        setup.token
    );
    let send = format!(
        "{} send alert \\\n    --ca {ca} \\\n    --cert {certificate} \\\n    \
         --key {key} \\\n    --bearer-file {} \\\n    {url}",
        shell_word(&program()),
        file("bearer.secret")
    );
    let answer = challenge::answer(&Secret::new(setup.secret.clone().into()), "abc");
    format!(
        "The proxy continues to serve, with the configuration in\n  {config}\n\
         The status page shows what was received and refused:\n  http://{admin}/\n\n\
         An alert of your own, which the application receives:\n\n  {send}\n\n\
         The same with curl, and a body to edit:\n\n  \
         {curl} \\\n    -H 'Content-Type: application/json' \\\n    --data-binary @{alert} \\\n    {url}\n\n\
         A challenge, whose response must be\n\n  {answer}\n\n  \
         {curl} \\\n    '{url}?crc_token=abc'\n\n\
         Omit the certificate, the token or a quote of the alert to see a refusal.\n\
         Requests are shown here, and the proxy's log on standard error. Ctrl-C stops\n\
         the demo and removes the files.\n",
        config = setup.file("config.toml").display(),
        admin = setup.admin,
        alert = file("alert.json"),
    )
}

/// Returns the path of this program, as it was started.
fn program() -> PathBuf {
    let name = || PathBuf::from("netdata-webhook-proxy");
    std::env::args_os().next().map_or_else(name, PathBuf::from)
}
