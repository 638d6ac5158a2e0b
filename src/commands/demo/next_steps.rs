//! Instructions for requests to the proxy of the demo with curl.

use super::setup::Setup;
use crate::auth::secret::Secret;
use crate::commands::output::shell_word;
use crate::webhook::challenge;

/// Returns two commands to copy, and what they print.
pub(super) fn text(setup: &Setup) -> String {
    let file = |name: &str| shell_word(&setup.file(name));
    let identity = format!(
        "curl --cacert {} \\\n    --cert {} \\\n    --key {} \\\n    -H 'Authorization: Bearer {}'",
        file("demo-root-ca.pem"),
        file("netdata.pem"),
        file("netdata.key"),
        setup.token
    );
    let url = setup.url();
    let answer = challenge::answer(&Secret::new(setup.secret.clone().into()), "abc");
    format!(
        "The proxy continues to listen on {url}, with the configuration in\n\
         {config}\n\n\
         An alert of your own, which the application receives:\n\n  \
         {identity} \\\n    -H 'Content-Type: application/json' \\\n    --data-binary @{alert} \\\n    {url}\n\n\
         A challenge, whose response must be\n\n  {answer}\n\n  \
         {identity} \\\n    '{url}?crc_token=abc'\n\n\
         Omit the certificate, the token or a quote of the alert to see a refusal.\n\
         Requests are shown here, and the proxy's log on standard error. Ctrl-C stops the demo and removes the files.\n",
        config = setup.file("config.toml").display(),
        alert = file("alert.json"),
    )
}
