//! Queries for CAA records (RFC 8659), which the system's own functions do not make.

use simple_dns::rdata::{CAA, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, Question, RCODE, TYPE, header_buffer};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// The port of name servers.
pub(super) const PORT: u16 = 53;

/// The file that names the system's servers.
const SYSTEM: &str = "/etc/resolv.conf";

/// How often a server is asked by a datagram, which may get lost.
const TRIES: usize = 2;

/// The longest wait for each answer.
const WAIT: Duration = Duration::from_secs(2);

/// Servers that are asked, one after the other, until one answers.
#[derive(Clone, Debug)]
pub(super) struct NameServers(Vec<SocketAddr>);

/// A property of a name, by which it restricts who may issue certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Property {
    /// An authority that does not know it must not issue.
    pub(super) is_critical: bool,
    /// In lower case.
    pub(super) tag: String,
    pub(super) value: String,
}

impl NameServers {
    /// Uses one server.
    pub(super) fn only(server: SocketAddr) -> Self {
        Self(vec![server])
    }

    /// Uses the system's servers; without any, that of this machine (resolv.conf(5)).
    pub(super) fn of_system() -> Self {
        let (config, _) =
            resolv_conf::Config::parse_with_errors(&fs::read(SYSTEM).unwrap_or_default());
        let mut addresses: Vec<IpAddr> = config.nameservers.iter().map(IpAddr::from).collect();
        if addresses.is_empty() {
            addresses.push(Ipv4Addr::LOCALHOST.into());
        }
        Self(
            addresses
                .into_iter()
                .map(|address| (address, PORT).into())
                .collect(),
        )
    }

    /// Returns the properties of a name itself: none if it does not exist.
    ///
    /// # Errors
    /// The reason for which no server answered.
    pub(super) async fn caa(&self, name: &str) -> Result<Vec<Property>, String> {
        let mut failure = String::new();
        for server in &self.0 {
            match ask(*server, name).await {
                Ok(properties) => return Ok(properties),
                Err(error) => failure = format!("the name server {server}: {error}"),
            }
        }
        Err(failure)
    }
}

async fn ask(server: SocketAddr, name: &str) -> Result<Vec<Property>, String> {
    let id = rand::random();
    let query = query(id, name).map_err(|error| error.to_string())?;
    let reply = by_datagram(server, id, &query).await;
    match read(&reply.map_err(|error| error.to_string())?)? {
        Some(properties) => Ok(properties),
        None => {
            let reply = timeout(WAIT, by_stream(server, &query)).await;
            let reply = reply
                .map_err(|_| late())?
                .map_err(|error| error.to_string())?;
            read(&reply)?.ok_or_else(|| "the answer is cut off".into())
        }
    }
}

fn query(id: u16, name: &str) -> simple_dns::Result<Vec<u8>> {
    let mut query = Packet::new_query(id);
    query.set_flags(PacketFlag::RECURSION_DESIRED);
    let question = Question::new(
        Name::new(name)?,
        QTYPE::TYPE(TYPE::CAA),
        CLASS::IN.into(),
        false,
    );
    query.questions.push(question);
    query.build_bytes_vec()
}

async fn by_datagram(server: SocketAddr, id: u16, query: &[u8]) -> io::Result<Vec<u8>> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    for _ in 0..TRIES {
        socket.send(query).await?;
        if let Ok(reply) = timeout(WAIT, reply_to(&socket, id)).await {
            return reply;
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, late()))
}

/// Waits for the reply to a query; others are of no interest.
async fn reply_to(socket: &UdpSocket, id: u16) -> io::Result<Vec<u8>> {
    let mut reply = vec![0; 4096];
    loop {
        let length = socket.recv(&mut reply).await?;
        if header_buffer::id(&reply[..length]).is_ok_and(|other| other == id) {
            reply.truncate(length);
            return Ok(reply);
        }
    }
}

async fn by_stream(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream
        .write_all(&[&length.to_be_bytes()[..], query].concat())
        .await?;
    let mut reply = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut reply).await?;
    Ok(reply)
}

fn late() -> String {
    format!("no answer within {WAIT:?}")
}

/// Reads a reply. Returns `None` if it was cut off, to be asked for by another way.
fn read(reply: &[u8]) -> Result<Option<Vec<Property>>, String> {
    let reply = Packet::parse(reply).map_err(|error| format!("its answer is broken: {error}"))?;
    if reply.has_flags(PacketFlag::TRUNCATION) {
        return Ok(None);
    }
    match reply.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Ok(Some(Vec::new())),
        RCODE::ServerFailure => return Err("it answers with a failure (SERVFAIL)".into()),
        RCODE::Refused => return Err("it refuses to answer (REFUSED)".into()),
        other => return Err(format!("it answers with {other:?}")),
    }
    let records = reply
        .answers
        .into_iter()
        .filter_map(|record| match record.rdata {
            // An alias was followed by the server.
            RData::CAA(record) => Some(property(record)),
            _ => None,
        });
    Ok(Some(records.collect()))
}

fn property(record: CAA<'_>) -> Property {
    let tag = String::try_from(record.tag).unwrap_or_default();
    Property {
        is_critical: record.flag & 0x80 != 0,
        tag: tag.to_ascii_lowercase(),
        value: String::from_utf8_lossy(&record.value).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::{CharacterString, ResourceRecord};

    fn reply(rcode: RCODE, records: &[(u8, &str, &str)]) -> Vec<u8> {
        let mut reply = Packet::new_reply(7);
        *reply.rcode_mut() = rcode;
        for (flag, tag, value) in records {
            let record = CAA {
                flag: *flag,
                tag: CharacterString::new(tag.as_bytes()).unwrap(),
                value: value.as_bytes().into(),
            };
            let name = Name::new("a.example").unwrap();
            let record = ResourceRecord::new(name, CLASS::IN, 60, RData::CAA(record));
            reply.answers.push(record);
        }
        reply.build_bytes_vec().unwrap()
    }

    #[test]
    fn a_reply_is_properties_or_a_reason() {
        let read = |rcode, records: &[_]| read(&reply(rcode, records));
        let property = |is_critical, tag: &str, value: &str| Property {
            is_critical,
            tag: tag.into(),
            value: value.into(),
        };
        let records = [(0, "Issue", "ca.example"), (128, "x", "\"")];
        let expected = vec![
            property(false, "issue", "ca.example"),
            property(true, "x", "\""),
        ];
        assert_eq!(read(RCODE::NoError, &records), Ok(Some(expected)));
        assert_eq!(read(RCODE::NameError, &[]), Ok(Some(Vec::new())));
        for (rcode, text) in [
            (RCODE::ServerFailure, "SERVFAIL"),
            (RCODE::Refused, "REFUSED"),
        ] {
            assert!(read(rcode, &records).unwrap_err().contains(text));
        }
        for broken in [
            &b""[..],
            &[0xff; 64],
            &reply(RCODE::NoError, &records)[..30],
        ] {
            assert!(
                super::read(broken).unwrap_err().contains("broken"),
                "{broken:?}"
            );
        }
    }

    #[test]
    fn a_query_asks_for_properties_of_the_name() {
        let query = query(7, "a.example").unwrap();
        let query = Packet::parse(&query).unwrap();
        assert_eq!(query.id(), 7);
        assert_eq!(query.questions[0].qname.to_string(), "a.example");
        assert_eq!(query.questions[0].qtype, QTYPE::TYPE(TYPE::CAA));
        assert!(query.has_flags(PacketFlag::RECURSION_DESIRED));
        assert!(super::query(7, &"a".repeat(64)).is_err());
    }
}
