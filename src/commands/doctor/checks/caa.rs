//! Check: CAA records (RFC 8659) let the authority issue a certificate for each name.

use crate::commands::doctor::dns::{NameServers, Property};
use crate::commands::doctor::finding::{Check, CheckFinding};
use crate::config::{Acme, Domain};
use crate::database::open_existing_acme;
use crate::tls::acme::{Directory, account_url};
use std::time::Duration;
use tokio::time::timeout;

const CHECK: Check = Check("CAA");

/// The validation that this program answers, as RFC 8657 names it.
const METHOD: &str = "tls-alpn-01";

/// What asks for a certificate.
struct Applicant<'a> {
    /// The names of the authority in CAA records.
    authority: &'a [String],
    /// The URL of the account, if there is one yet.
    account: Option<&'a str>,
}

/// A finding about a name: what is wrong, and the remedy.
type Objection = (String, String);

/// Asks for the records of each name, and of those above it, as authorities do.
pub(in crate::commands::doctor) async fn check(
    acme: &Acme,
    directory: &Directory,
    servers: &NameServers,
    step_timeout: Duration,
) -> CheckFinding {
    if directory.caa_identities.is_empty() {
        return CHECK.skip("the authority does not say by which name CAA records allow it");
    }
    let account = match open_existing_acme(acme) {
        Ok(store) => account_url(&*store, acme).await,
        Err(_) => None,
    };
    let applicant = Applicant {
        authority: &directory.caa_identities,
        account: account.as_deref(),
    };
    let mut restricted = Vec::new();
    for domain in &acme.domains {
        // Records are for names alone.
        let Domain::Dns(name) = domain else { continue };
        match applicant.examine(name, servers, step_timeout).await {
            Ok(at) => restricted.extend(at),
            Err(finding) => return finding,
        }
    }
    restricted.dedup();
    let (at, authorities) = (restricted.join(", "), applicant.authority.join(", "));
    match restricted.is_empty() {
        true => CHECK.pass("no record restricts authorities"),
        false => CHECK.pass(format!("the records of {at} allow {authorities}")),
    }
}

fn unanswered(error: &str) -> CheckFinding {
    CHECK.fail(
        format!("CAA records cannot be looked up: {error}"),
        "authorities refuse then, too: see the name servers of the name, and DNSSEC; --name-server asks another one",
    )
}

/// Returns the properties that count for a name: its own, or those of the nearest name above it.
async fn relevant(
    servers: &NameServers,
    name: &str,
) -> Result<Option<(String, Vec<Property>)>, String> {
    let mut at = name;
    loop {
        let properties = servers.caa(at).await;
        let properties = properties.map_err(|error| format!("{at}: {error}"))?;
        if !properties.is_empty() {
            return Ok(Some((at.to_owned(), properties)));
        }
        match at.split_once('.') {
            Some((_, above)) => at = above,
            None => return Ok(None),
        }
    }
}

impl Applicant<'_> {
    /// Returns the name whose records allow the certificate of `name`, if there are any.
    async fn examine(
        &self,
        name: &str,
        servers: &NameServers,
        step_timeout: Duration,
    ) -> Result<Option<String>, CheckFinding> {
        let late = |_| Err(format!("{name}: no answer within {step_timeout:?}"));
        let found = timeout(step_timeout, relevant(servers, name)).await;
        let found = found.unwrap_or_else(late);
        let Some((at, properties)) = found.map_err(|error| unanswered(&error))? else {
            return Ok(None);
        };
        match self.judge(&at, &properties) {
            Ok(()) => Ok(Some(at)),
            Err((text, remedy)) => Err(CHECK.fail(format!("{name}: {text}"), remedy)),
        }
    }

    /// Returns why the properties of the name `at` forbid the certificate, and what to do.
    fn judge(&self, at: &str, properties: &[Property]) -> Result<(), Objection> {
        let is_unknown = |property: &&Property| property.is_critical && !is_known(&property.tag);
        if let Some(unknown) = properties.iter().find(is_unknown) {
            let tag = &unknown.tag;
            return Err((
                format!("{at} has the critical property \"{tag}\", which authorities may not know"),
                "remove the record, or its critical flag".into(),
            ));
        }
        let issue: Vec<_> = properties.iter().filter(|it| it.tag == "issue").collect();
        match issue.is_empty() {
            true => Ok(()),
            false => self.judge_permissions(at, &issue),
        }
    }

    /// One permission for this authority and this program is enough.
    fn judge_permissions(&self, at: &str, issue: &[&Property]) -> Result<(), Objection> {
        let permissions = issue
            .iter()
            .map(|property| Permission::parse(&property.value));
        let mut objection = None;
        for permission in permissions.filter(|permission| self.is_meant(permission)) {
            match self.objection(&permission) {
                Some(other) => objection = Some(other),
                None => return Ok(()),
            }
        }
        Err(match objection {
            Some((text, remedy)) => (format!("the record of {at} {text}"), remedy),
            None => (
                format!("the records of {at} allow {}", listed(issue)),
                self.remedy(at),
            ),
        })
    }

    fn is_meant(&self, permission: &Permission<'_>) -> bool {
        let mut names = self.authority.iter();
        names.any(|name| name.eq_ignore_ascii_case(permission.authority))
    }

    /// Returns what keeps a permission for this authority from being one for this program
    /// (RFC 8657).
    fn objection(&self, permission: &Permission<'_>) -> Option<Objection> {
        let methods = permission.parameter("validationmethods");
        let other = |methods: &&str| !methods.split(',').any(|method| method.trim() == METHOD);
        if let Some(methods) = methods.filter(other) {
            let text = format!("allows only the validations {methods}");
            return Some((text, format!("add {METHOD} to validationmethods")));
        }
        self.objection_to_account(permission.parameter("accounturi")?)
    }

    fn objection_to_account(&self, account: &str) -> Option<Objection> {
        let text = format!("allows only the account {account}");
        match self.account {
            Some(own) if own == account => None,
            Some(own) => Some((text, format!("name the account of this program, {own}"))),
            None => Some((
                format!("{text}, and there is no other to compare it with"),
                "run this as the user of the service, once the program has an account".into(),
            )),
        }
    }

    fn remedy(&self, at: &str) -> String {
        let authority = self.authority.first().map_or("", String::as_str);
        format!("add the record: {at} CAA 0 issue \"{authority}\"")
    }
}

/// Returns `true` for properties that every authority knows.
fn is_known(tag: &str) -> bool {
    matches!(tag, "issue" | "issuewild" | "iodef")
}

fn listed(issue: &[&Property]) -> String {
    let authorities = issue
        .iter()
        .map(|property| Permission::parse(&property.value).authority);
    let authorities: Vec<_> = authorities.filter(|name| !name.is_empty()).collect();
    match authorities.is_empty() {
        true => "no authority".into(),
        false => format!("only {}", authorities.join(", ")),
    }
}

/// The value of an `issue` property (RFC 8659, section 4.2).
struct Permission<'v> {
    /// Empty if none is allowed.
    authority: &'v str,
    parameters: Vec<(&'v str, &'v str)>,
}

impl<'v> Permission<'v> {
    fn parse(value: &'v str) -> Self {
        let mut parts = value.split(';').map(str::trim);
        let authority = parts.next().unwrap_or_default();
        let parameters = parts.filter_map(|part| part.split_once('='));
        Self {
            authority,
            parameters: parameters
                .map(|(tag, value)| (tag.trim(), value.trim()))
                .collect(),
        }
    }

    fn parameter(&self, tag: &str) -> Option<&'v str> {
        let mut parameters = self.parameters.iter();
        parameters
            .find(|(other, _)| other.eq_ignore_ascii_case(tag))
            .map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "https://ca.example/acct/1";

    /// What is objected to properties, each as "tag value", of which a critical one begins with "!".
    fn judged(properties: &[&str]) -> String {
        let properties: Vec<_> = properties
            .iter()
            .map(|text| {
                let (tag, value) = text.split_once(' ').unwrap();
                Property {
                    is_critical: tag.starts_with('!'),
                    tag: tag.trim_start_matches('!').into(),
                    value: value.into(),
                }
            })
            .collect();
        let authority = ["ca.example".to_owned(), "other-name.example".to_owned()];
        let applicant = Applicant {
            authority: &authority,
            account: Some(ACCOUNT),
        };
        let judged = applicant.judge("a.example", &properties);
        judged.map_or_else(
            |(text, remedy)| format!("{text}: {remedy}"),
            |()| String::new(),
        )
    }

    #[test]
    fn an_authority_is_allowed_by_its_name_or_by_no_restriction() {
        for properties in [
            &["issue ca.example"][..],
            &["issue CA.Example"],
            &["issue other.example", "issue other-name.example"],
            &["issue  ca.example ; x=y"],
            // Of wildcards, and of mail about violations.
            &["issuewild other.example"],
            &["iodef mailto:a@b.example"],
            &["!issue ca.example"],
            &["issue ;", "issue ca.example"],
            &["issue ca.example; validationmethods=http-01,tls-alpn-01"],
            &[
                "issue ca.example; accounturi=https://ca.example/acct/1; validationmethods=tls-alpn-01",
            ],
            &[
                "issue ca.example; accounturi=https://ca.example/acct/2",
                "issue ca.example",
            ],
        ] {
            assert_eq!(judged(properties), "", "{properties:?}");
        }
    }

    #[test]
    fn whatever_forbids_the_certificate_is_told_with_the_remedy() {
        let check = |properties: &[&str], text: &str, remedy: &str| {
            let judged = judged(properties);
            assert!(
                judged.contains(text) && judged.contains(remedy),
                "{properties:?}: {judged}"
            );
        };
        let record = "a.example CAA 0 issue \"ca.example\"";
        check(&["issue other.example"], "allow only other.example", record);
        check(
            &["issue b.example", "issue c.example"],
            "only b.example, c.example",
            record,
        );
        check(&["issue ;"], "allow no authority", record);
        check(&["issue "], "allow no authority", record);
        check(&["issue %%%"], "allow only %%%", record);
        check(
            &["issue ca.example.evil.example"],
            "allow only ca.example.evil",
            record,
        );
        check(
            &["!tbs x", "issue ca.example"],
            "critical property \"tbs\"",
            "remove",
        );
        check(
            &["issue ca.example; validationmethods=dns-01"],
            "only the validations dns-01",
            "add tls-alpn-01",
        );
        check(
            &["issue ca.example; accounturi=https://ca.example/acct/2"],
            "only the account https://ca.example/acct/2",
            ACCOUNT,
        );
    }
}
