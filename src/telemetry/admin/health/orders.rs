//! Describes what is wrong with certificates by ACME, in sentences.

use crate::tls::acme::AcmeStatus;

/// The sentence about a store that is lost.
const TRANSIENT: &str = "The state of ACME is lost with the container or the machine's next start, and each one then \
                         orders a certificate, of which authorities issue few. Set tls.acme.state to a volume.";

/// Returns a sentence for each problem.
pub(super) fn describe(acme: &AcmeStatus, now: i64) -> Vec<String> {
    let explanation = acme.explanation.as_ref().map(|explanation| {
        format!("The authority explains when it wants the certificate renewed: see {explanation}.")
    });
    let fault = acme
        .store_fault
        .as_ref()
        .map(|fault| format!("The state of ACME cannot be used, so nothing is ordered: {fault}."));
    let clock = acme.clock_skew.map(|skew| {
        let skew = skew.to_string().replacen("the", "The", 1);
        format!("{skew}: synchronise it, or certificates seem expired, or not valid yet.")
    });
    let transient = acme.is_transient.then(|| TRANSIENT.to_owned());
    [failure(acme, now), explanation, fault, clock, transient]
        .into_iter()
        .flatten()
        .collect()
}

/// Describes the last failure, unless a success followed it.
fn failure(acme: &AcmeStatus, now: i64) -> Option<String> {
    let problem = acme.problem.as_ref().filter(|_| acme.failures > 0)?;
    let times = match acme.failures {
        1 => String::new(),
        times => format!(" {times} times in a row, the last time"),
    };
    let wait = acme.retry_at.map_or(0, |at| (at - now).max(0)) / 60;
    Some(format!(
        "No certificate was issued for {}{times}: {} ({}). The next try is in {wait} min.",
        acme.names, problem.detail, problem.code
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::acme::{ClockSkew, ProblemRecord};

    #[test]
    fn what_the_authority_said_is_told_until_it_issues_a_certificate() {
        let mut acme = AcmeStatus {
            names: "hooks.example".into(),
            failures: 1,
            problem: Some(ProblemRecord {
                code: "caa".into(),
                detail: "CAA forbids it".into(),
            }),
            retry_at: Some(1000 + 600),
            ..AcmeStatus::default()
        };
        let told = |acme: &AcmeStatus| describe(acme, 1000);
        assert_eq!(
            told(&acme),
            [
                "No certificate was issued for hooks.example: CAA forbids it (caa). The next try is in 10 min."
            ]
        );
        acme.failures = 3;
        assert!(told(&acme)[0].contains("hooks.example 3 times in a row, the last time: CAA"));
        acme.failures = 0;
        assert!(told(&acme).is_empty());
        acme.is_transient = true;
        acme.store_fault = Some("disk".into());
        acme.explanation = Some("https://ca/why".into());
        acme.clock_skew = ClockSkew::of(-90);
        let told = told(&acme);
        assert_eq!(told.len(), 4);
        assert!(
            told[0].contains("https://ca/why")
                && told[1].contains("disk")
                && told[2].starts_with("The clock of this machine is 90 s behind")
                && told[3].contains("volume")
        );
    }
}
