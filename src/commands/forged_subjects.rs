//! Client certificates of a throw-away authority, with subjects that resemble Netdata Cloud's: a
//! server that searches for text in a subject takes them for it.

use super::client::pki::{Authority, NETDATA};
use super::new_files::NewFile;
use crate::config::read_identity;
use rcgen::{DistinguishedName, DnType};
use rustls::sign::CertifiedKey;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The directory of the certificates with forged subjects, beside that with the right one.
const DIRECTORY: &str = "forgeries";

/// Attributes of a subject.
type Attributes = Vec<(DnType, String)>;

/// Returns every forged subject: the name of its file, its description, and its attributes.
fn subjects() -> [(&'static str, &'static str, Attributes); 9] {
    let name = |suffix: &str| format!("{NETDATA}{suffix}");
    let cn = |value: &str| (DnType::CommonName, value.to_owned());
    // rcgen keeps one attribute of each type: a second common name is of another type to it.
    let second_cn = |value: &str| (DnType::CustomDnType(vec![2, 5, 4, 3]), value.to_owned());
    let other = |kind: DnType, value: String| vec![(kind, value), cn("evil")];
    [
        (
            "suffix",
            "CN=app.netdata.cloud.evil.example",
            vec![cn(&name(".evil.example"))],
        ),
        (
            "pattern",
            "CN=appXnetdataYcloud",
            vec![cn("appXnetdataYcloud")],
        ),
        (
            "unit",
            "OU=CN=app.netdata.cloud, CN=evil",
            other(DnType::OrganizationalUnitName, format!("CN={NETDATA}")),
        ),
        (
            "organization",
            "O=\"x,CN=app.netdata.cloud\", CN=evil",
            other(DnType::OrganizationName, format!("x,CN={NETDATA}")),
        ),
        (
            "nul",
            "a CN with an embedded NUL",
            vec![cn(&name("\0.evil.example"))],
        ),
        ("space", "a CN with a trailing space", vec![cn(&name(" "))]),
        (
            "first",
            "two CNs, the right one first",
            vec![cn(NETDATA), second_cn("evil")],
        ),
        (
            "last",
            "two CNs, the right one last",
            vec![cn("evil"), second_cn(NETDATA)],
        ),
        ("other", "any other CN", vec![cn("evil")]),
    ]
}

/// Issues a certificate for each forged subject, and returns their files, of which each has its key
/// as well.
pub(super) fn issue(authority: &Authority) -> Result<Vec<NewFile>, rcgen::Error> {
    let file = |(name, words, attributes): (&str, &str, Attributes)| {
        let mut subject = DistinguishedName::new();
        for (kind, value) in attributes {
            subject.push(kind, value);
        }
        let leaf = authority.client_named(subject)?;
        let text = format!("# {words}\n{}{}", leaf.certificate_pem, leaf.key_pem());
        Ok(NewFile::private(format!("{DIRECTORY}/{name}.pem"), text))
    };
    subjects().into_iter().map(file).collect()
}

/// The certificates of a directory that [`issue`] has filled.
pub(super) struct ForgedSubjects {
    /// The certificate with the right subject.
    pub(super) genuine: Arc<CertifiedKey>,
    /// Descriptions of the others, and these.
    pub(super) forged: Vec<(String, Arc<CertifiedKey>)>,
    /// Path of the authority's certificate.
    pub(super) authority: PathBuf,
}

impl ForgedSubjects {
    /// Reads the certificates in `directory`.
    ///
    /// # Errors
    /// Says which file is missing or wrong.
    pub(super) fn read(directory: &Path) -> Result<Self, String> {
        let remake = |error: String| {
            format!(
                "{error}; make the directory with netdata-webhook-proxy send certificate --forgeries DIR"
            )
        };
        let read_forged = |(name, words, _): (&str, &str, Attributes)| {
            let path = directory.join(DIRECTORY).join(name).with_extension("pem");
            Ok((words.to_owned(), read_identity(&path, &path)?))
        };
        let (certificate, key) = (directory.join("netdata.pem"), directory.join("netdata.key"));
        let forged: Result<_, String> = subjects().into_iter().map(read_forged).collect();
        Ok(Self {
            genuine: read_identity(&certificate, &key).map_err(remake)?,
            forged: forged.map_err(remake)?,
            authority: directory.join("ca.pem"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manual;
    use std::fs;

    #[test]
    fn what_is_issued_is_read_again_and_stands_in_the_manual() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new().unwrap();
        let genuine = authority.client(NETDATA).unwrap();
        fs::write(
            directory.path().join("netdata.pem"),
            &genuine.certificate_pem,
        )
        .unwrap();
        fs::write(directory.path().join("netdata.key"), genuine.key_pem()).unwrap();
        assert!(
            ForgedSubjects::read(directory.path())
                .is_err_and(|error| error.contains("--forgeries DIR"))
        );
        fs::create_dir(directory.path().join(DIRECTORY)).unwrap();
        for file in issue(&authority).unwrap() {
            fs::write(directory.path().join(&file.name), &file.text).unwrap();
        }
        let read = ForgedSubjects::read(directory.path()).unwrap();
        let page = manual::page("security").unwrap();
        for (words, _) in &read.forged {
            let row = words.split(", the right one").next().unwrap();
            assert!(page.contains(row), "{row}");
        }
        assert_eq!(read.forged.len(), subjects().len());
    }
}
