//! `send certificate`: a temporary authority and a client certificate.

use super::arguments::CertificateOptions;
use crate::commands::client::pki::{Authority, VALIDITY};
use crate::commands::forged_subjects;
use crate::commands::new_files::{self, NewFile};
use crate::commands::output::shell_word;
use std::path::Path;

/// Writes ca.pem, netdata.pem and netdata.key into the directory, and forgeries if they are wanted, and
/// returns instructions. The key of the authority is not written, so it cannot issue any more
/// certificates.
///
/// # Errors
/// If a file exists already or could not be written.
pub(super) fn make(options: &CertificateOptions) -> Result<String, String> {
    let files = issue(&options.common_name, options.forgeries)
        .map_err(|error| format!("cannot create a certificate: {error}"))?;
    let directory = new_files::write_all(&options.directory, &files)?;
    let mut text = instructions(&directory, &options.common_name);
    if options.forgeries {
        text += &on_forgeries(&directory);
    }
    Ok(text)
}

fn issue(common_name: &str, with_forgeries: bool) -> Result<Vec<NewFile>, rcgen::Error> {
    let authority = Authority::new()?;
    let client = authority.client(common_name)?;
    let mut files = vec![
        NewFile::public("ca.pem", authority.certificate_pem()),
        NewFile::public("netdata.pem", client.certificate_pem.clone()),
        NewFile::private("netdata.key", client.key_pem()),
    ];
    if with_forgeries {
        files.extend(forged_subjects::issue(&authority)?);
    }
    Ok(files)
}

fn on_forgeries(directory: &Path) -> String {
    let directory = shell_word(directory);
    format!(
        "\n\nSee which of the forged subjects in {directory}/forgeries get into a server that trusts the authority:\n\n  \
         netdata-webhook-proxy doctor https://hooks.example/webhooks/netdata --forgeries {directory}"
    )
}

fn instructions(directory: &Path, common_name: &str) -> String {
    let file = |name: &str| shell_word(&directory.join(name));
    let (ca, certificate, key) = (file("ca.pem"), file("netdata.pem"), file("netdata.key"));
    let days = VALIDITY.as_secs() / (24 * 60 * 60);
    let trust = trust(&ca);
    format!(
        "Created, valid for {days} days:\n\n  \
         {ca}  authority; its key was not kept\n  \
         {certificate}  certificate for {common_name}\n  \
         {key}  key of the certificate\n\n\
         {trust}\n\n\
         Then send with\n\n  \
         --cert {certificate} --key {key}"
    )
}

/// Returns how a proxy is made to trust the authority in the file `ca`. It is copied: a service or a
/// container has no access to home directories.
fn trust(ca: &str) -> String {
    format!(
        "Copy the authority to where the proxy can read it, next to its configuration:\n\n  \
         install -m 0644 {ca} /etc/netdata-webhook-proxy/sender-ca.pem\n\n\
         Trust it in addition to Netdata's, reload the proxy, and remove it again afterwards:\n\n  \
         [tls.client]\n  \
         ca = [\"builtin:netdata\", \"sender-ca.pem\"]"
    )
}
