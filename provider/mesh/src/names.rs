//! The names that Istio and Kubernetes give things, each parsed where it enters.
