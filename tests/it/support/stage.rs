//! A configuration of another server, as it stood on a machine, in a directory of its own with
//! everything it names.

use super::{Origin, Pki};
use regex::{Captures, Regex};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// What is absolute on that machine.
static ABSOLUTE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?m)(^|[\s"'=]|unix:)(/(?:etc|run|var|srv|usr/share|tmp)/)"#).unwrap()
});

/// Directives that name files, in NGINX and in Apache.
static NAMES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?mi)^\s*((?:proxy_)?ssl_?\w+|pid|access_log|error_log|ErrorLog|CustomLog)\s+"?([^;\s"]+)"?"#)
        .unwrap()
});

/// The machine's root.
pub(crate) struct Stage {
    directory: tempfile::TempDir,
}

impl Stage {
    /// A copy of `sample`, in which `origins` listen where it has 127.0.0.1:3000 and on, and `pki`
    /// has issued everything.
    pub(crate) fn of(sample: &Path, pki: &Pki, origins: &[&Origin]) -> Self {
        let stage = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        stage.copy(sample, Path::new(""), origins);
        for file in stage.files() {
            let text = fs::read_to_string(&file).unwrap();
            for names in NAMES.captures_iter(&text) {
                stage.provide(&names[1].to_ascii_lowercase(), &names[2], pki);
            }
        }
        stage
    }

    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    /// The text with the paths and addresses of that machine.
    pub(crate) fn unstaged(&self, text: &str, origins: &[&Origin]) -> String {
        let mut text = text.replace(self.root().to_str().unwrap(), "");
        for (index, origin) in origins.iter().enumerate() {
            text = text.replace(authority(origin), &format!("127.0.0.1:{}", 3000 + index));
        }
        text
    }

    /// Every file of the configuration.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let pattern = format!("{}/**/*", self.root().display());
        let is_text = |path: &PathBuf| path.is_file() && fs::read_to_string(path).is_ok();
        glob::glob(&pattern)
            .unwrap()
            .map(Result::unwrap)
            .filter(is_text)
            .collect()
    }

    /// Changes every file of the configuration.
    pub(crate) fn edit(&self, change: impl Fn(&str) -> String) {
        for file in self.files() {
            let text = fs::read_to_string(&file).unwrap();
            fs::write(file, change(&text)).unwrap();
        }
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn copy(&self, sample: &Path, below: &Path, origins: &[&Origin]) {
        for entry in fs::read_dir(sample.join(below))
            .unwrap()
            .map(Result::unwrap)
        {
            let name = below.join(entry.file_name());
            if entry.path().is_dir() {
                self.copy(sample, &name, origins);
                continue;
            }
            let text = fs::read_to_string(entry.path()).unwrap();
            let root = self.root().display();
            let mut text = ABSOLUTE.replace_all(&text, |found: &Captures<'_>| {
                format!("{}{root}{}", &found[1], &found[2])
            });
            for (index, origin) in origins.iter().enumerate() {
                text = text
                    .replace(&format!("127.0.0.1:{}", 3000 + index), authority(origin))
                    .into();
            }
            self.write(name.to_str().unwrap(), &text);
        }
    }

    /// Writes a file that a directive names, unless the sample has it.
    fn provide(&self, directive: &str, name: &str, pki: &Pki) {
        let path = self.root().join("etc/nginx").join(name);
        if !path.starts_with(self.root()) || path.exists() {
            return;
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let issued = |name: &str| fs::copy(pki.path().join(name), &path).map(drop).unwrap();
        match directive
            .trim_start_matches("proxy_")
            .replace('_', "")
            .as_str()
        {
            "sslcertificate" | "sslcertificatefile" => issued("server.pem"),
            "sslcertificatekey" | "sslcertificatekeyfile" => issued("server.key"),
            "sslclientcertificate" | "ssltrustedcertificate" | "sslcacertificatefile" => {
                issued("ca.pem")
            }
            "sslcrl" | "sslcarevocationfile" => {
                fs::write(&path, pki.revocation_list(&[], time::Duration::days(30))).unwrap();
            }
            _ => {}
        }
    }
}

/// The address of an application, without its scheme.
fn authority(origin: &Origin) -> &str {
    origin
        .url
        .strip_prefix("http://")
        .unwrap_or("no such address")
}
