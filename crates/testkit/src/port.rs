//! Free loopback ports that stay free while a server is down.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::TcpListener;

use anyhow::bail;

// Below the kernel's ephemeral range (32768 and up): an outgoing connection cannot take the port of
// a server that is being restarted. Above the ports that well-known services use.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;
const TRIES: u16 = 200;

/// A port that nothing listens on. Tests run as many processes, so the search starts at random.
pub fn free() -> anyhow::Result<u16> {
    let start = RandomState::new().build_hasher().finish();
    for offset in 0..u64::from(TRIES) {
        let step = u16::try_from(start.wrapping_add(offset) % u64::from(COUNT))?;
        if TcpListener::bind(("127.0.0.1", FIRST + step)).is_ok() {
            return Ok(FIRST + step);
        }
    }
    bail!("no free port in {TRIES} tries from {FIRST}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_can_be_bound_and_is_outside_the_ephemeral_range() {
        let port = free().unwrap();
        assert!(port < 32_768);
        TcpListener::bind(("127.0.0.1", port)).unwrap();
    }

    #[test]
    fn two_searches_rarely_meet() {
        let found: std::collections::BTreeSet<u16> = (0..20).map(|_| free().unwrap()).collect();
        assert!(found.len() > 10, "20 searches found only {found:?}");
    }
}
