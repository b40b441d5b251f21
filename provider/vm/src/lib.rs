//! The VM side: the remote program and the SSH sessions that carry it.

pub mod program;
