//! Runs a program of the system, without a shell, for a limited time: it and whatever it started end with the call, by
//! SIGKILL if need be, and none of it is left as a zombie.
//!
//! Two limits. A descendant that makes itself a session of its own leaves the group and is not found. And should the recorder
//! itself be killed, the program lives on until it ends by itself; under systemd it ends with the service's control group.

use std::io::{self, PipeReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::hurry::Hurry;

/// How long a program may take to end after it was asked to. Ours: long enough to switch a camera off.
const GRACE: Duration = Duration::from_millis(500);

/// How long the kernel may take to end what was killed. One that hangs in a driver (a USB camera that died) takes longer, and is
/// left to a thread that waits for it.
const AFTER_KILL: Duration = Duration::from_secs(1);

/// How long a program may still run once the station is to stop. With what ending it takes, and the spool, this stays within the
/// 5 s that the service manager gives, and it is more than either camera program needs at the prototype's settings.
const HURRIED: Duration = Duration::from_secs(2);

/// How often it is looked whether the program has ended. Ours: no photo is late by what one notices.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How often it is looked whether there is a hurry.
const LOOK_FOR_HURRY_EVERY: Duration = Duration::from_millis(100);

/// How much of what a program prints is kept, in bytes: the last, where the reason stands.
const KEPT_BYTES: usize = 2_048;

/// A program that ended by itself.
#[derive(Debug)]
pub(super) struct Ended {
    /// How.
    pub(super) status: ExitStatus,
    /// The last that it printed, on one line.
    pub(super) words: String,
}

/// A program that did not.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProgramError {
    /// It does not exist, or may not be run.
    #[error("{0}")]
    NotStarted(#[source] io::Error),
    /// It was ended.
    #[error("it had not ended after {} s and was killed", .limit.as_secs_f64())]
    TooLong {
        /// The time that it had.
        limit: Duration,
        /// The last that it printed, on one line.
        words: String,
    },
}

/// Runs a program to its end, for `limit` of the monotonic clock at most (and a second or two to end it after that); for less
/// once there is a `hurry`.
///
/// # Errors
/// If it cannot be started, or does not end in time.
pub(super) fn run(command: Command, limit: Duration, hurry: &Hurry) -> Result<Ended, ProgramError> {
    let mut running = Running::start(command).map_err(ProgramError::NotStarted)?;
    let started = Instant::now();
    let in_time = running.ends_within(limit, hurry);
    let limit = limit.min(started.elapsed());
    if !in_time {
        running.signal(Signal::TERM);
        running.has_ended_within(GRACE);
    }
    // Also what a program leaves behind that has ended. The group's number is still its own: nobody has reaped it yet.
    running.signal(Signal::KILL);
    let words = running.last_words();
    match running.reap() {
        Some(status) if in_time => Ok(Ended { status, words }),
        _ => Err(ProgramError::TooLong { limit, words }),
    }
}

struct Running {
    child: Child,
    printed: PipeReader,
    kept: Vec<u8>,
}

impl Running {
    fn start(mut command: Command) -> io::Result<Self> {
        let (printed, pen) = io::pipe()?;
        // Read between looks, so that no thread has to wait for a pipe that somebody keeps open.
        fcntl_setfl(&printed, OFlags::NONBLOCK)?;
        command.stdin(Stdio::null()).stdout(pen.try_clone()?).stderr(pen).process_group(0);
        Ok(Self { child: command.spawn()?, printed, kept: Vec::new() })
    }

    /// Waits until the program has ended, less long once there is a hurry.
    fn ends_within(&mut self, limit: Duration, hurry: &Hurry) -> bool {
        let started = Instant::now();
        loop {
            let left = limit.saturating_sub(started.elapsed());
            if hurry.is_on() {
                return self.has_ended_within(left.min(HURRIED));
            }
            if left.is_zero() || self.has_ended_within(left.min(LOOK_FOR_HURRY_EVERY)) {
                return !left.is_zero() || self.has_ended();
            }
        }
    }

    /// Waits until the program has ended; it stays to be reaped.
    fn has_ended_within(&mut self, limit: Duration) -> bool {
        let started = Instant::now();
        loop {
            self.read();
            if self.has_ended() {
                return true;
            }
            let left = limit.saturating_sub(started.elapsed());
            if left.is_zero() {
                return false;
            }
            thread::sleep(left.min(LOOK_EVERY));
        }
    }

    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(waitid(WaitId::Pid(self.id()), options), Ok(Some(_)))
    }

    fn signal(&self, signal: Signal) {
        // It fails only if the group has nobody left.
        kill_process_group(self.id(), signal).unwrap_or_default();
    }

    fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Its exit status; `None` if it does not end even now.
    fn reap(mut self) -> Option<ExitStatus> {
        if self.has_ended_within(AFTER_KILL) {
            return self.child.wait().ok();
        }
        let mut child = self.child;
        drop(thread::spawn(move || child.wait()));
        None
    }

    fn read(&mut self) {
        let mut piece = [0; 4_096];
        // Bounded, so that a program which never stops printing does not keep us from looking at the time.
        for _ in 0..64 {
            match self.printed.read(&mut piece) {
                Ok(count) if count > 0 => self.keep(&piece[..count]),
                _ => return,
            }
        }
    }

    fn keep(&mut self, piece: &[u8]) {
        self.kept.extend_from_slice(piece);
        self.kept.drain(..self.kept.len().saturating_sub(KEPT_BYTES));
    }

    fn last_words(&mut self) -> String {
        self.read();
        one_line(&String::from_utf8_lossy(&self.kept))
    }
}

/// Text for a terminal as part of a sentence: without its colours, in one line.
fn one_line(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, coloured)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = coloured.split_once(|end: char| end.is_ascii_alphabetic()).map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    let lines = plain.lines().map(|line| line.trim_matches(|c: char| c.is_whitespace() || c.is_control()));
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    lines.join("; ").replace(|c: char| c.is_control(), " ")
}

/// What became of processes.
#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// Those that are still there of the processes whose numbers are given, one a line: first descendants, last the program. The
    /// kernel may need a moment. A descendant may wait as a zombie for whoever inherited it; the program is ours to reap.
    pub(in crate::devices) fn survivors(numbers: &str) -> Vec<String> {
        let program = numbers.lines().last().unwrap_or_default();
        let lives = |number: &str| {
            let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, state)| number == program || !state.starts_with(['Z', 'X']))
        };
        let started = Instant::now();
        while numbers.lines().any(lives) && started.elapsed() < Duration::from_secs(20) {
            thread::yield_now();
        }
        numbers.lines().filter(|number| lives(number)).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::testing::survivors;
    use super::*;

    fn shell(script: &str, limit: Duration) -> Result<Ended, ProgramError> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run(command, limit, &Hurry::default())
    }

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(200);

    #[test]
    fn what_a_program_prints_is_kept_from_either_stream() {
        let ended = shell("echo one; printf '\\033[31mtwo\\033[0m\\n' >&2; exit 3", LONG).unwrap();
        assert_eq!((ended.status.code(), ended.words.as_str()), (Some(3), "one; two"));
    }

    #[test]
    fn only_the_last_words_are_kept_of_one_that_prints_too_much() {
        let ended = shell("yes no no no | head -c 3000000; echo; echo the reason", LONG).unwrap();
        assert!(
            ended.words.ends_with("the reason") && ended.words.len() <= KEPT_BYTES + 1_024,
            "{}",
            ended.words.len()
        );
    }

    #[test]
    fn a_program_has_nothing_to_read() {
        assert_eq!(shell("cat; echo done", LONG).unwrap().words, "done");
    }

    #[test]
    fn one_that_hangs_with_its_children_is_ended_with_them_also_if_it_does_not_listen() {
        let folder = tempfile::tempdir().unwrap();
        for (number, trap) in ["", "trap '' TERM; "].into_iter().enumerate() {
            let numbers = folder.path().join(number.to_string());
            let script = format!(
                "{trap}(echo waiting; exec sleep 1000) & echo $! > {0}; echo $$ >> {0}; wait",
                numbers.display()
            );
            match shell(&script, SHORT).unwrap_err() {
                ProgramError::TooLong { limit, words } => assert_eq!((limit, words.as_str()), (SHORT, "waiting")),
                other => panic!("{other}"),
            }
            assert_eq!(survivors(&fs::read_to_string(&numbers).unwrap()), [""; 0]);
        }
    }

    #[test]
    fn once_the_station_is_to_stop_no_program_runs_on_for_long() {
        let hurry = Hurry::default();
        hurry.up();
        let mut command = Command::new("sleep");
        command.arg("1000");
        let began = Instant::now();
        assert!(matches!(run(command, LONG, &hurry), Err(ProgramError::TooLong { .. })));
        assert!(began.elapsed() < LONG);
        assert!(run(Command::new("true"), LONG, &hurry).unwrap().status.success(), "one that is quick is let through");
    }

    #[test]
    fn what_a_program_leaves_behind_ends_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let numbers = folder.path().join("numbers");
        let ended = shell(&format!("sleep 1000 & echo $! > {0}; echo $$ >> {0}", numbers.display()), LONG).unwrap();
        assert!(ended.status.success());
        assert_eq!(survivors(&fs::read_to_string(&numbers).unwrap()), [""; 0]);
    }

    #[test]
    fn a_program_that_is_not_there_is_no_mystery() {
        let error = run(Command::new("/no/such/program"), LONG, &Hurry::default()).unwrap_err();
        assert!(matches!(error, ProgramError::NotStarted(why) if why.kind() == io::ErrorKind::NotFound));
    }
}
