//! Adapts a configuration to the systemd service, which gets the files that only root may read as
//! credentials.

use super::report::{SecretFile, ServiceCredential};
use super::toml_writer::{ConfigDraft, ConfigTable};

/// The directory of the credentials while the service runs.
const CREDENTIALS: &str = "/run/credentials/netdata-webhook-proxy.service";

/// The directory of the configuration.
const DIRECTORY: &str = "/etc/netdata-webhook-proxy";

/// The files of that directory that the unit passes on by itself.
const PASSED_ON: [&str; 3] = ["fullchain.pem", "privkey.pem", "challenge.secret"];

/// Names credentials instead of files. Returns those that the unit does not pass on by itself.
pub(super) fn adapt(draft: &mut ConfigDraft, secrets: &[SecretFile]) -> Vec<ServiceCredential> {
    let mut found = Vec::new();
    found.extend(pass_on(&mut draft.tls, "certificate", PASSED_ON[0]));
    found.extend(pass_on(&mut draft.tls, "private_key", PASSED_ON[1]));
    for (name, keys) in &mut draft.upstreams {
        for (key, file) in [("client_certificate", "pem"), ("client_private_key", "key")] {
            found.extend(pass_on(keys, key, &format!("{name}.client.{file}")));
        }
    }
    found.extend(secrets.iter().map(|secret| ServiceCredential {
        name: secret.file.clone(),
        path: format!("{DIRECTORY}/{}", secret.file),
    }));
    let is_passed_on = |it: &ServiceCredential| {
        PASSED_ON
            .iter()
            .any(|name| it.name == *name && it.path == format!("{DIRECTORY}/{name}"))
    };
    found.retain(|credential| !is_passed_on(credential));
    found
}

/// Replaces the path of a file, which is relative to the configuration, by that of a credential.
fn pass_on(table: &mut ConfigTable, key: &str, name: &str) -> Option<ServiceCredential> {
    let path = match table.text(key)? {
        path if path.starts_with('/') => path.to_owned(),
        path => format!("{DIRECTORY}/{path}"),
    };
    table.set(key, format!("{CREDENTIALS}/{name}"));
    Some(ServiceCredential {
        name: name.to_owned(),
        path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_passes_on_what_it_is_thought_to() {
        let unit = include_str!("../../../conf/systemd/netdata-webhook-proxy.service");
        for name in PASSED_ON {
            assert!(unit.contains(&format!("\nLoadCredential={name}:{DIRECTORY}/{name}\n")));
        }
        assert_eq!(unit.matches("\nLoadCredential=").count(), PASSED_ON.len());
        assert!(unit.contains(CREDENTIALS), "as its comment has it");
    }
}
