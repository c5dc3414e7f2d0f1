//! Which partitions the kernel knows of a disk, apart from what is in the disk's table: the `BLKPG` call of `linux/blkpg.h`. No
//! program of util-linux 2.41 makes it without reading the table.
#![expect(unsafe_code, reason = "no crate wraps BLKPG, and the structure that it takes holds a pointer")]

use std::ffi::{c_int, c_longlong, c_void};
use std::fs::File;
use std::io;
use std::mem::size_of;

use rustix::ioctl::{Opcode, Setter, ioctl};

/// `_IO(0x12, 105)`.
const BLKPG: Opcode = 0x1269;
const ADD: c_int = 1;
const DELETE: c_int = 2;

/// `struct blkpg_partition`.
#[repr(C)]
struct Entry {
    start_bytes: c_longlong,
    length_bytes: c_longlong,
    number: c_int,
    device_name: [u8; 64],
    volume_name: [u8; 64],
}

/// `struct blkpg_ioctl_arg`.
#[repr(C)]
struct Request {
    operation: c_int,
    flags: c_int,
    length: c_int,
    entry: *mut c_void,
}

/// Makes a partition known.
///
/// # Errors
/// The kernel's: `EBUSY` if it overlaps another or its number is taken.
pub(crate) fn add(disk: &File, number: u32, start_bytes: u64, length_bytes: u64) -> io::Result<()> {
    call(disk, ADD, number, start_bytes, length_bytes)
}

/// Makes a partition unknown.
///
/// # Errors
/// The kernel's: `EBUSY` if it is in use.
pub(crate) fn delete(disk: &File, number: u32) -> io::Result<()> {
    call(disk, DELETE, number, 0, 0)
}

fn call(disk: &File, operation: c_int, number: u32, start_bytes: u64, length_bytes: u64) -> io::Result<()> {
    let too_large = || io::Error::from(io::ErrorKind::InvalidInput);
    let signed = |bytes: u64| c_longlong::try_from(bytes).map_err(|_| too_large());
    let mut entry = Entry {
        start_bytes: signed(start_bytes)?,
        length_bytes: signed(length_bytes)?,
        number: c_int::try_from(number).map_err(|_| too_large())?,
        device_name: [0; 64],
        volume_name: [0; 64],
    };
    let length = c_int::try_from(size_of::<Entry>()).map_err(|_| too_large())?;
    let request = Request { operation, flags: 0, length, entry: (&raw mut entry).cast() };
    // SAFETY: BLKPG reads a `blkpg_ioctl_arg`, whose `data` points to a `blkpg_partition` of `datalen` bytes; both live until
    // the call returns, and the kernel keeps neither.
    unsafe { Ok(ioctl(disk, Setter::<BLKPG, Request>::new(request))?) }
}
