//! Thin adapters to the kernel.

pub(crate) mod partitions;
