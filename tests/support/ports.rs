//! Loopback ports of this process: a block that no other test process has, below the ports that the kernel gives to
//! connections. A port that is free now is still free when SIPp, Asterisk or the service binds it a moment later.

use super::wait;
use std::net::{TcpListener, UdpSocket};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 30_000;
/// Ports of a block; the last one, held over TCP while the process lives, says whose block it is.
const BLOCK: u16 = 100;
/// Blocks below the kernel's own ports (32,768 and up), and so test processes at the same time at most.
const BLOCKS: u16 = 27;
const FIRST_RTP: u16 = 12_000;
/// RTP ports of a block: two for each leg, and on a slow machine the calls of a burst pile up.
const BLOCK_RTP: u16 = 600;

fn block() -> u16 {
    static CLAIM: OnceLock<(u16, TcpListener)> = OnceLock::new();
    let claim = || {
        wait::until("a block of ports", || {
            (0..BLOCKS).find_map(|n| {
                Some((n, TcpListener::bind(("127.0.0.1", FIRST + n * BLOCK + BLOCK - 1)).ok()?))
            })
        })
    };
    CLAIM.get_or_init(claim).0
}

/// The next free ports of the block, free over UDP and TCP, one after another.
fn row(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let free = |port: u16| {
        UdpSocket::bind(("127.0.0.1", port)).is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok()
    };
    wait::until("a free port", || {
        let at = NEXT.fetch_add(count, Ordering::Relaxed) % (BLOCK - 1);
        let first = FIRST + block() * BLOCK + at;
        (at + count < BLOCK && (first..first + count).all(free)).then_some(first)
    })
}

/// Free ports.
pub(crate) fn free<const N: usize>() -> [u16; N] {
    [(); N].map(|()| row(1))
}

/// The first of four free ports in a row: SIPp takes them for audio and video.
pub(crate) fn media() -> u16 {
    row(4)
}

/// First and last of the RTP ports for Asterisk, which skips those in use.
pub(crate) fn rtp() -> (u16, u16) {
    let first = FIRST_RTP + block() * BLOCK_RTP;
    (first, first + BLOCK_RTP - 1)
}
