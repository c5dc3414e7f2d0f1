//! Programs of the system, each within a time limit: a dying card can hold one up for ever.

use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a program may take to end once it is told to. e2fsck leaves the file system in order when it is.
const GRACE: Duration = Duration::from_secs(10);

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// By itself.
    WithCode {
        /// Its exit code.
        code: i32,
        /// What it wrote to its standard output.
        output: String,
        /// All that it said, on one line.
        said: String,
    },
    /// It did not end by itself, or did not even begin. Tells why.
    Unfinished(String),
}

impl Ended {
    /// What a program that succeeded wrote.
    ///
    /// # Errors
    /// If it did not succeed.
    pub(super) fn success(self, what: &str) -> anyhow::Result<String> {
        match self {
            Self::WithCode { code: 0, output, .. } => Ok(output),
            Self::WithCode { code, said, .. } => anyhow::bail!("{what} failed with exit code {code}: {said}"),
            Self::Unfinished(why) => anyhow::bail!("{what} failed: {why}"),
        }
    }
}

/// Runs a program to its end or to the limit.
pub(super) fn run(program: &str, arguments: &[&str], input: &str, limit: Duration) -> Ended {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Ended::Unfinished(format!("{program} could not be started: {error}")),
    };
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not want it may have closed its end.
        drop(stdin.write_all(input.as_bytes()));
    }
    // Waiting for the end of its texts, not for the program, lets us stop waiting; a process that a card holds up inside the
    // kernel cannot be killed.
    let (output, errors) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let deadline = Instant::now() + limit;
    match (receive(&output, deadline), receive(&errors, deadline)) {
        (Some(output), Some(errors)) => match child.wait() {
            Ok(status) => ended(program, status, output, &errors),
            Err(error) => Ended::Unfinished(format!("{program} could not be waited for: {error}")),
        },
        _ => {
            stop(&mut child, &errors);
            Ended::Unfinished(format!("{program} did not end within {} s", limit.as_secs()))
        }
    }
}

fn ended(program: &str, status: ExitStatus, output: String, errors: &str) -> Ended {
    let said = one_line(&format!("{errors}\n{output}"));
    match status.code() {
        Some(code) => Ended::WithCode { code, output, said },
        None => Ended::Unfinished(format!("{program} was killed ({status}): {said}")),
    }
}

fn stop(child: &mut Child, errors: &Receiver<String>) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
    if receive(errors, Instant::now() + GRACE).is_none() {
        drop(child.kill());
        receive(errors, Instant::now() + GRACE);
    }
    drop(child.try_wait());
}

fn reader(from: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            drop(from.read_to_end(&mut bytes));
        }
        drop(sender.send(String::from_utf8_lossy(&bytes).into_owned()));
    });
    receiver
}

fn receive(from: &Receiver<String>, deadline: Instant) -> Option<String> {
    from.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
}

/// The last words of a program for the journal: a check of a damaged card says thousands of lines.
fn one_line(text: &str) -> String {
    const MOST_CHARACTERS: usize = 500;
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let line = lines.join("; ");
    match line.char_indices().rev().nth(MOST_CHARACTERS) {
        Some((start, _)) => format!("... {}", &line[start..]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn a_program_is_heard() {
        let ended = run("sh", &["-c", "cat; echo two >&2; exit 3"], "one\n", PATIENCE);
        assert_eq!(ended, Ended::WithCode { code: 3, output: "one\n".to_owned(), said: "two; one".to_owned() });
        assert_eq!(ended.success("reading").unwrap_err().to_string(), "reading failed with exit code 3: two; one");
    }

    #[test]
    fn a_program_that_does_not_end_is_stopped() {
        let ended = run("sleep", &["1000"], "", Duration::ZERO);
        assert_eq!(ended, Ended::Unfinished("sleep did not end within 0 s".to_owned()));
        let ended = run("sh", &["-c", "kill -KILL $$"], "", PATIENCE);
        assert!(matches!(ended, Ended::Unfinished(why) if why.contains("killed")));
        let ended = run("there-is-no-such-program", &[], "", PATIENCE);
        assert!(matches!(ended, Ended::Unfinished(why) if why.contains("could not be started")));
    }

    #[test]
    fn only_the_end_of_a_long_story_is_kept() {
        let line = one_line(&format!("{}\n\n  the end", "x".repeat(10_000)));
        assert!(line.starts_with("... x") && line.ends_with("x; the end") && line.len() < 600, "{line}");
    }
}
