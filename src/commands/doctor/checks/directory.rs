//! Check: the authority can be reached, offers what is asked of it, and has the same time.

use super::clock;
use crate::commands::doctor::finding::{Check, CheckFinding};
use crate::config::Acme;
use crate::tls::acme::Directory;

const CHECK: Check = Check("ACME authority");

const UNREACHABLE: &str = "let this machine reach the authority over HTTPS, without a proxy; one of your own needs tls.acme.directory_ca";

/// Judges what the authority of `acme` said of itself.
pub(in crate::commands::doctor) fn check(
    acme: &Acme,
    directory: &Result<Directory, String>,
) -> CheckFinding {
    let url = &acme.directory;
    let objection = match directory {
        Ok(directory) => objection(acme, directory),
        Err(error) => Some((format!("{url}: {error}"), UNREACHABLE.into())),
    };
    match objection {
        Some((text, remedy)) => CHECK.fail(text, remedy),
        None => CHECK.pass(format!("{url} answers, and has the time of this machine")),
    }
}

/// Returns what the authority would refuse, or what is wrong here, and the remedy.
fn objection(acme: &Acme, directory: &Directory) -> Option<(String, String)> {
    let url = &acme.directory;
    let is_missing = |profile: &&String| !directory.profiles.contains(profile);
    if let Some(profile) = acme.profile.as_ref().filter(is_missing) {
        let text = format!("{url} does not offer the profile \"{profile}\"");
        return Some((text, other_profile(&directory.profiles)));
    }
    if directory.needs_external_account && acme.eab.is_none() {
        let text = format!("{url} wants an account that exists elsewhere");
        return Some((text, "set tls.acme.eab to the key that it hands out".into()));
    }
    let skew = directory.clock_skew?;
    Some((skew.to_string(), clock::SYNCHRONISE.into()))
}

fn other_profile(offered: &[String]) -> String {
    match offered.is_empty() {
        true => "remove tls.acme.profile: this authority offers none".into(),
        false => format!("set tls.acme.profile to one of {}", offered.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::FindingLevel;
    use crate::config::{AcmeState, Domain, ExternalAccount};
    use crate::tls::acme::ClockSkew;

    #[test]
    fn what_the_authority_does_not_offer_is_told_before_it_is_asked_for() {
        let acme = |profile: Option<&str>, has_account: bool| Acme {
            domains: vec![Domain::parse("a.example").unwrap()],
            email: None,
            directory: "https://ca.example/dir".into(),
            directory_ca: Vec::new(),
            profile: profile.map(str::to_owned),
            eab: has_account.then(|| ExternalAccount {
                key_id: "x".into(),
                key: crate::auth::secret::Secret::new(vec![1]),
            }),
            state: AcmeState::Folder("/nowhere".into()),
        };
        let directory = |profiles: &[&str], needs_external_account, skew| {
            Ok(Directory {
                profiles: profiles.iter().map(ToString::to_string).collect(),
                needs_external_account,
                clock_skew: ClockSkew::of(skew),
                ..Directory::default()
            })
        };
        let judged = |acme: &Acme, directory: &_| {
            let finding = check(acme, directory);
            let remedy = finding.remedy.unwrap_or_default();
            (finding.level, format!("{}: {remedy}", finding.text))
        };
        let plain = acme(None, false);
        assert_eq!(
            judged(&plain, &directory(&[], false, 60)).0,
            FindingLevel::Pass
        );
        assert_eq!(
            judged(&acme(Some("a"), true), &directory(&["a"], true, 0)).0,
            FindingLevel::Pass
        );
        for (acme, directory, text) in [
            (
                &plain,
                Err("refused".into()),
                "ca.example/dir: refused: let this machine",
            ),
            (
                &acme(Some("b"), false),
                directory(&["a", "c"], false, 0),
                "\"b\": set tls.acme.profile to one of a, c",
            ),
            (
                &acme(Some("b"), false),
                directory(&[], false, 0),
                "offers none",
            ),
            (&plain, directory(&[], true, 0), "set tls.acme.eab"),
            (
                &plain,
                directory(&[], false, 61),
                "61 s ahead of the authority's",
            ),
            (
                &plain,
                directory(&[], false, -90),
                "90 s behind the authority's: check both",
            ),
        ] {
            let (level, told) = judged(acme, &directory);
            assert_eq!(level, FindingLevel::Fail, "{told}");
            assert!(told.contains(text), "{told}");
        }
    }
}
