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

/// A forged subject: the name of its file, its description, and its attributes.
type ForgedSubject = (&'static str, &'static str, Attributes);

fn cn(value: impl Into<String>) -> (DnType, String) {
    (DnType::CommonName, value.into())
}

/// Returns a second common name. rcgen keeps one attribute of each type: it is of another type to it.
fn second_cn(value: &str) -> (DnType, String) {
    (DnType::CustomDnType(vec![2, 5, 4, 3]), value.to_owned())
}

/// Returns every forged subject.
fn subjects() -> Vec<ForgedSubject> {
    let mut subjects = Vec::from(similar_names());
    subjects.extend(names_elsewhere());
    subjects.extend(odd_names());
    subjects.extend(two_names());
    subjects.push(("other", "any other CN", vec![cn("evil")]));
    subjects
}

fn similar_names() -> [ForgedSubject; 2] {
    let longer = cn(format!("{NETDATA}.evil.example"));
    let pattern = cn("appXnetdataYcloud");
    [
        ("suffix", "CN=app.netdata.cloud.evil.example", vec![longer]),
        ("pattern", "CN=appXnetdataYcloud", vec![pattern]),
    ]
}

/// Returns subjects with the right common name in another attribute.
fn names_elsewhere() -> [ForgedSubject; 2] {
    let unit = (DnType::OrganizationalUnitName, format!("CN={NETDATA}"));
    let organization = (DnType::OrganizationName, format!("x,CN={NETDATA}"));
    [
        (
            "unit",
            "OU=CN=app.netdata.cloud, CN=evil",
            vec![unit, cn("evil")],
        ),
        (
            "organization",
            "O=\"x,CN=app.netdata.cloud\", CN=evil",
            vec![organization, cn("evil")],
        ),
    ]
}

/// Returns subjects with a character after the right common name that a comparison may drop.
fn odd_names() -> [ForgedSubject; 2] {
    let nul = cn(format!("{NETDATA}\0.evil.example"));
    let space = cn(format!("{NETDATA} "));
    [
        ("nul", "a CN with an embedded NUL", vec![nul]),
        ("space", "a CN with a trailing space", vec![space]),
    ]
}

fn two_names() -> [ForgedSubject; 2] {
    let right_first = vec![cn(NETDATA), second_cn("evil")];
    let right_last = vec![cn("evil"), second_cn(NETDATA)];
    [
        ("first", "two CNs, the right one first", right_first),
        ("last", "two CNs, the right one last", right_last),
    ]
}

/// Issues a certificate for each forged subject, and returns their files, of which each has its key
/// as well.
pub(super) fn issue(authority: &Authority) -> Result<Vec<NewFile>, rcgen::Error> {
    let file = |(name, words, attributes): ForgedSubject| {
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
        Self::read_all(directory).map_err(|error| {
            format!(
                "{error}; make the directory with netdata-webhook-proxy send certificate --forgeries DIR"
            )
        })
    }

    fn read_all(directory: &Path) -> Result<Self, String> {
        let read_forged = |(name, words, _): ForgedSubject| {
            let path = directory.join(DIRECTORY).join(name).with_extension("pem");
            Ok::<_, String>((words.to_owned(), read_identity(&path, &path)?))
        };
        let (certificate, key) = (directory.join("netdata.pem"), directory.join("netdata.key"));
        Ok(Self {
            genuine: read_identity(&certificate, &key)?,
            forged: subjects()
                .into_iter()
                .map(read_forged)
                .collect::<Result<_, _>>()?,
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
