//! Recognises Netdata's own authority.

use super::directive::Directive;
use super::report::Ledger;
use super::sources::SourceFiles;
use crate::config::{NETDATA_ROOT_CA, certificates_in};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::path::Path;

/// What it is called in a configuration.
pub(super) const BUILTIN: &str = "builtin:netdata";

/// What a directive that names `path` becomes in `tls.client.ca`.
pub(super) fn carry(directive: &Directive, path: String, ledger: &Ledger) -> String {
    match is_builtin(Path::new(&path)) {
        true => {
            ledger.not_needed(directive, "it holds the Netdata Root CA, which is built in");
            BUILTIN.to_owned()
        }
        false => {
            ledger.carried(directive, "tls.client.ca");
            path
        }
    }
}

/// Whether a file has this one certificate and no other, not even one that cannot be read here.
fn is_builtin(path: &Path) -> bool {
    let Ok(text) = SourceFiles::default().read(path) else {
        return false;
    };
    let certificates = certificates_in(text.as_bytes());
    let netdata = CertificateDer::from_pem_slice(NETDATA_ROOT_CA.as_bytes());
    matches!((certificates.as_deref(), netdata), (Some([one]), Ok(netdata)) if *one == netdata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_certificate_that_counts() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let check = |text: &str, expected| {
            std::fs::write(file.path(), text).unwrap();
            assert_eq!(is_builtin(file.path()), expected, "{text}");
        };
        check(NETDATA_ROOT_CA, true);
        check(
            &format!(
                "# from the documentation\n{}\n",
                NETDATA_ROOT_CA.replace('\n', "\r\n")
            ),
            true,
        );
        check(&NETDATA_ROOT_CA.repeat(2), false);
        check(
            &format!(
                "{NETDATA_ROOT_CA}{}",
                NETDATA_ROOT_CA.replace("CERTIFICATE", "TRUSTED CERTIFICATE")
            ),
            false,
        );
        check("", false);
        assert!(!is_builtin(Path::new("/nowhere/ca.pem")));
    }
}
