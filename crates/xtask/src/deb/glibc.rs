//! Which C library a program needs: one that is built on a newer system may not start on an older one.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process::output;

/// Debian 12's, as the package's dependencies say; Raspberry Pi OS has the same.
const NEWEST: (u32, u32) = (2, 36);

/// Fails if the program needs a newer one.
///
/// # Errors
/// Or if it cannot be read.
pub(super) fn check(program: &Path) -> Result<()> {
    let said = output(Command::new("readelf").args(["--version-info", "--wide"]).arg(program))?;
    let needed = newest(&said).with_context(|| format!("`{}` needs no C library at all", program.display()))?;
    ensure!(
        needed <= NEWEST,
        "`{}` needs glibc {}.{}, and Debian 12 has {}.{}: build the package on Debian 12, or with `cross`",
        program.display(),
        needed.0,
        needed.1,
        NEWEST.0,
        NEWEST.1
    );
    Ok(())
}

/// The newest version that `readelf` lists.
fn newest(said: &str) -> Option<(u32, u32)> {
    let after = said.split("Name: GLIBC_").skip(1);
    let versions = after.filter_map(|rest| {
        let mut numbers = rest.split_whitespace().next()?.split('.').map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    });
    versions.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_as_numbers() {
        let said = "  0x0090:   Name: GLIBC_2.4  Flags: none  Version: 7\n  0x00a0:   Name: GLIBC_2.34  Flags: none\n\
                    0x00b0:   Name: GLIBC_2.2.5  Flags: none  Version: 2\n  0x0c:   Name: GCC_3.0  Flags: none";
        assert_eq!(newest(said), Some((2, 34)));
        assert_eq!(newest("No version information found in this file."), None);
    }
}
