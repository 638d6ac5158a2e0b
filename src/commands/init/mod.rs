//! `init`: a directory to start with: a configuration that explains itself, and a secret.

use super::new_files::{self, NewFile};
use super::output::shell_word;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::crypto::aws_lc_rs;
use std::path::Path;

const CONFIG: &str = include_str!("config.toml");

/// Bytes of randomness in a secret, as many as those of the HMAC that it is for.
const SECRET: usize = 32;

/// Writes config.toml and challenge.secret into `directory`, and returns the next steps.
///
/// # Errors
/// If a file exists already or could not be written.
pub(super) fn make(directory: &Path) -> Result<String, String> {
    let files = [
        NewFile::public("config.toml", CONFIG),
        NewFile::private("challenge.secret", secret()? + "\n"),
    ];
    let directory = new_files::write_all(directory, &files)?;
    Ok(next_steps(&directory))
}

fn secret() -> Result<String, String> {
    let mut bytes = [0; SECRET];
    let random = aws_lc_rs::default_provider().secure_random;
    let filled = random.fill(&mut bytes);
    filled.map_err(|_| "the system has no random numbers")?;
    Ok(BASE64_STANDARD.encode(bytes))
}

fn next_steps(directory: &Path) -> String {
    let file = |name: &str| shell_word(&directory.join(name));
    let (config, secret) = (file("config.toml"), file("challenge.secret"));
    let (chain, key) = (file("fullchain.pem"), file("privkey.pem"));
    format!(
        "Created:\n\n  \
         {config}  configuration, explained\n  \
         {secret}  secret for Netdata Cloud's challenge\n\n\
         Next:\n\n\
         1. Put the server's certificate with its chain, and its key, here:\n\n  \
         {chain}\n  \
         {key}\n\n\
         2. Set upstream in config.toml to your application.\n\n\
         3. Check, and run:\n\n  \
         netdata-webhook-proxy check {config}\n  \
         netdata-webhook-proxy run --config {config}\n\n\
         4. From another machine, examine the URL, here of hooks.example:\n\n  \
         netdata-webhook-proxy doctor https://hooks.example:8443/webhooks/netdata\n\n\
         5. In Netdata Cloud, add a webhook with that URL, and the content of challenge.secret as its challenge secret."
    )
}
