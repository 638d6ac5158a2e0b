//! What may keep an authority from issuing a certificate. Nothing is ordered.

use crate::config::{AcmeState, Loaded, Problem};
use crate::tls::acme::Folder;
use std::path::Path;

/// The port that authorities connect to (RFC 8737, section 3).
const PORT: u16 = 443;

/// Returns warnings about `tls.acme`.
pub(super) fn warnings(loaded: &Loaded) -> Vec<Problem> {
    let Some(acme) = loaded.config.acme() else {
        return Vec::new();
    };
    let at = |path: &[&str], message| loaded.sources.problem_at(path, message);
    let listeners = &loaded.config.listen.https;
    let is_elsewhere = !listeners.iter().any(|address| address.port() == PORT);
    let port = is_elsewhere.then(|| {
        let message =
            format!("authorities connect to port {PORT} alone: pass that port on to the listener");
        at(&["listen", "https"], message)
    });
    let folder = match &acme.state {
        AcmeState::Folder(path) => folder_faults(path),
        AcmeState::Database(_) => Vec::new(),
    };
    let folder = folder
        .into_iter()
        .map(|message| at(&["tls", "acme", "state"], message));
    port.into_iter().chain(folder).collect()
}

fn folder_faults(path: &Path) -> Vec<String> {
    let folder = Folder::at(path);
    // Of another user, if this is run by root.
    let fault = folder
        .fault()
        .map(|fault| format!("{fault}; or check it as the user of the service"));
    let transient = folder.is_transient().then(|| {
        format!(
            "{} is lost with the container or the machine's next start, and authorities issue few certificates a week: \
             put it on a volume",
            path.display()
        )
    });
    [fault, transient].into_iter().flatten().collect()
}
