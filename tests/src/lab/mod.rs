//! A network of its own for a test: namespaces on one wire, and some behind address translation.
//!
//! ```text
//! 10.77.0.1   10.77.0.2   ...   10.77.0.9 router --- 192.168.1.2 inner host
//!     |           |                 |     (nftables) 192.168.2.2 inner host
//! ====================== wire ======================
//! ```
//!
//! Nothing leaves the namespaces: they know no other way than the wire, which ends in this process. They go when the lab is
//! dropped; what a process left behind that was killed is removed by the next lab.

mod link;
mod wire;

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

pub use link::Condition;
pub use wire::{Traffic, Wire};

use crate::process::Outcome;

/// What all namespaces of all labs are called first, before the number of the process that made them.
const NAMES: &str = "counterfoil";

/// Labs of this process so far.
static LABS: AtomicUsize = AtomicUsize::new(0);

/// A host of the lab.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its namespace.
    pub space: String,
    /// Its address, on the wire or behind its router.
    pub address: Ipv4Addr,
    /// The device of the wire that its packets go through: its own or its router's.
    pub port: usize,
}

/// Namespaces on a wire. Dropping it removes them.
pub struct Lab {
    prefix: String,
    spaces: Vec<String>,
    wire: Wire,
}

fn run(program: &str, arguments: &[&str]) -> Outcome<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{program} {}: {error}", arguments.join(" ")).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn ip(arguments: &[&str]) -> Outcome<String> {
    run("ip", arguments)
}

/// Ends what still runs in a namespace, and removes it.
fn remove(space: &str) {
    if let Ok(pids) = ip(&["netns", "pids", space]) {
        for pid in pids.split_whitespace() {
            // It may have ended by itself.
            let _ = run("bash", &["-c", &format!("kill -9 {pid}")]);
        }
    }
    // Devices first: their readers end with them, and a namespace alone may take its time.
    let _ = ip(&["-n", space, "link", "del", "wire"]);
    let _ = ip(&["netns", "del", space]);
}

/// Removes what labs left behind whose processes are gone.
fn tidy() {
    for line in ip(&["netns", "list"]).unwrap_or_default().lines() {
        let space = line.split_whitespace().next().unwrap_or_default();
        let owner = space.strip_prefix(NAMES).and_then(|rest| rest.strip_prefix('-')?.split('-').next());
        let is_gone =
            |pid: &str| pid.parse::<u32>().is_ok() && !std::path::Path::new("/proc").join(pid).exists();
        if owner.is_some_and(is_gone) {
            remove(space);
        }
    }
}

impl Lab {
    /// An empty lab, or why there can be none here.
    ///
    /// # Errors
    /// When namespaces, tunnel devices or nftables are missing, or the right to use them.
    pub fn new(seed: u64) -> Result<Self, String> {
        tidy();
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("{NAMES}-{}-{number}", std::process::id());
        let wire = Wire::new(seed).map_err(|error| error.to_string())?;
        let mut lab = Self { prefix, spaces: Vec::new(), wire };
        let probe = lab.host(1).and_then(|host| {
            run("ip", &["netns", "exec", &host.space, "nft", "list", "ruleset"])?;
            Ok(())
        });
        match probe {
            Ok(()) => Ok(lab),
            Err(error) => Err(format!("no network of its own can be made here: {error}")),
        }
    }

    /// The wire.
    pub const fn wire(&self) -> &Wire {
        &self.wire
    }

    fn space(&mut self, label: &str) -> Outcome<String> {
        let space = format!("{}-{label}", self.prefix);
        ip(&["netns", "add", &space])?;
        self.spaces.push(space.clone());
        ip(&["-n", &space, "link", "set", "lo", "up"])?;
        Ok(space)
    }

    /// The host 10.77.0.`n` on the wire; made if it is not there yet.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn host(&mut self, n: u8) -> Outcome<Host> {
        let (address, label) = (Ipv4Addr::new(10, 77, 0, n), format!("host{n}"));
        let space = format!("{}-{label}", self.prefix);
        if let Some(index) =
            self.spaces.iter().filter(|one| one.contains("-host")).position(|one| *one == space)
        {
            return Ok(Host { space, address, port: index });
        }
        let space = self.space(&label)?;
        // No longer than the kernel lets a name be.
        let device = format!("cf{}x{n}", std::process::id() % 10_000_000);
        let port = self.wire.attach(&device, address)?;
        ip(&["link", "set", "dev", &device, "netns", &space])?;
        ip(&["-n", &space, "link", "set", "dev", &device, "name", "wire"])?;
        ip(&["-n", &space, "addr", "add", &format!("{address}/24"), "dev", "wire"])?;
        ip(&["-n", &space, "link", "set", "wire", "up"])?;
        Ok(Host { space, address, port })
    }

    /// Gives a host on the wire further addresses, from 10.77.0.`first` on.
    ///
    /// # Errors
    /// When one cannot be given.
    pub fn more_addresses(&self, host: &Host, first: u8, count: u8) -> Outcome<Vec<Ipv4Addr>> {
        let addresses: Vec<Ipv4Addr> =
            (first..).take(count.into()).map(|n| Ipv4Addr::new(10, 77, 0, n)).collect();
        for address in &addresses {
            ip(&["-n", &host.space, "addr", "add", &format!("{address}/32"), "dev", "wire"])?;
            self.wire.name(host.port, *address);
        }
        Ok(addresses)
    }

    /// Lets connections of a host hold next to nothing that was not read yet.
    ///
    /// # Errors
    /// What the system says.
    pub fn small_buffers(&self, host: &Host) -> Outcome<()> {
        ip(&["netns", "exec", &host.space, "sysctl", "-qw", "net.ipv4.tcp_rmem=4096 4096 4096"])?;
        Ok(())
    }

    /// `count` hosts, each in a network of its own behind a router at 10.77.0.`n`, which translates their addresses: they
    /// reach whoever is on the wire, and nobody reaches them, not even each other.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn behind_router(&mut self, n: u8, count: u8) -> Outcome<Vec<Host>> {
        let router = self.host(n)?;
        let mut inner = Vec::new();
        for k in 1..=count {
            let space = self.space(&format!("inner{n}-{k}"))?;
            let (gateway, address) = (Ipv4Addr::new(192, 168, k, 1), Ipv4Addr::new(192, 168, k, 2));
            let (there, pair) =
                (format!("inner{k}"), ["type", "veth", "peer", "name", "outward", "netns", space.as_str()]);
            ip(&[&["-n", router.space.as_str(), "link", "add", there.as_str()][..], &pair[..]].concat())?;
            for (space, device, address) in
                [(&router.space, there.as_str(), gateway), (&space, "outward", address)]
            {
                ip(&["-n", space, "addr", "add", &format!("{address}/24"), "dev", device])?;
                ip(&["-n", space, "link", "set", device, "up"])?;
            }
            ip(&["-n", &space, "route", "add", "default", "via", &gateway.to_string()])?;
            inner.push(Host { space, address, port: router.port });
        }
        // Another port for each connection and destination: nobody guesses it and dials in.
        let rules = "table ip translate {
            chain out { type nat hook postrouting priority srcnat; oifname \"wire\" masquerade random; }
            chain pass { type filter hook forward priority filter; policy drop;
                ct state established,related accept
                oifname \"wire\" accept
            }
        }";
        let inside = ["netns", "exec", router.space.as_str()];
        ip(&[&inside[..], &["bash", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]].concat())?;
        ip(&[&inside[..], &["nft", rules]].concat())?;
        Ok(inner)
    }
}

/// Four hosts on the wire, of which the first is to relay, and two that nobody can dial.
///
/// # Errors
/// When one cannot be made.
pub fn six_hosts(lab: &mut Lab) -> Outcome<Vec<Host>> {
    let mut hosts = (1..=4).map(|n| lab.host(n)).collect::<Outcome<Vec<Host>>>()?;
    hosts.extend(lab.behind_router(9, 2)?);
    Ok(hosts)
}

impl Drop for Lab {
    fn drop(&mut self) {
        for space in &self.spaces {
            remove(space);
        }
        self.wire.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a host is there to refuse a connection.
    fn reaches(from: &Host, to: &Host) -> bool {
        let dial = format!("exec 3<>/dev/tcp/{}/9", to.address);
        let inside = ["netns", "exec", from.space.as_str(), "timeout", "2", "bash", "-c", dial.as_str()];
        ip(&inside).is_err_and(|error| error.to_string().contains("refused"))
    }

    #[test]
    fn hosts_reach_each_other_over_the_wire_alone_and_nobody_reaches_those_behind_a_router() {
        let mut lab = match Lab::new(1) {
            Ok(lab) => lab,
            Err(reason) => return eprintln!("skipped: {reason}"),
        };
        let (one, two) = (lab.host(1).unwrap(), lab.host(2).unwrap());
        let inner = lab.behind_router(3, 2).unwrap();
        assert!(reaches(&one, &two));
        lab.wire().cut(&[one.port], &[two.port], true);
        assert!(!reaches(&one, &two) && !reaches(&two, &one), "an answer has to come back");
        lab.wire().cut(&[one.port], &[two.port], false);
        assert!(reaches(&two, &one));
        assert!(reaches(&inner[0], &one) && reaches(&inner[1], &two));
        assert!(!reaches(&one, &inner[0]) && !reaches(&inner[0], &inner[1]));
        let traffic = lab.wire().traffic();
        assert!(traffic.delivered > 0 && traffic.lost > 0, "{traffic:?}");
        let spaces = lab.spaces.clone();
        drop(lab);
        let left = ip(&["netns", "list"]).unwrap();
        assert!(spaces.iter().all(|space| !left.contains(space)), "{left}");
    }
}
