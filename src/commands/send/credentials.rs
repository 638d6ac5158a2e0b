//! Headers of all requests: `Authorization`, and additional ones.

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

/// Headers that frame a request or control the connection.
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

/// Minimum length of secrets that are masked: shorter ones may occur anywhere by chance.
const MIN_MASKED: usize = 4;

/// Headers that are sent with each request, and the secrets in them, which are not shown.
pub(super) struct RequestHeaders {
    pub(super) headers: HeaderMap,
    secrets: Vec<Secret>,
}

impl RequestHeaders {
    /// Reads the headers that `options` ask for.
    ///
    /// # Errors
    /// The header or credentials that are wrong, without their values.
    pub(super) fn new(options: &DeliveryOptions) -> Result<Self, String> {
        let mut headers = given(&options.headers)?;
        // Any header may hold a secret.
        let secrets = headers.values().map(|value| value.as_bytes().to_vec());
        let mut secrets: Vec<_> = secrets.map(Secret::new).collect();
        if let Some((value, parts)) = authorization(&options.credentials)? {
            headers.insert(AUTHORIZATION, value);
            secrets.extend(parts);
        }
        Ok(Self { headers, secrets })
    }

    /// Masks the secrets in a response: some servers echo requests.
    pub(super) fn mask(&self, response: &mut ClientResponse) {
        let secrets = self.secrets.iter().map(Secret::expose);
        for secret in secrets.filter(|secret| secret.len() >= MIN_MASKED) {
            mask_body(&mut response.body, secret);
            mask_headers(&mut response.headers, secret);
        }
    }
}

/// Parses additional headers.
fn given(arguments: &[String]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for argument in arguments {
        let (name, value) = parse(argument)?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn mask_headers(headers: &mut HeaderMap, secret: &[u8]) {
    for value in headers.values_mut() {
        if memmem::find(value.as_bytes(), secret).is_some() {
            *value = HeaderValue::from_static("***");
        }
    }
}

fn mask_body(body: &mut [u8], secret: &[u8]) {
    let starts: Vec<_> = memmem::find_iter(body, secret).collect();
    for start in starts {
        body[start..start + secret.len()].fill(b'*');
    }
}

fn parse(header: &str) -> Result<(HeaderName, HeaderValue), String> {
    let header = header.split_once(':');
    let (name, value) = header.ok_or("--header must be \"NAME: VALUE\"")?;
    let name = parse_name(name.trim())?;
    let mut value: HeaderValue = value
        .trim()
        .parse()
        .map_err(|_| format!("--header: the value of {name} is not valid"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

fn parse_name(name: &str) -> Result<HeaderName, String> {
    let name = name.parse();
    let name: HeaderName = name.map_err(|_| "--header: the name is not valid")?;
    if RESERVED.contains(&name) {
        return Err(format!("--header: {name} is set by this program"));
    }
    match name == AUTHORIZATION {
        true => Err(NO_AUTHORIZATION.into()),
        false => Ok(name),
    }
}

const NO_AUTHORIZATION: &str = "--header: other users of this machine can read the command line; use --bearer-file, --bearer-env or --basic";

const BAD_TOKEN: &str =
    "the Bearer token has characters that a header cannot hold, such as a line end";

/// Returns the value of `Authorization`, and the secrets in it.
fn authorization(
    credentials: &CredentialOptions,
) -> Result<Option<(HeaderValue, Vec<Secret>)>, String> {
    let (scheme, secrets) = match (&credentials.basic, bearer(credentials)?) {
        (Some(username), _) => ("Basic ", basic(username, credentials)?),
        (None, Some(token)) => ("Bearer ", vec![token]),
        (None, None) => return Ok(None),
    };
    let text = Zeroizing::new([scheme.as_bytes(), secrets[0].expose()].concat());
    let mut value = HeaderValue::from_bytes(&text).map_err(|_| BAD_TOKEN)?;
    value.set_sensitive(true);
    Ok(Some((value, secrets)))
}

/// Returns the encoded credentials, and the password.
fn basic(username: &str, credentials: &CredentialOptions) -> Result<Vec<Secret>, String> {
    if username.contains(':') {
        return Err("--basic: a user name must not contain \":\"".into());
    }
    let password_file = credentials.password_file.as_deref();
    let password = read(password_file, credentials.password_env.as_deref())?;
    let pair = Zeroizing::new([username.as_bytes(), b":", password.expose()].concat());
    let encoded = Secret::new(BASE64_STANDARD.encode(&*pair).into_bytes());
    Ok(vec![encoded, password])
}

fn bearer(credentials: &CredentialOptions) -> Result<Option<Secret>, String> {
    let (file, variable) = (&credentials.bearer_file, &credentials.bearer_env);
    if file.is_none() && variable.is_none() {
        return Ok(None);
    }
    read(file.as_deref(), variable.as_deref()).map(Some)
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
