//! Makes a configuration one for the systemd service: what only root may read is passed on to it as
//! credentials.

use super::report::{SecretFile, ServiceCredential};
use super::toml_writer::{Auth, ConfigDraft, Keys, Value};

/// Where systemd puts them.
const CREDENTIALS: &str = "/run/credentials/netdata-webhook-proxy.service";

/// Where the unit takes from what it passes on by itself.
const DIRECTORY: &str = "/etc/netdata-webhook-proxy";

/// What that is.
const KNOWN: [&str; 3] = ["fullchain.pem", "privkey.pem", "challenge.secret"];

/// Names credentials instead of files. Returns those that the unit does not pass on by itself.
pub(super) fn adapt(draft: &mut ConfigDraft, needed: &[SecretFile]) -> Vec<ServiceCredential> {
    let mut credentials = Vec::new();
    pass_on(
        &mut draft.tls,
        "certificate",
        KNOWN[0].into(),
        &mut credentials,
    );
    pass_on(
        &mut draft.tls,
        "private_key",
        KNOWN[1].into(),
        &mut credentials,
    );
    for group in &mut draft.upstreams {
        for (key, name) in [
            ("client_certificate", "client.pem"),
            ("client_private_key", "client.key"),
        ] {
            pass_on(
                &mut group.keys,
                key,
                format!("{}.{name}", group.name),
                &mut credentials,
            );
        }
    }
    for route in &mut draft.routes {
        if let Some(Value::Secret(secret)) = route.keys.get_mut("challenge_secret") {
            secret.pass_on();
        }
        if let Auth::Of { basic, bearer, .. } = &mut route.auth {
            basic
                .iter_mut()
                .map(|(_, password)| password)
                .chain(bearer)
                .for_each(|secret| secret.pass_on());
        }
    }
    let secret = |needed: &SecretFile| ServiceCredential {
        name: needed.file.clone(),
        path: at_home(&needed.file),
    };
    credentials.extend(needed.iter().map(secret));
    credentials.retain(|it| !KNOWN.contains(&it.name.as_str()) || it.path != at_home(&it.name));
    credentials
}

/// A file in the directory of the configuration.
fn at_home(name: &str) -> String {
    format!("{DIRECTORY}/{name}")
}

/// Of a key that names a file.
fn pass_on(keys: &mut Keys, key: &str, name: String, credentials: &mut Vec<ServiceCredential>) {
    let Some(Value::Text(path)) = keys.get_mut(key) else {
        return;
    };
    let read = std::mem::replace(path, format!("{CREDENTIALS}/{name}"));
    // Relative names are relative to the configuration.
    let path = if read.starts_with('/') {
        read
    } else {
        at_home(&read)
    };
    credentials.push(ServiceCredential { name, path });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_passes_on_what_it_is_thought_to() {
        let unit = include_str!("../../../conf/systemd/netdata-webhook-proxy.service");
        for name in KNOWN {
            assert!(
                unit.contains(&format!("\nLoadCredential={name}:{}\n", at_home(name))),
                "{name}"
            );
        }
        assert_eq!(unit.matches("\nLoadCredential=").count(), KNOWN.len());
        assert!(unit.contains(CREDENTIALS), "as its comment has it");
    }
}
