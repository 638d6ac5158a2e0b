//! `send certificate`: a temporary authority and a client certificate.

use crate::commands::client::pki::{Authority, VALIDITY};
use crate::commands::output::shell_word;
use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Writes ca.pem, netdata.pem and netdata.key into `directory`, and returns instructions. The key of
/// the authority is not written, so it cannot issue any more certificates.
///
/// # Errors
/// If a file exists already or could not be written.
pub(super) fn make(directory: &Path, common_name: &str) -> Result<String, String> {
    let files = issue(common_name)
        .map_err(|error: rcgen::Error| format!("cannot create a certificate: {error}"))?;
    let directory = std::path::absolute(directory)
        .map_err(|error| format!("{}: {error}", directory.display()))?;
    for (name, ..) in &files {
        let path = directory.join(name);
        if path.symlink_metadata().is_ok() {
            return Err(format!(
                "{} exists already: remove it, or use another directory",
                path.display()
            ));
        }
    }
    make_directory(&directory).map_err(|error| cannot_write(&directory, &error))?;
    for (name, mode, text) in &files {
        let path = directory.join(name);
        write(&path, *mode, text).map_err(|error| cannot_write(&path, &error))?;
    }
    Ok(instructions(&directory, common_name))
}

/// Returns names, modes and contents of the files.
fn issue(common_name: &str) -> Result<[(&'static str, u32, String); 3], rcgen::Error> {
    let authority = Authority::new()?;
    let client = authority.client(common_name)?;
    Ok([
        ("ca.pem", 0o644, authority.certificate_pem()),
        ("netdata.pem", 0o644, client.certificate_pem.clone()),
        ("netdata.key", 0o600, client.key_pem()),
    ])
}

fn cannot_write(path: &Path, error: &io::Error) -> String {
    format!("cannot write {}: {error}", path.display())
}

/// Creates a directory that the user of the proxy can read.
fn make_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        make_directory(parent)?;
    }
    std::fs::create_dir(directory)?;
    std::fs::set_permissions(directory, Permissions::from_mode(0o755))
}

/// Writes a new file with this mode, whatever the umask is. Existing files are not changed.
fn write(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(text.as_bytes())
}

fn instructions(directory: &Path, common_name: &str) -> String {
    let file = |name: &str| shell_word(&directory.join(name));
    let (ca, certificate, key) = (file("ca.pem"), file("netdata.pem"), file("netdata.key"));
    let days = VALIDITY.as_secs() / (24 * 60 * 60);
    // The authority is copied: a service or a container has no access to home directories.
    format!(
        "Created, valid for {days} days:\n\n  \
         {ca}  authority; its key was not kept\n  \
         {certificate}  certificate for {common_name}\n  \
         {key}  key of the certificate\n\n\
         Copy the authority to where the proxy can read it, next to its configuration:\n\n  \
         install -m 0644 {ca} /etc/netdata-webhook-proxy/sender-ca.pem\n\n\
         Trust it in addition to Netdata's, reload the proxy, and remove it again afterwards:\n\n  \
         [tls.client]\n  \
         ca = [\"builtin:netdata\", \"sender-ca.pem\"]\n\n\
         Then send with\n\n  \
         --cert {certificate} --key {key}"
    )
}
