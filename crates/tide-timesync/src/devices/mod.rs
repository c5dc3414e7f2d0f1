//! The only place where a device is opened: one trait per device, one small adapter per kind.
