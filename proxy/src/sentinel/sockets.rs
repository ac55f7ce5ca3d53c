//! The TCP sockets of this pod, as the kernel lists them.
//!
//! Promise: a socket of this process is known as its own, also where it was
//! opened or closed while the list was read.
//!
//! Source: proc(5), `/proc/net/tcp`, `/proc/net/tcp6`, `/proc/self/fd`. Containers
//! of a pod share the network namespace, so the list is that of the pod.

use std::collections::HashSet;
use std::net::SocketAddr;

use procfs::ProcResult;
use procfs::net::{TcpNetEntry, TcpState, tcp, tcp6};
use procfs::process::{FDTarget, Process};

/// What a socket does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Waits for connections.
    Listening,
    /// Is one.
    Established,
}

/// A socket that listens or is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub state: State,
    /// Whether it is this process's.
    pub ours: bool,
}

/// All sockets of the network namespace that listen or are connected.
///
/// # Errors
/// The kernel's files cannot be read.
pub(super) fn all() -> ProcResult<Vec<Socket>> {
    let mut own = own_inodes()?;
    let mut entries = tcp()?;
    // A kernel without IPv6 has no such file.
    entries.extend(tcp6().unwrap_or_default());
    own.extend(own_inodes()?);
    Ok(sockets(&entries, &own))
}

fn own_inodes() -> ProcResult<HashSet<u64>> {
    let descriptors = Process::myself()?.fd()?;
    let inode = |descriptor: ProcResult<procfs::process::FDInfo>| match descriptor.ok()?.target {
        FDTarget::Socket(inode) => Some(inode),
        _ => None,
    };
    Ok(descriptors.filter_map(inode).collect())
}

fn sockets(entries: &[TcpNetEntry], own: &HashSet<u64>) -> Vec<Socket> {
    let ours: HashSet<u16> = entries
        .iter()
        .filter(|entry| entry.state == TcpState::Listen && own.contains(&entry.inode))
        .map(|entry| entry.local_address.port())
        .collect();
    let socket = |entry: &TcpNetEntry| {
        let state = match entry.state {
            TcpState::Listen => State::Listening,
            TcpState::Established => State::Established,
            _ => return None,
        };
        // A connection that nobody has accepted yet belongs to no process: it has no inode.
        let waits = entry.inode == 0 && ours.contains(&entry.local_address.port());
        let ours = waits || own.contains(&entry.inode);
        Some(Socket { local: plain(entry.local_address), remote: plain(entry.remote_address), state, ours })
    };
    entries.iter().filter_map(socket).collect()
}

/// An IPv4 address, also where an IPv6 socket carries it.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_this_process_opened_is_its_own() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        let sockets = all().unwrap();
        let listening = sockets.iter().find(|socket| socket.local == address && socket.state == State::Listening);
        assert!(listening.unwrap().ours);
        let connected = sockets.iter().find(|socket| socket.local == client.local_addr().unwrap());
        assert_eq!((connected.unwrap().remote, connected.unwrap().ours), (address, true));
        let waiting = sockets.iter().find(|socket| socket.remote == client.local_addr().unwrap());
        assert!(waiting.unwrap().ours, "a connection that waits to be accepted here");
    }
}
