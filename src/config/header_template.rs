//! The values of `set_headers`: text with variables, as NGINX's `proxy_set_header` has them.

use std::borrow::Cow;
use std::fmt;

/// A variable that a value may refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// The verified certificate's common name.
    ClientCn,
    /// The subject of the certificate, as RFC 4514 has it.
    ClientDn,
    /// The subject of the certificate, as OpenSSL used to write it.
    ClientDnLegacy,
    /// The issuer of the certificate, as RFC 4514 has it.
    ClientIssuerDn,
    /// The issuer of the certificate, as OpenSSL used to write it.
    ClientIssuerDnLegacy,
    /// The certificate's serial number, hexadecimal in upper case.
    ClientSerial,
    /// The certificate's SHA-256 in hexadecimal.
    ClientFingerprint,
    /// The certificate itself, in PEM, percent-encoded.
    ClientCert,
    /// The time until which the certificate is valid.
    ClientNotAfter,
    /// The number of days for which the certificate is valid.
    ClientDaysLeft,
    /// `SUCCESS` where a certificate was verified, otherwise `NONE`.
    ClientVerify,
    /// The IP address of the client.
    RemoteAddr,
    /// The id of the request, as in logs.
    RequestId,
    /// The kind of the notification.
    Notification,
    /// The severity of the notification.
    Severity,
    /// The request's host, in lower case and without its port.
    Host,
    /// The request's `Host`, as it came.
    HttpHost,
    /// The port that the request came to.
    ServerPort,
}

/// Every variable with its name, without the `$`.
const VARIABLES: [(&str, Variable); 18] = [
    ("client_cn", Variable::ClientCn),
    ("client_dn", Variable::ClientDn),
    ("client_dn_legacy", Variable::ClientDnLegacy),
    ("client_issuer_dn", Variable::ClientIssuerDn),
    ("client_issuer_dn_legacy", Variable::ClientIssuerDnLegacy),
    ("client_serial", Variable::ClientSerial),
    ("client_fingerprint", Variable::ClientFingerprint),
    ("client_cert", Variable::ClientCert),
    ("client_not_after", Variable::ClientNotAfter),
    ("client_days_left", Variable::ClientDaysLeft),
    ("client_verify", Variable::ClientVerify),
    ("remote_addr", Variable::RemoteAddr),
    ("request_id", Variable::RequestId),
    ("notification", Variable::Notification),
    ("severity", Variable::Severity),
    ("host", Variable::Host),
    ("http_host", Variable::HttpHost),
    ("server_port", Variable::ServerPort),
];

#[derive(Clone, PartialEq, Eq)]
enum TemplatePart {
    Text(String),
    Variable(Variable),
}

/// A header's value, parsed into text and variables.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HeaderTemplate(Vec<TemplatePart>);

impl fmt::Debug for HeaderTemplate {
    /// Hides the text, which may be a credential for the application.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeaderTemplate(..)")
    }
}

/// Names the variable that does not exist.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownVariable(pub String);

impl fmt::Display for UnknownVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "there is no variable ${}; there are {}",
            self.0,
            variables()
        )
    }
}

/// Returns every variable, and how a dollar sign is written.
pub(crate) fn variables() -> String {
    let names: Vec<_> = VARIABLES
        .iter()
        .map(|(name, _)| format!("${name}"))
        .collect();
    format!("{}, and $$ for a dollar sign", names.join(", "))
}

impl HeaderTemplate {
    /// Reads text in which `$name` and `${name}` are variables and `$$` is a dollar sign.
    pub fn parse(text: &str) -> Result<Self, UnknownVariable> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            push_text(&mut parts, &rest[..dollar]);
            rest = &rest[dollar + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                push_text(&mut parts, "$");
                rest = after;
                continue;
            }
            let (name, after) = split_name(rest);
            let known = VARIABLES.iter().find(|(known, _)| *known == name);
            let (_, variable) = known.ok_or_else(|| UnknownVariable(name.to_owned()))?;
            parts.push(TemplatePart::Variable(*variable));
            rest = after;
        }
        push_text(&mut parts, rest);
        Ok(Self(parts))
    }

    /// Returns the text, where there is no variable in it.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.0[..] {
            [TemplatePart::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Returns `true` if the value is the request's own host.
    pub(crate) fn is_host(&self) -> bool {
        matches!(
            self.0[..],
            [TemplatePart::Variable(Variable::Host | Variable::HttpHost)]
        )
    }

    /// Returns the text, with `value` called for each variable.
    pub fn render<'v>(&self, value: impl Fn(Variable) -> Cow<'v, str>) -> String {
        let mut rendered = String::new();
        for part in &self.0 {
            match part {
                TemplatePart::Text(text) => rendered.push_str(text),
                TemplatePart::Variable(variable) => rendered.push_str(&value(*variable)),
            }
        }
        rendered
    }
}

/// Splits what follows a `$` after the name of a variable, which may be in braces.
fn split_name(text: &str) -> (&str, &str) {
    let braced = text.strip_prefix('{').and_then(|it| it.split_once('}'));
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    braced.unwrap_or_else(|| text.split_at(end))
}

fn push_text(parts: &mut Vec<TemplatePart>, text: &str) {
    match parts.last_mut() {
        Some(TemplatePart::Text(last)) => last.push_str(text),
        _ if text.is_empty() => {}
        _ => parts.push(TemplatePart::Text(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let value = |variable| match variable {
            Variable::ClientCn => "app.netdata.cloud".into(),
            Variable::RemoteAddr => "192.0.2.1".into(),
            _ => "".into(),
        };
        assert_eq!(
            HeaderTemplate::parse(text).unwrap().render(value),
            expected,
            "{text}"
        );
    }

    #[test]
    fn variables_are_replaced() {
        check("", "");
        check("plain", "plain");
        check("$client_cn", "app.netdata.cloud");
        check(
            "a $remote_addr/$client_cn.",
            "a 192.0.2.1/app.netdata.cloud.",
        );
        check("$severity", "");
        check("5$$ $$client_cn", "5$ $client_cn");
        check(
            "${client_cn}s$${remote_addr",
            "app.netdata.clouds${remote_addr",
        );
    }

    #[test]
    fn unknown_variables_are_errors() {
        for (text, name) in [
            ("$client", "client"),
            ("$", ""),
            ("${client}_cn", "client"),
            ("${client_cn", ""),
            ("x$ssl_client_s_dn y", "ssl_client_s_dn"),
        ] {
            assert_eq!(
                HeaderTemplate::parse(text),
                Err(UnknownVariable(name.into())),
                "{text}"
            );
        }
    }
}
