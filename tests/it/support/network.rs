//! A network of its own, with cables to that of this machine that can be pulled out: what is sent then
//! is lost without a word.

use super::succeed;
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

/// Asks whether there can be cables, and keeps a network until its standard input is closed.
const KEEP: &str = "set -e
ip link add name one type veth peer name two
ip link delete one
ip link set lo up
echo
exec cat";

/// A network that only the processes started in it have.
pub(crate) struct Network {
    /// It ends with the test, also when that is killed.
    keeper: Child,
}

/// A cable between this machine and a network.
pub(crate) struct Cable {
    /// The name of this machine's end.
    name: String,
    pub(crate) here: Ipv4Addr,
    pub(crate) there: Ipv4Addr,
}

impl Network {
    /// A network without cables. An error says what is missing for one.
    pub(crate) fn new() -> Result<Self, String> {
        let mut keeper = Command::new("unshare");
        keeper.args(["-n", "sh", "-c", KEEP]);
        keeper.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = keeper.spawn().map_err(|error| error.to_string())?;
        let mut line = [0];
        let is_there = keeper.stdout.as_mut().unwrap().read_exact(&mut line);
        let network = Self { keeper };
        is_there.map_err(|_| "there can be no network of its own".to_owned())?;
        Ok(network)
    }

    /// Returns a command that runs in the network.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-n", "-t", &self.keeper.id().to_string(), "--", program]);
        command
    }

    /// Lays the `number`th cable, between addresses that are for tests of networks (RFC 2544).
    pub(crate) fn cable(&self, number: u32) -> Cable {
        let id = self.keeper.id();
        let address = |end: u32| {
            let first = u32::from(Ipv4Addr::new(198, 18, 0, 0));
            Ipv4Addr::from(first + (id * 8 + number * 4 + end) % (1 << 17))
        };
        let cable = Cable {
            name: format!("nwp{id}-{number}"),
            here: address(1),
            there: address(2),
        };
        let far = format!("c{number}");
        let pair = [
            "link",
            "add",
            &cable.name,
            "type",
            "veth",
            "peer",
            "name",
            &far,
        ];
        succeed(ip().args(pair).args(["netns", &id.to_string()]));
        set_up(ip, &cable.name, cable.here);
        set_up(|| self.command("ip"), &far, cable.there);
        cable
    }
}

impl Cable {
    /// Pulls the cable out.
    pub(crate) fn pull(&self) {
        succeed(ip().args(["link", "set", &self.name, "down"]));
    }

    /// Plugs the cable in again.
    pub(crate) fn plug(&self) {
        succeed(ip().args(["link", "set", &self.name, "up"]));
    }
}

fn ip() -> Command {
    Command::new("ip")
}

fn set_up(ip: impl Fn() -> Command, name: &str, address: Ipv4Addr) {
    succeed(ip().args(["address", "add", &format!("{address}/30"), "dev", name]));
    succeed(ip().args(["link", "set", name, "up"]));
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // Ignore the error: it has ended.
        let _ = self.keeper.wait();
    }
}
