//! Makes a throw-away authority and a client certificate of it.

use crate::commands::client::pki::{Authority, VALIDITY};
use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Writes ca.pem, netdata.pem and netdata.key into `directory`, and says what to do with them. The
/// authority's key is not among them: it can issue nothing more.
///
/// # Errors
/// Says which of the files could not be written, or is there already.
pub(super) fn make(directory: &Path, common_name: &str) -> Result<String, String> {
    let cannot_make = |error: rcgen::Error| format!("cannot make a certificate: {error}");
    let authority = Authority::new().map_err(cannot_make)?;
    let client = authority.client(common_name).map_err(cannot_make)?;
    let files = [
        ("ca.pem", 0o644, authority.certificate_pem()),
        ("netdata.pem", 0o644, client.certificate_pem.clone()),
        ("netdata.key", 0o600, client.key_pem()),
    ];
    let directory = std::path::absolute(directory)
        .map_err(|error| format!("{}: {error}", directory.display()))?;
    for (name, ..) in &files {
        let path = directory.join(name);
        if path.symlink_metadata().is_ok() {
            return Err(format!(
                "{} is there already: remove it, or name another directory",
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

fn cannot_write(path: &Path, error: &io::Error) -> String {
    format!("cannot write {}: {error}", path.display())
}

/// Whoever runs the proxy has to read what is in it.
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

/// Nothing that is there is changed. The mode is that, whatever the umask is.
fn write(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(text.as_bytes())
}

/// As a shell takes it for one word.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn instructions(directory: &Path, common_name: &str) -> String {
    let file = |name: &str| word(&directory.join(name));
    let (ca, certificate, key) = (file("ca.pem"), file("netdata.pem"), file("netdata.key"));
    let days = VALIDITY.as_secs() / (24 * 60 * 60);
    // A service or a container does not see the home of whoever sends.
    format!(
        "Made for {days} days:\n\n  \
         {ca}  the authority, whose key nobody has any more\n  \
         {certificate}  a certificate of it for {common_name}\n  \
         {key}  its key\n\n\
         Put the authority where the proxy can read it, beside its configuration:\n\n  \
         install -m 0644 {ca} /etc/netdata-webhook-proxy/sender-ca.pem\n\n\
         Let the proxy trust it beside Netdata's, reload it, and take this away again when you are done:\n\n  \
         [tls.client]\n  \
         ca = [\"builtin:netdata\", \"sender-ca.pem\"]\n\n\
         Then send with\n\n  \
         --cert {certificate} --key {key}"
    )
}
