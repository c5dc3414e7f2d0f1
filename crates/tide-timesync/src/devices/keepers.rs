//! Which programs run that are known to keep a clock: the names of processes, as `/proc` has them.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

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

/// Whether a daemon has its time from a receiver on this very machine. Only chrony tells: it then is of stratum 1 itself.
pub fn is_steered_by_receiver(daemon: Daemon) -> bool {
    // It waits for chronyd for some seconds at most.
    let tracking = || Command::new("chronyc").args(["-c", "-n", "tracking"]).stdin(Stdio::null()).output().ok();
    daemon == Daemon::Chronyd && tracking().is_some_and(|answer| is_stratum_1(&String::from_utf8_lossy(&answer.stdout)))
}

/// `chronyc -c tracking`: reference id, its name or address, stratum, and more.
fn is_stratum_1(tracking: &str) -> bool {
    tracking.lines().next().and_then(|line| line.split(',').nth(2)) == Some("1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chrony_tells_whether_its_time_is_from_a_receiver_here() {
        assert!(is_stratum_1(
            "50505300,PPS,1,1732550000.1,0.000001,0.0,0.0,-1.2,0.0,0.1,0.000001,0.0001,16.0,Normal\n"
        ));
        assert!(!is_stratum_1("C0A80001,192.168.0.1,2,1732550000.1,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,64.0,Normal\n"));
        assert!(!is_stratum_1("506 Cannot talk to daemon\n") && !is_stratum_1(""));
    }

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
