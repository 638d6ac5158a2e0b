//! Certificates by ACME: issued by a real authority, and nothing let in by the way that is open for
//! its validations.

mod addresses;
mod attacks;
mod doctor;
mod faults;
mod folder;
mod interruptions;
mod issuing;
mod kinds;
mod refusals;
mod settings;
mod silence;
mod strangers;

use crate::support::{Edit as _, Origin, Pebble, Pki, Proxy};
use sha2::{Digest as _, Sha256};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) const ALERT: &str = "{\"alert\":\"x\"}";

const FILES: &str = "certificate = \"server.pem\"\nprivate_key = \"server.key\"";

/// The directory of an authority that does not answer: nothing listens on port 1.
const NOWHERE: &str = "https://127.0.0.1:1/directory";

/// The configuration of a proxy that orders from `pebble`.
fn config(pebble: &Pebble, origin: &Origin) -> String {
    config_for(pebble, origin, "[\"hooks.example\"]")
}

fn config_for(pebble: &Pebble, origin: &Origin, domains: &str) -> String {
    Proxy::config(origin, "require", "")
        .edit("127.0.0.1:0", &pebble.validated.to_string())
        .edit(FILES, &pebble.acme(domains))
        .edit("[server]", "[server]\nupgrade_socket = \"proxy.upgrade\"")
}

/// The configuration of a proxy whose authority is away.
fn config_without_authority(origin: &Origin) -> String {
    let acme = format!(
        "acme = {{ domains = [\"hooks.example\", \"Other.example\"], directory = \"{NOWHERE}\", directory_ca = \"ca.pem\", \
         state = \"state\" }}"
    );
    Proxy::config(origin, "require", "").edit(FILES, &acme)
}

/// The folder of the state.
fn state(pki: &Pki) -> PathBuf {
    pki.path().join("state/acme")
}

/// Writes a file of the state, as a process that shares it does.
fn keep(pki: &Pki, name: &str, content: &[u8]) {
    use std::os::unix::fs::DirBuilderExt as _;
    let path = state(pki).join(name);
    let mut folder = std::fs::DirBuilder::new();
    folder.recursive(true).mode(0o700);
    folder.create(path.parent().unwrap()).unwrap();
    let new = path.with_extension("written");
    std::fs::write(&new, content).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// Keeps the certificate in `server.pem` as one that was issued.
fn keep_certificate(pki: &Pki) {
    keep_certificate_of(pki, "server", NOWHERE);
}

/// Keeps the certificate in `NAME.pem` as one that the authority with this directory issued.
fn keep_certificate_of(pki: &Pki, name: &str, directory: &str) {
    let file = ["key", "pem"]
        .map(|kind| std::fs::read(pki.path().join(format!("{name}.{kind}"))).unwrap())
        .concat();
    let folder = authority_folder(directory);
    keep(
        pki,
        &format!("{folder}/hooks.example/certificate.pem"),
        &file,
    );
}

/// The folder of the authority with this directory.
fn authority_folder(directory: &str) -> String {
    let digest = hex::encode(Sha256::digest(directory.as_bytes()));
    let plain = directory.trim_start_matches("https://");
    let plain = plain.replace([':', '/'], "_");
    format!("{plain}-{}", &digest[..8])
}

/// Publishes the answer to a validation of `name`.
fn publish(pki: &Pki, name: &str) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let record = format!(
        "{{\"identifier\": \"{name}\", \"digest\": \"{}\", \"order\": \"https://ca/order\", \"until\": {}}}",
        "07".repeat(32),
        now + 600
    );
    keep(pki, &format!("validations/{name}.json"), record.as_bytes());
}

/// A proxy without a certificate, while a validation of `hooks.example` is pending.
fn pending(pki: &Pki, config: &str) -> (Proxy, SocketAddr) {
    publish(pki, "hooks.example");
    let proxy = Proxy::spawn(pki, config);
    let address = proxy.address(0);
    (proxy, address)
}

/// The file names of the state, below its folder.
fn kept(pki: &Pki) -> Vec<String> {
    let pattern = format!("{}/**/*", state(pki).display());
    let files = glob::glob(&pattern).unwrap().map(Result::unwrap);
    let mut names: Vec<_> = files
        .filter(|path| path.is_file())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}
