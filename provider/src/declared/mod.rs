//! What several resources declare: each declaration stands beside its conversions, from what the user writes to the
//! domain and, for an import, back.

pub(crate) mod bundle;
pub(crate) mod field_manager;
pub(crate) mod health_check;
pub(crate) mod hop;
pub(crate) mod proxy;
pub(crate) mod scalars;
pub(crate) mod services;
pub(crate) mod sidecar;
pub(crate) mod ssh;
pub(crate) mod values;
pub(crate) mod vm_address;
