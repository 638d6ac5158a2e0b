//! How to point a `curl` at the proxy of the demo.

use super::setup::Setup;
use crate::auth::secret::Secret;
use crate::webhook::challenge;
use std::path::Path;

/// Two commands to be copied, and what they print.
pub(super) fn text(setup: &Setup) -> String {
    let file = |name: &str| quoted(&setup.file(name));
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
        "The proxy keeps listening on {url}, with the configuration in\n\
         {config}\n\n\
         An alert of your own, which the application receives:\n\n  \
         {identity} \\\n    -H 'Content-Type: application/json' \\\n    --data-binary @{alert} \\\n    {url}\n\n\
         A challenge, whose answer must be\n\n  {answer}\n\n  \
         {identity} \\\n    '{url}?crc_token=abc'\n\n\
         Leave out the certificate, the token or a quote from the alert, and see it refused.\n\
         Requests show up here, and the proxy's log on standard error. Ctrl-C ends it and removes the files.\n",
        config = setup.file("config.toml").display(),
        alert = file("alert.json"),
    )
}

/// A path as a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    if path
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b))
    {
        return path;
    }
    format!("'{}'", path.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_one_word() {
        assert_eq!(quoted(Path::new("/tmp/demo-x/a.pem")), "/tmp/demo-x/a.pem");
        assert_eq!(quoted(Path::new("/tmp/it's here")), "'/tmp/it'\\''s here'");
    }
}
