//! Check: an authority that validates a name reaches this server, at each of its addresses.

use super::validator::{Miss, validate};
use crate::commands::doctor::finding::{Check, CheckFinding, FindingLevel};
use crate::config::{Acme, Domain};
use crate::database::open_existing_acme;
use crate::tls::acme::{Trial, unix_now};
use futures_util::future::join_all;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::time::timeout;

const CHECK: Check = Check("ACME validation");

/// The port that authorities connect to.
const PORT: u16 = 443;

/// An address of a name, and what a validation meets there.
type Outcome = (SocketAddr, Result<(), Miss>);

/// Tries the validation of each name, as an authority makes it.
pub(in crate::commands::doctor) async fn check(
    acme: &Acme,
    step_timeout: Duration,
) -> CheckFinding {
    let (mut reached, mut warning) = (Vec::new(), None);
    for domain in &acme.domains {
        match check_domain(acme, domain, step_timeout).await {
            Ok(addresses) => reached.extend(addresses),
            Err(finding) if finding.level == FindingLevel::Warn => warning = Some(finding),
            Err(finding) => return finding,
        }
    }
    warning.unwrap_or_else(|| CHECK.pass(format!("{} lead here", list(&reached))))
}

/// Returns the addresses of a name if all of them lead to this server.
async fn check_domain(
    acme: &Acme,
    domain: &Domain,
    step_timeout: Duration,
) -> Result<Vec<SocketAddr>, CheckFinding> {
    let addresses = resolve(domain, step_timeout).await.map_err(|error| {
        let text = format!("{domain} cannot be resolved: {error}");
        CHECK.fail(text, "add an A or AAAA record, which authorities look up")
    })?;
    let store = open_existing_acme(acme).map_err(|error| CHECK.skip(error))?;
    let trial = Trial::begin(store, domain, unix_now())
        .await
        .map_err(|error| CHECK.skip(error))?;
    let outcomes = validate_each(&trial, domain, &addresses, step_timeout).await;
    trial.end().await;
    judge(domain, outcomes)
}

/// Validates a name at all addresses at once: the trial ends soon.
async fn validate_each(
    trial: &Trial,
    domain: &Domain,
    addresses: &[SocketAddr],
    step_timeout: Duration,
) -> Vec<Outcome> {
    let outcomes = addresses.iter().map(|address| async {
        let outcome = validate(trial, domain, *address, step_timeout).await;
        (*address, outcome)
    });
    join_all(outcomes).await
}

/// Returns the addresses if all of them lead to this server.
fn judge(domain: &Domain, outcomes: Vec<Outcome>) -> Result<Vec<SocketAddr>, CheckFinding> {
    let (mut reached, mut missed) = (Vec::new(), Vec::new());
    for (address, outcome) in outcomes {
        match outcome {
            Ok(()) => reached.push(address),
            Err(miss) => missed.push((address, miss)),
        }
    }
    // As authorities try them.
    missed.sort_by_key(|(address, _)| address.is_ipv4());
    let Some((first, miss)) = missed.first() else {
        return Ok(reached);
    };
    let mut texts: Vec<_> = missed
        .iter()
        .map(|(address, miss)| format!("{domain} at {address}: {}", miss.text()))
        .collect();
    if !reached.is_empty() {
        let consequence = consequence(*first, &reached);
        texts.push(format!("only {} leads here, {consequence}", list(&reached)));
    }
    let text = texts.join("; ");
    match missed.iter().all(|miss| is_passed_over(miss, &reached)) {
        true => Err(CHECK.warn(text, miss.remedy())),
        false => Err(CHECK.fail(text, miss.remedy())),
    }
}

/// Returns what follows from an address that leads elsewhere while others lead here.
fn consequence(missed: SocketAddr, reached: &[SocketAddr]) -> &'static str {
    let is_same = |address: &SocketAddr| address.is_ipv6() == missed.is_ipv6();
    match (reached.iter().any(is_same), missed) {
        (true, _) => "and authorities take any address",
        (false, SocketAddr::V6(_)) => {
            "and authorities take IPv4 only if IPv6 does not accept a connection"
        }
        (false, SocketAddr::V4(_)) => "where authorities try first, but Netdata Cloud has no IPv6",
    }
}

/// Returns `true` if authorities go on with another address that leads here.
fn is_passed_over((address, miss): &(SocketAddr, Miss), reached: &[SocketAddr]) -> bool {
    let has_other = reached.iter().any(SocketAddr::is_ipv4);
    address.is_ipv6() && has_other && matches!(miss, Miss::Unconnected(_))
}

fn list(addresses: &[SocketAddr]) -> String {
    let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

async fn resolve(domain: &Domain, step_timeout: Duration) -> io::Result<Vec<SocketAddr>> {
    if let Domain::Ip(address) = domain {
        return Ok(vec![(*address, PORT).into()]);
    }
    let found = timeout(step_timeout, lookup_host((domain.to_string(), PORT))).await;
    let addresses: Vec<_> = found.map_err(|_| io::ErrorKind::TimedOut)??.collect();
    match addresses.is_empty() {
        true => Err(io::Error::other("it has no address")),
        false => Ok(addresses),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(ip: &str, miss: Option<Miss>) -> Outcome {
        let address = SocketAddr::new(ip.parse().unwrap(), PORT);
        (address, miss.map_or(Ok(()), Err))
    }

    fn unconnected() -> Option<Miss> {
        Some(Miss::Unconnected(io::ErrorKind::ConnectionRefused.into()))
    }

    #[test]
    fn what_an_address_that_leads_elsewhere_means_depends_on_the_others() {
        let check = |first: Outcome, second: Outcome, level: FindingLevel, says: &str| {
            let domain = Domain::parse("a.example").unwrap();
            let finding = judge(&domain, vec![first, second]).unwrap_err();
            assert_eq!(finding.level, level, "{finding:?}");
            assert!(finding.text.contains(says), "{says}: {finding:?}");
        };
        let (four, six) = ("192.0.2.1", "2001:db8::1");
        check(
            outcome(four, None),
            outcome(six, Some(Miss::NoAnswer)),
            FindingLevel::Fail,
            "only 192.0.2.1:443 leads here, and authorities take IPv4 only if IPv6 does not",
        );
        check(
            outcome(four, None),
            outcome(six, unconnected()),
            FindingLevel::Warn,
            "a.example at [2001:db8::1]:443: no connection: ",
        );
        check(
            outcome(six, None),
            outcome(four, unconnected()),
            FindingLevel::Fail,
            "where authorities try first, but Netdata Cloud has no IPv6",
        );
        check(
            outcome("192.0.2.2", None),
            outcome(four, Some(Miss::OtherDigest)),
            FindingLevel::Fail,
            "and authorities take any address",
        );
        check(
            outcome(four, unconnected()),
            outcome(six, Some(Miss::NoAnswer)),
            FindingLevel::Fail,
            "takes no validations; a.example at 192.0.2.1:443: no connection",
        );
    }
}
