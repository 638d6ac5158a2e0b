//! Check: deprecated versions of TLS are disabled.
//!
//! Current libraries do not implement them, so the ClientHello is encoded here.

use crate::commands::client::WebhookTarget;
use crate::commands::doctor::client::CheckClient;
use crate::commands::doctor::finding::{Check, CheckFinding};
use rustls::pki_types::ServerName;
use std::io;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const CHECK: Check = Check("old TLS versions");

/// Cipher suites of servers of that time: RSA and ECDSA, with and without ECDHE, AES and 3DES.
const CIPHER_SUITES: [u16; 9] = [
    0xc00a, 0xc009, 0xc014, 0xc013, 0x0039, 0x0033, 0x0035, 0x002f, 0x000a,
];

/// Content type of alerts.
const ALERT: u8 = 21;
/// Content type of handshake messages.
const HANDSHAKE: u8 = 22;
/// Level of alerts that do not end the handshake.
const WARNING: u8 = 1;

/// Maximum number of warnings before the server's choice of a version.
const MAX_WARNINGS: usize = 4;

/// Checks a server, of which `speaks_tls` says whether it completes handshakes of current versions.
pub(crate) async fn check(client: CheckClient<'_>, speaks_tls: bool) -> CheckFinding {
    match timeout(client.step_timeout, reply(client)).await {
        Ok(Ok(OldVersionReply::Chose(version))) => is_enabled(version),
        Ok(Ok(OldVersionReply::NotTls) | Err(_)) if !speaks_tls => {
            CHECK.skip("skipped: the server does not speak TLS")
        }
        Ok(_) => CHECK.pass("neither 1.0 nor 1.1"),
        Err(_) => CHECK.warn(
            "no response in time to a client that supports TLS 1.1 at most",
            "a server should refuse it: check for devices on the network path that drop unknown traffic",
        ),
    }
}

fn is_enabled(version: &str) -> CheckFinding {
    CHECK.warn(
        format!("{version} is enabled, which has been deprecated since 2021 (RFC 8996)"),
        "offer TLS 1.2 and 1.3 only (nginx: ssl_protocols TLSv1.2 TLSv1.3)",
    )
}

/// Reply of a server to an old client.
enum OldVersionReply {
    /// The server chose this version.
    Chose(&'static str),
    /// The server refused the handshake.
    Refused,
    /// The server does not speak TLS.
    NotTls,
}

async fn reply(client: CheckClient<'_>) -> io::Result<OldVersionReply> {
    let mut socket = client.dial().await?;
    socket.write_all(&client_hello(client.target)).await?;
    for _ in 0..=MAX_WARNINGS {
        if let Some(reply) = next_record(&mut socket).await? {
            return Ok(reply);
        }
    }
    Ok(OldVersionReply::Refused)
}

/// Reads a record. Returns `None` if it is a warning, such as that about an unknown name, after which
/// a server may continue.
async fn next_record(socket: &mut TcpStream) -> io::Result<Option<OldVersionReply>> {
    // Type, version in two bytes, length in two.
    match read::<5>(socket).await? {
        [ALERT, 3, _, 0, 2] => {
            let [level, _] = read(socket).await?;
            Ok((level != WARNING).then_some(OldVersionReply::Refused))
        }
        [HANDSHAKE, 3, ..] => Ok(Some(choice(read(socket).await?))),
        _ => Ok(Some(OldVersionReply::NotTls)),
    }
}

async fn read<const N: usize>(socket: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    socket.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Returns the version in a ServerHello, which begins with its type, its length in three bytes, and
/// the version in two.
fn choice(handshake: [u8; 6]) -> OldVersionReply {
    match handshake {
        [2, .., 3, 0] => OldVersionReply::Chose("SSL 3.0"),
        [2, .., 3, 1] => OldVersionReply::Chose("TLS 1.0"),
        [2, .., 3, 2] => OldVersionReply::Chose("TLS 1.1"),
        _ => OldVersionReply::Refused,
    }
}

/// Encodes a ClientHello of TLS 1.1 (RFC 4346 section 7.4.1.2), which TLS 1.0 servers accept, too.
fn client_hello(target: &WebhookTarget) -> Vec<u8> {
    let body = client_hello_body(target);
    let length = u32::try_from(body.len()).unwrap_or_default().to_be_bytes();
    let handshake = [&[1][..], &length[1..], &body].concat();
    [&[HANDSHAKE, 3, 1][..], &with_length(&handshake)].concat()
}

fn client_hello_body(target: &WebhookTarget) -> Vec<u8> {
    let mut body = vec![3, 2];
    body.extend_from_slice(&rand::random::<[u8; 32]>());
    body.push(0); // No session.
    body.extend(with_length(&CIPHER_SUITES.map(u16::to_be_bytes).concat()));
    body.extend_from_slice(&[1, 0]); // No compression.
    body.extend(with_length(&extensions(target)));
    body
}

fn extensions(target: &WebhookTarget) -> Vec<u8> {
    let mut extensions = server_name(target).unwrap_or_default();
    extensions.extend(extension(10, &with_length(&[0, 23, 0, 24, 0, 25]))); // P-256, P-384, P-521.
    extensions.extend(extension(11, &[1, 0])); // Uncompressed points.
    extensions
}

/// Encodes the name of the server, which is not sent if it is an address.
fn server_name(target: &WebhookTarget) -> Option<Vec<u8>> {
    let ServerName::DnsName(name) = target.server_name() else {
        return None;
    };
    let name = [&[0][..], &with_length(name.as_ref().as_bytes())].concat();
    Some(extension(0, &with_length(&name)))
}

fn extension(number: u16, data: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes()[..], &with_length(data)].concat()
}

/// Prefixes data with its length, which always fits: a name has at most 253 bytes.
fn with_length(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap_or_default();
    [&length.to_be_bytes()[..], data].concat()
}
