//! What a guest says on its console, and when.

use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::receiver::Playing;

/// Everything that a guest has said.
pub struct Console {
    lines: Vec<Line>,
    playing: Option<Playing>,
}

/// One line, and when it had arrived here.
struct Line {
    text: String,
    at: Instant,
}

/// What a command of `show` printed.
#[derive(Debug)]
pub struct Shown {
    /// Its exit code.
    pub code: i32,
    /// Its output and its errors, as they came.
    pub text: String,
    /// When it began, by the clock of the receiver that was on by then.
    pub began: Option<jiff::Timestamp>,
    /// When it had ended, by the same clock.
    pub ended: Option<jiff::Timestamp>,
}

/// Reads a console to its end; `play` switches the receiver on.
pub(crate) fn watch(
    output: impl Read + Send + 'static,
    limit: Duration,
    play: impl Fn() -> anyhow::Result<Playing>,
) -> anyhow::Result<Console> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || send_lines(output, &sender));
    let until = Instant::now() + limit;
    let mut console = Console { lines: Vec::new(), playing: None };
    loop {
        match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                if line.text == "== receiver on" {
                    console.playing = Some(play()?);
                }
                console.lines.push(line);
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(console),
            Err(RecvTimeoutError::Timeout) => bail!("the guest is not off after {limit:?}: {}", console.text()),
        }
    }
}

fn send_lines(output: impl Read, lines: &Sender<Line>) {
    // A firmware prints more than text.
    for bytes in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        let text = String::from_utf8_lossy(&bytes).trim_end_matches('\r').to_owned();
        if lines.send(Line { text, at: Instant::now() }).is_err() {
            return;
        }
    }
}

impl Console {
    /// What the command printed that was shown under this name.
    ///
    /// # Errors
    /// With the whole console, if there is none, or it has not ended.
    pub fn shown(&self, name: &str) -> anyhow::Result<Shown> {
        self.find(name).with_context(|| format!("`{name}` was not shown to its end: {}", self.text()))
    }

    fn find(&self, name: &str) -> Option<Shown> {
        let begin = self.lines.iter().position(|line| line.text.ends_with(&format!("== {name}")))?;
        let rest = &self.lines[begin + 1..];
        let mark = format!("== {name} ended with ");
        let end = rest.iter().position(|line| line.text.starts_with(&mark))?;
        let text: Vec<&str> = rest[..end].iter().map(|line| line.text.as_str()).collect();
        Some(Shown {
            code: rest[end].text.strip_prefix(&mark)?.parse().ok()?,
            text: text.join("\n").trim().to_owned(),
            began: self.receiver_time(self.lines[begin].at),
            ended: self.receiver_time(rest[end].at),
        })
    }

    fn receiver_time(&self, at: Instant) -> Option<jiff::Timestamp> {
        self.playing.as_ref()?.time_at(at)
    }

    /// All of it.
    pub fn text(&self) -> String {
        self.lines.iter().map(|line| format!("\n{}", line.text)).collect()
    }
}
