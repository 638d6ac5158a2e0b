//! Who may log in, by a file of `htpasswd`.

use super::directive::Directive;
use super::draft::{Secret, Secrets};
use super::report::Ledger;
use super::sources::Sources;
use std::path::Path;

/// More people than would share a webhook.
const MAX_USERS: usize = 100;

/// Asks for the password of each user of a file that `directive` names, or of those of them that are `wanted`. Returns
/// their names, and the files for them.
pub(super) fn carry(
    directive: &Directive,
    path: &Path,
    wanted: &[&str],
    ledger: &Ledger,
    secrets: &mut Secrets,
) -> Vec<(String, Secret)> {
    let names = match users(path) {
        Ok(names) => {
            ledger.carried(directive, "auth.basic: the names; passwords cannot be read back from their hashes");
            names
        }
        Err(message) => {
            ledger
                .not_carried(directive, format!("{message}: set the username in auth.basic, which is \"netdata\" now"));
            vec!["netdata".into()]
        }
    };
    let ask = |name: String| {
        let what = format!("the password of {name}, whose hash stands in {}", path.display());
        let file = secrets.ask("basic", &what);
        (name, file)
    };
    names.into_iter().filter(|name| wanted.is_empty() || wanted.contains(&name.as_str())).map(ask).collect()
}

/// The names in it; what stands behind them cannot be read back.
fn users(path: &Path) -> Result<Vec<String>, String> {
    let text = Sources::default().read(path)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let names: Vec<String> = lines.filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect();
    match names.len() {
        0 => Err(format!("{} has no users", path.display())),
        1..=MAX_USERS => Ok(names),
        more => Err(format!("{} has {more} users", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_hashes_are_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let check = |text: &str, expected: Option<&[&str]>| {
            std::fs::write(file.path(), text).unwrap();
            let names = users(file.path());
            assert_eq!(names.is_ok(), expected.is_some(), "{names:?}");
            assert_eq!(names.unwrap_or_default(), expected.unwrap_or_default());
        };
        check("netdata:$apr1$x$y\n# a comment\n\nother:{SHA}x:a comment\n", Some(&["netdata", "other"]));
        check("", None);
        check("no colon\n", None);
        check(&"a:b\n".repeat(101), None);
        assert!(users(Path::new("/nowhere/htpasswd")).unwrap_err().contains("cannot read /nowhere/htpasswd"));
    }
}
