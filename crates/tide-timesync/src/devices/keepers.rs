//! Which programs run that are known to keep a clock: the names of processes, as `/proc` has them.

use std::fs;
use std::io;
use std::path::Path;

use crate::keeper::Daemon;

/// The daemons that run, each once; `processes` is `/proc`, or a folder like it.
///
/// # Errors
/// If the folder cannot be read. A process that ends meanwhile is none.
pub fn running(processes: &Path) -> io::Result<Vec<Daemon>> {
    let mut daemons = Vec::new();
    for entry in fs::read_dir(processes)? {
        let entry = entry?;
        let is_process = entry.file_name().to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        if is_process && let Ok(name) = fs::read_to_string(entry.path().join("comm")) {
            daemons.extend(Daemon::named(name.trim_end()));
        }
    }
    daemons.sort_unstable();
    daemons.dedup();
    Ok(daemons)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_processes_are_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for (place, name) in
            [("1", "systemd"), ("77", "chronyd"), ("78", "chronyd"), ("9", "systemd-timesyn"), ("self", "ntpd")]
        {
            fs::create_dir(folder.path().join(place)).unwrap();
            fs::write(folder.path().join(place).join("comm"), format!("{name}\n")).unwrap();
        }
        // A process that ended after it was listed.
        fs::create_dir(folder.path().join("80")).unwrap();
        assert_eq!(running(folder.path()).unwrap(), [Daemon::Chronyd, Daemon::Timesyncd]);
        assert!(running(&folder.path().join("nowhere")).is_err());
    }

    #[test]
    fn this_machine_can_be_asked() {
        assert!(running(Path::new("/proc")).is_ok());
    }
}
