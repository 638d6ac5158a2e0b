//! A name server for CAA records.

use simple_dns::rdata::{CAA, RData};
use simple_dns::{CLASS, CharacterString, Packet, PacketFlag, RCODE, ResourceRecord};
use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

/// What it says about a name. Of others, it has nothing to say.
#[derive(Clone, Debug)]
pub(crate) enum Records {
    /// Values of `issue`.
    Issue(Vec<String>),
    /// The same, too long for a datagram.
    Long(Vec<String>),
    Failure,
    Silence,
}

/// A running name server, which ends with the process.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    zone: Arc<Mutex<HashMap<String, Records>>>,
}

impl NameServer {
    pub(crate) fn start() -> Self {
        let stream = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = stream.local_addr().unwrap();
        let datagrams = UdpSocket::bind(address).unwrap();
        let zone = Arc::<Mutex<HashMap<String, Records>>>::default();
        let of_datagrams = zone.clone();
        thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((length, client)) = datagrams.recv_from(&mut query) {
                if let Some(reply) = reply(&of_datagrams, &query[..length], true) {
                    datagrams.send_to(&reply, client).unwrap();
                }
            }
        });
        let of_streams = zone.clone();
        thread::spawn(move || {
            for mut client in stream.incoming().flatten() {
                let mut length = [0; 2];
                client.read_exact(&mut length).unwrap();
                let mut query = vec![0; u16::from_be_bytes(length).into()];
                client.read_exact(&mut query).unwrap();
                if let Some(reply) = reply(&of_streams, &query, false) {
                    let length = u16::try_from(reply.len()).unwrap().to_be_bytes();
                    client.write_all(&[&length[..], &reply].concat()).unwrap();
                }
            }
        });
        Self { address, zone }
    }

    /// From now on, it says this about `name`.
    pub(crate) fn says(&self, name: &str, records: Records) {
        self.zone.lock().unwrap().insert(name.into(), records);
    }
}

fn reply(
    zone: &Mutex<HashMap<String, Records>>,
    query: &[u8],
    is_datagram: bool,
) -> Option<Vec<u8>> {
    let query = Packet::parse(query).unwrap();
    let question = query.questions[0].clone();
    let name = question.qname.clone();
    let found = zone.lock().unwrap().get(&name.to_string()).cloned();
    let mut reply = Packet::new_reply(query.id());
    reply.questions.push(question);
    let values = match found {
        None => Vec::new(),
        Some(Records::Issue(values)) => values,
        Some(Records::Long(_)) if is_datagram => {
            reply.set_flags(PacketFlag::TRUNCATION);
            Vec::new()
        }
        Some(Records::Long(values)) => values,
        Some(Records::Failure) => {
            *reply.rcode_mut() = RCODE::ServerFailure;
            Vec::new()
        }
        Some(Records::Silence) => return None,
    };
    for value in &values {
        let record = CAA {
            flag: 0,
            tag: CharacterString::new(b"issue").unwrap(),
            value: value.as_bytes().into(),
        };
        let record = ResourceRecord::new(name.clone(), CLASS::IN, 60, RData::CAA(record));
        reply.answers.push(record);
    }
    Some(reply.build_bytes_vec().unwrap())
}
