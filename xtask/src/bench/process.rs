//! Processes of a program and their memory.

use std::fs;
use std::path::Path;

/// Returns the processes of a program.
pub(super) fn processes(program: &Path) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter(|process| fs::read_link(process.path().join("exe")).is_ok_and(|exe| exe == program))
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .collect()
}

/// Returns the resident memory in KiB from `/proc/PID/status`.
pub(super) fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_the_resident_memory() {
        assert_eq!(
            resident("VmPeak:\t  9000 kB\nVmRSS:\t  1834 kB\nThreads:\t1\n"),
            Some(1834)
        );
    }
}
