//! Adapts a configuration to the systemd service, which gets the files that only root may read as
//! credentials.

use super::toml_writer::{ConfigDraft, ConfigTable, SecretFiles};
use crate::sanitize::sanitize_to;
use toml_edit::InlineTable;

/// The directory of the configuration.
const DIRECTORY: &str = "/etc/netdata-webhook-proxy/";

/// The files of that directory that the unit passes on by itself.
const PASSED_ON: [&str; 3] = ["fullchain.pem", "privkey.pem", "challenge.secret"];

/// Characters of a path that are shown.
const MAX_PATH: usize = 800;

/// Names credentials instead of files. Returns the lines that the unit lacks for them.
pub(super) fn adapt(draft: &mut ConfigDraft, secrets: &SecretFiles) -> Vec<String> {
    let mut lines = vec!["[Service]".to_owned()];
    lines.extend(pass_on(&mut draft.tls, "certificate", PASSED_ON[0]));
    lines.extend(pass_on(&mut draft.tls, "private_key", PASSED_ON[1]));
    for (name, keys) in &mut draft.upstreams {
        for (key, file) in [("client_certificate", "pem"), ("client_private_key", "key")] {
            lines.extend(pass_on(keys, key, &format!("{name}.client.{file}")));
        }
    }
    lines.extend(secrets.names().map(|name| line(name, name)));
    lines.retain(|it| !PASSED_ON.iter().any(|name| *it == line(name, name)));
    if lines.len() == 1 {
        lines.clear();
    }
    lines
}

/// Names a credential instead of a file. Returns the line for the unit.
fn pass_on(table: &mut ConfigTable, key: &str, name: &str) -> Option<String> {
    let line = line(name, table.text(key)?);
    table.set(key, InlineTable::from_iter([("credential", name)]));
    Some(line)
}

/// Returns the line that passes on a file, whose path is relative to the configuration.
fn line(name: &str, path: &str) -> String {
    let directory = if path.starts_with('/') { "" } else { DIRECTORY };
    // A percent sign begins a specifier in a unit.
    let path = sanitize_to(&path.replace('%', "%%"), MAX_PATH);
    format!("LoadCredential={name}:{directory}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_passes_on_what_it_is_thought_to() {
        let unit = include_str!("../../../conf/systemd/netdata-webhook-proxy.service");
        for name in PASSED_ON {
            assert!(unit.contains(&format!("\n{}\n", line(name, name))));
        }
        assert_eq!(unit.matches("\nLoadCredential=").count(), PASSED_ON.len());
    }
}
