//! A root shell in the machine, for the harness alone. The other end is `overlays/test`: it takes a line with a number, a limit
//! and a command in base64, and answers with that number, the exit code, and the output in base64.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::lines::Lines;

/// How long a command may take that says nothing else. Emulated, a process takes a tenth of a second to start.
const USUAL: Duration = Duration::from_secs(60);

/// On top of a command's own limit.
const GRACE: Duration = Duration::from_secs(20);

/// How often a shell is asked whether it is there yet.
const KNOCK: Duration = Duration::from_secs(5);

/// The harness' end.
pub struct Shell {
    lines: Lines,
    asked: u32,
}

/// What a command came to.
#[derive(Debug)]
pub struct Answer {
    /// Its exit code; 124 if its time was up.
    pub code: i32,
    /// Its output and its errors, as they came, without white space at the end.
    pub text: String,
}

impl Shell {
    pub(super) fn connect(socket: &Path) -> anyhow::Result<Self> {
        Ok(Self { lines: Lines::connect(socket)?, asked: 0 })
    }

    /// Waits until the machine has a shell.
    ///
    /// # Errors
    /// If it has none by then.
    pub fn wait(&mut self, limit: Duration) -> anyhow::Result<()> {
        let by = Instant::now() + limit;
        let first = self.asked + 1;
        while Instant::now() < by {
            // A question that the machine had taken when it was reset is lost: it is asked anew.
            self.ask("true", KNOCK)?;
            // An answer to an earlier knock will do: on a busy machine each comes later than the next knock.
            if self.answer(first, (Instant::now() + KNOCK).min(by))?.is_some() {
                return Ok(());
            }
        }
        bail!("no test shell after {limit:?}: did the machine boot, and is this the test variant of the image?")
    }

    /// Runs a command.
    ///
    /// # Errors
    /// If there is no answer. That the command failed is no error.
    pub fn run(&mut self, command: &str) -> anyhow::Result<Answer> {
        self.run_within(command, USUAL)
    }

    /// The same with a time after which it is ended.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn run_within(&mut self, command: &str, limit: Duration) -> anyhow::Result<Answer> {
        let number = self.ask(command, limit)?;
        let answer = self.answer(number, Instant::now() + limit + GRACE)?;
        answer.with_context(|| format!("the machine does not answer to `{command}`"))
    }

    /// Runs a command that must succeed; its output.
    ///
    /// # Errors
    /// If it does not.
    pub fn output(&mut self, command: &str) -> anyhow::Result<String> {
        let Answer { code, text } = self.run(command)?;
        ensure!(code == 0, "`{command}` ended with {code} in the machine: {text}");
        Ok(text)
    }

    /// Sends a command and does not wait: the machine may be gone before it could answer.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub fn send(&mut self, command: &str) -> anyhow::Result<()> {
        self.ask(command, USUAL).map(drop)
    }

    fn ask(&mut self, command: &str, limit: Duration) -> anyhow::Result<u32> {
        self.asked += 1;
        self.lines.say(&format!("{} {} {}", self.asked, limit.as_secs(), STANDARD.encode(command)))?;
        Ok(self.asked)
    }

    /// The answer to this question, or to a later one.
    fn answer(&mut self, number: u32, by: Instant) -> anyhow::Result<Option<Answer>> {
        while let Some(line) = self.lines.next(by)? {
            let mut words = line.split(' ');
            // What is answered late to an earlier question does not count, nor the rest of a line that a reset has cut.
            if words.next().and_then(|word| word.parse::<u32>().ok()).is_none_or(|answered| answered < number) {
                continue;
            }
            let code = words.next().and_then(|word| word.parse().ok());
            let output = words.next().map_or_else(|| Ok(Vec::new()), |word| STANDARD.decode(word));
            if let (Some(code), Ok(output)) = (code, output) {
                return Ok(Some(Answer { code, text: String::from_utf8_lossy(&output).trim_end().to_owned() }));
            }
        }
        Ok(None)
    }
}
