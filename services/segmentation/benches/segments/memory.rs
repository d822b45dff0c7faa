//! The memory of this process, as Linux counts it.

use anyhow::Context;

/// In bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    /// The most it was so far.
    pub(crate) peak: u64,
}

impl Memory {
    pub(crate) fn now() -> anyhow::Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status").context("no /proc")?;
        let bytes = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
            Ok(kilobytes.with_context(|| format!("no {name}"))?.parse::<u64>()? * 1_024)
        };
        Ok(Self { resident: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
    }
}
