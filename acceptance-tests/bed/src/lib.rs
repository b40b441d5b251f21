//! The test bed: a real control plane and real VMs on one Linux machine.
