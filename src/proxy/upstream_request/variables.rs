//! The values of the variables in `set_headers`.

use crate::auth::ClientIdentity;
use crate::config::header_template::Variable;
use crate::proxy::origin::Origin;
use crate::proxy::verified::RequestFacts;
use crate::telemetry::context::Context;
use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

/// The request that the values are taken from.
pub(super) struct Variables<'r> {
    host: &'r str,
    origin: &'r Origin,
    context: &'r Context,
    facts: RequestFacts<'r>,
}

impl<'r> Variables<'r> {
    pub(super) fn new(
        host: &'r [u8],
        origin: &'r Origin,
        context: &'r Context,
        facts: RequestFacts<'r>,
    ) -> Self {
        Self {
            host: std::str::from_utf8(host).unwrap_or_default(),
            origin,
            context,
            facts,
        }
    }

    /// Returns the value of a variable; it is empty where it is not known.
    pub(super) fn value(&self, variable: Variable) -> Cow<'r, str> {
        match self.facts.authenticated.identity() {
            Some(identity) => {
                of_identity(variable, identity).unwrap_or_else(|| self.of_request(variable))
            }
            None if variable == Variable::ClientVerify => "NONE".into(),
            None => self.of_request(variable),
        }
    }

    /// Returns the value of a variable that does not depend on a client certificate.
    fn of_request(&self, variable: Variable) -> Cow<'r, str> {
        let notification = self.facts.notification;
        match variable {
            Variable::RemoteAddr => text(self.context.remote_addr),
            Variable::RequestId => self.context.request_id.as_str().into(),
            Variable::Notification => notification.map_or("", |it| it.kind.as_str()).into(),
            Variable::Severity => {
                let severity = notification.and_then(|it| it.severity.as_deref());
                severity.unwrap_or_default().into()
            }
            Variable::Host => host_name(self.host).into(),
            Variable::HttpHost => self.host.into(),
            Variable::ServerPort => text(self.origin.port),
            _ => "".into(),
        }
    }
}

/// Returns the value of a variable that depends on a client certificate; `None` for any other.
fn of_identity(variable: Variable, identity: &ClientIdentity) -> Option<Cow<'_, str>> {
    let computed = match variable {
        Variable::ClientCert => identity.escaped_pem(),
        Variable::ClientNotAfter => identity.not_after_text(),
        Variable::ClientDaysLeft => identity.days_left(unix_time()).to_string(),
        other => return kept_in(identity, other).map(Cow::Borrowed),
    };
    Some(computed.into())
}

/// Returns the value of a variable that an identity contains as it is.
fn kept_in(identity: &ClientIdentity, variable: Variable) -> Option<&str> {
    Some(match variable {
        Variable::ClientCn => identity.common_name().unwrap_or_default(),
        Variable::ClientDn => &identity.subject_dn.rfc4514,
        Variable::ClientDnLegacy => &identity.subject_dn.oneline,
        Variable::ClientIssuerDn => &identity.issuer_dn.rfc4514,
        Variable::ClientIssuerDnLegacy => &identity.issuer_dn.oneline,
        Variable::ClientSerial => &identity.serial,
        Variable::ClientFingerprint => &identity.fingerprint,
        Variable::ClientVerify => "SUCCESS",
        _ => return None,
    })
}

fn text(value: Option<impl ToString>) -> Cow<'static, str> {
    let text = value.map(|value| value.to_string());
    text.unwrap_or_default().into()
}

/// Returns a host as NGINX's `$host` contains it: in lower case, without its port, and without a
/// dot at its end.
fn host_name(host: &str) -> String {
    let name = without_port(host);
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn without_port(host: &str) -> &str {
    let end = match host.starts_with('[') {
        true => host.find(']').map(|at| at + 1),
        false => host.find(':'),
    };
    &host[..end.unwrap_or(host.len())]
}

fn unix_time() -> i64 {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}
