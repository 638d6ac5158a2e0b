//! The checks of one target, in their order.

use super::checks::{caa, directory, health, name, port, validation};
use super::client::CheckClient;
use super::examination::Examination;
use super::finding::{Check, CheckFinding};
use super::options::CheckOptions;
use super::target::CheckTarget;
use crate::config::Acme;
use crate::tls::acme::Directory;
use std::net::SocketAddr;
use tokio::time::timeout;

/// Makes all checks that are possible.
pub(super) async fn examine(target: &CheckTarget, options: &CheckOptions) -> Vec<CheckFinding> {
    let mut findings = examine_listener(target, options).await;
    if let Some(acme) = &target.acme {
        findings.extend(examine_acme(acme, options).await);
    }
    if let Some(upstream) = &target.upstream {
        findings.extend(health::check(upstream, options.step_timeout).await);
    }
    findings
}

/// Makes the checks of what an authority needs to issue a certificate.
async fn examine_acme(acme: &Acme, options: &CheckOptions) -> Vec<CheckFinding> {
    let directory = timeout(options.step_timeout, Directory::read(acme)).await;
    let late = format!("no answer within {:?}", options.step_timeout);
    let directory = directory.unwrap_or(Err(late));
    let mut findings = vec![directory::check(acme, &directory)];
    if let Ok(directory) = &directory {
        let servers = &options.name_servers;
        findings.push(caa::check(acme, directory, servers, options.step_timeout).await);
    }
    findings.push(validation::check(acme, options.step_timeout).await);
    findings
}

async fn examine_listener(target: &CheckTarget, options: &CheckOptions) -> Vec<CheckFinding> {
    let (mut findings, address) = reach(target, options).await;
    if let Some(address) = address {
        findings.extend(examine_server(target, options, address).await);
    }
    findings
}

/// Checks the name and the port. Also returns the address for the other checks, if there is one.
async fn reach(
    target: &CheckTarget,
    options: &CheckOptions,
) -> (Vec<CheckFinding>, Option<SocketAddr>) {
    let webhook = &target.webhook;
    let resolved = webhook.resolve(options.step_timeout).await;
    let on_name = (!target.is_further_path).then(|| name::check(webhook, &resolved));
    let addresses = match webhook.address {
        Some(address) => vec![address],
        None => resolved.unwrap_or_default(),
    };
    let (on_port, address) = port::check(webhook, &addresses, options.step_timeout).await;
    // Further paths have the same port: only a failure is worth repeating.
    let on_port = (address.is_none() || !target.is_further_path).then_some(on_port);
    (on_name.into_iter().chain(on_port).collect(), address)
}

async fn examine_server(
    target: &CheckTarget,
    options: &CheckOptions,
    address: SocketAddr,
) -> Vec<CheckFinding> {
    let client = CheckClient {
        target: &target.webhook,
        address,
        step_timeout: options.step_timeout,
    };
    let mut examination = Examination::new(target, options, client);
    match examination.run().await {
        Ok(()) => examination.findings,
        Err(error) => {
            let mut findings = examination.findings;
            findings.push(Check("internal").fail(error, "report it"));
            findings
        }
    }
}
