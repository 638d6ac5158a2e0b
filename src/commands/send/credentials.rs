//! What each request carries besides its body: `Authorization`, and further headers.

use super::arguments::{CredentialOptions, DeliveryOptions};
use crate::auth::secret::Secret;
use crate::commands::client::ClientResponse;
use crate::config::{read_secret_file, read_secret_variable};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memmem;
use std::path::Path;
use zeroize::Zeroizing;

/// Headers that say where a request ends or how a connection goes on.
const RESERVED: [HeaderName; 8] = [
    HOST,
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What is shorter may stand anywhere by chance.
const MIN_MASKED: usize = 4;

/// What is sent with each request, and shown to nobody else.
pub(super) struct RequestHeaders {
    pub(super) headers: HeaderMap,
    secrets: Vec<Secret>,
}

impl RequestHeaders {
    /// What `delivery` asks for.
    ///
    /// # Errors
    /// Says which header or credentials are wrong, and nothing of what is in them.
    pub(super) fn new(delivery: &DeliveryOptions) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        for header in &delivery.headers {
            let (name, value) = parse(header)?;
            headers.append(name, value);
        }
        let mut secrets: Vec<_> = headers
            .values()
            .map(|value| Secret::new(value.as_bytes().to_vec()))
            .collect();
        if let Some((value, parts)) = authorization(&delivery.credentials)? {
            headers.insert(AUTHORIZATION, value);
            secrets.extend(parts);
        }
        Ok(Self { headers, secrets })
    }

    /// Hides in an answer what was sent with the request: there are servers that send it back.
    pub(super) fn mask(&self, answer: &mut ClientResponse) {
        for secret in self
            .secrets
            .iter()
            .map(Secret::expose)
            .filter(|secret| secret.len() >= MIN_MASKED)
        {
            let places: Vec<_> = memmem::find_iter(&answer.body, secret).collect();
            places
                .into_iter()
                .for_each(|start| answer.body[start..start + secret.len()].fill(b'*'));
            let reveals =
                |value: &&mut HeaderValue| memmem::find(value.as_bytes(), secret).is_some();
            answer
                .headers
                .values_mut()
                .filter(reveals)
                .for_each(|value| *value = HeaderValue::from_static("***"));
        }
    }
}

fn parse(header: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = header
        .split_once(':')
        .ok_or("--header must be \"NAME: VALUE\"")?;
    let name: HeaderName = name
        .trim()
        .parse()
        .map_err(|_| "--header: the name is none that a header can have")?;
    if RESERVED.contains(&name) {
        return Err(format!("--header: {name} is set by this program"));
    }
    if name == AUTHORIZATION {
        return Err("--header: others on this machine can see it; use --bearer-file, --bearer-env or --basic".into());
    }
    let mut value: HeaderValue = value
        .trim()
        .parse()
        .map_err(|_| format!("--header: the value of {name} is none that a header can have"))?;
    // What it is for is not known here.
    value.set_sensitive(true);
    Ok((name, value))
}

/// The value of the header, and what in it must not be seen.
fn authorization(
    credentials: &CredentialOptions,
) -> Result<Option<(HeaderValue, Vec<Secret>)>, String> {
    let CredentialOptions {
        basic,
        password_file,
        password_env,
        bearer_file,
        bearer_env,
    } = credentials;
    let (scheme, secrets) = if let Some(username) = basic {
        if username.contains(':') {
            return Err("--basic: a user name must not contain \":\"".into());
        }
        let password = read(password_file.as_deref(), password_env.as_deref())?;
        let pair = Zeroizing::new([username.as_bytes(), b":", password.expose()].concat());
        (
            "Basic ",
            vec![
                Secret::new(BASE64_STANDARD.encode(&*pair).into_bytes()),
                password,
            ],
        )
    } else if bearer_file.is_some() || bearer_env.is_some() {
        (
            "Bearer ",
            vec![read(bearer_file.as_deref(), bearer_env.as_deref())?],
        )
    } else {
        return Ok(None);
    };
    let text = Zeroizing::new([scheme.as_bytes(), secrets[0].expose()].concat());
    let mut value = HeaderValue::from_bytes(&text).map_err(
        |_| "the Bearer token holds characters that cannot stand in a header, such as a line end",
    )?;
    value.set_sensitive(true);
    Ok(Some((value, secrets)))
}

fn read(file: Option<&Path>, variable: Option<&str>) -> Result<Secret, String> {
    match (file, variable) {
        (Some(file), _) => read_secret_file(file),
        (None, Some(variable)) => read_secret_variable(variable),
        (None, None) => Err("--basic needs --password-file FILE or --password-env VARIABLE".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_that_can_be_sent() {
        let (name, value) = parse("X-Key:  a b ").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("x-key", "a b"));
        assert!(!format!("{value:?}").contains("a b"));
        for (header, expected) in [
            ("X-Key", "NAME: VALUE"),
            ("a b: c", "the name"),
            (": c", "the name"),
            ("X-Key: s3cret\r\nY: z", "the value of x-key"),
            ("content-length: 5", "is set by this program"),
            ("Authorization: Bearer s3cret", "--bearer-file"),
        ] {
            let error = parse(header).unwrap_err();
            assert!(
                error.contains(expected) && !error.contains("s3cret"),
                "{header}: {error}"
            );
        }
    }

    #[test]
    fn what_a_server_sends_back_is_masked() {
        let headers = [("location", "/?s3cret"), ("x-a", "b")].map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        let body = b"Bearer s3cret, s3cret: a".to_vec();
        let mut answer = ClientResponse {
            body,
            headers: headers.into_iter().collect(),
            ..ClientResponse::default()
        };
        let secrets = ["s3cret", "a", "****"]
            .map(|secret| Secret::new(secret.as_bytes().to_vec()))
            .to_vec();
        RequestHeaders {
            headers: HeaderMap::new(),
            secrets,
        }
        .mask(&mut answer);
        assert_eq!(
            String::from_utf8_lossy(&answer.body),
            "Bearer ******, ******: a"
        );
        assert_eq!(
            (
                answer.header("location").as_deref(),
                answer.header("x-a").as_deref()
            ),
            (Some("***"), Some("b"))
        );
    }
}
