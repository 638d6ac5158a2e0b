//! The checks of one target, in their order.

use super::checks::{
    admission, certificate, challenge, client_request, clock, idle, name, old_versions, port, redirect, resumption,
    versions,
};
use super::client::{Client, Outcome};
use super::finding::Finding;
use super::forgery::forged;
use super::heard::Heard;
use super::means::Means;
use super::question::post;
use super::recorder::Tls;
use super::target::Target;

/// Makes all checks that can be made.
pub(super) async fn examine(target: &Target, means: &Means) -> Vec<Finding> {
    let mut findings = Vec::new();
    let place = &target.place;
    let addresses = place.resolve(means.patience).await;
    if !target.is_further_path {
        findings.push(name::check(place, &addresses));
    }
    let addresses = place.address.map(|address| vec![address]).or(addresses.ok()).unwrap_or_default();
    let (finding, address) = port::check(place, &addresses, means.patience).await;
    if address.is_none() || !target.is_further_path {
        findings.push(finding);
    }
    let Some(address) = address else { return findings };
    let client = Client { place, address, patience: means.patience };
    match converse(target, means, client, &mut findings).await {
        Ok(()) => {}
        Err(error) => findings.push(Finding::fail("internal", error, "report it")),
    }
    findings
}

async fn converse(
    target: &Target,
    means: &Means,
    client: Client<'_>,
    findings: &mut Vec<Finding>,
) -> Result<(), String> {
    let (place, expected) = (&target.place, &target.expected);
    let mut heard = Heard::default();
    let tls = |credentials| place.is_https.then(|| Tls::new(credentials, rustls::ALL_VERSIONS)).transpose();

    let nobody = tls(None)?;
    let without = client.ask(nobody.as_ref(), &post(place)).await;
    heard.keep(&without);
    if place.is_https && without.shown.chain.is_empty() && matches!(without.outcome, Outcome::Silent) {
        // Everything else would only wait, too.
        findings.extend(certificate::check(place, &without, means));
        return Ok(());
    }
    if place.is_https && !target.is_further_path {
        findings.extend(certificate::check(place, &without, means));
        findings.push(client_request::check(expected, &without));
        findings.push(versions::check(client).await?);
        findings.push(old_versions::check(client).await);
    } else if !place.is_https {
        findings.push(Finding::warn(
            "certificate",
            "there is no TLS here: whoever is on the way can read and forge notifications",
            "use https://, unless this is behind a balancer that ends TLS; examine that one's URL, too",
        ));
    }

    findings.push(admission::check_nobody(expected, &without));
    let forged = match expected.authorities.first() {
        Some(authority) if place.is_https && expected.asks_for_certificate => {
            let forged = forged(authority, &expected.common_name)?;
            let stranger = client.ask(tls(Some(forged.clone()))?.as_ref(), &post(place)).await;
            heard.keep(&stranger);
            findings.push(admission::check_stranger(expected, &stranger));
            Some(forged)
        }
        _ => None,
    };
    if place.is_https && !without.shown.chain.is_empty() {
        findings.push(resumption::check(client, expected, forged, means.credentials.clone()).await?);
    }

    let ours = tls(means.credentials.clone())?;
    let (finding, answered) = challenge::check(client, expected, ours.as_ref(), means.credentials.is_some()).await;
    findings.push(finding);
    if let Some(answered) = answered {
        heard.keep(&answered);
    }
    findings.push(redirect::check(&heard));
    if !target.is_further_path {
        findings.push(idle::check(client, expected, ours.as_ref(), means.idle).await);
    }
    findings.push(clock::check(&heard));
    Ok(())
}
