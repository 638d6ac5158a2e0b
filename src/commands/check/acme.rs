//! What may keep an authority from issuing a certificate. Nothing is ordered.

use crate::config::{Loaded, Problem};
use crate::tls::acme::Folder;

/// The port that authorities connect to (RFC 8737, section 3).
const PORT: u16 = 443;

/// Returns warnings about `tls.acme`.
pub(super) fn warnings(loaded: &Loaded) -> Vec<Problem> {
    let Some(acme) = loaded.config.acme() else {
        return Vec::new();
    };
    let at = |path: &[&str], message| loaded.sources.problem_at(path, message);
    let folder = Folder::at(&acme.state);
    let listeners = &loaded.config.listen.https;
    let is_elsewhere = !listeners.iter().any(|address| address.port() == PORT);
    let port = is_elsewhere.then(|| {
        let message =
            format!("authorities connect to port {PORT} alone: pass that port on to the listener");
        at(&["listen", "https"], message)
    });
    // Of another user, if this is run by root.
    let fault = folder.fault().map(|fault| {
        let message = format!("{fault}; or check it as the user of the service");
        at(&["tls", "acme", "state"], message)
    });
    let transient = folder.is_transient().then(|| {
        let message = format!(
            "{} is lost with the container or the machine's next start, and authorities issue few certificates a week: \
             put it on a volume",
            acme.state.display()
        );
        at(&["tls", "acme", "state"], message)
    });
    [port, fault, transient].into_iter().flatten().collect()
}
