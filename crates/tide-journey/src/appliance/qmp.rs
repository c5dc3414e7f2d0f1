//! QEMU's own control socket: <https://www.qemu.org/docs/master/interop/qmp-spec.html>

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::lines::Lines;

/// QEMU answers at once; a machine under load does within this.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to a machine's control socket.
pub struct Qmp {
    lines: Lines,
    /// What happened while something else was waited for.
    events: Vec<Value>,
}

impl Qmp {
    pub(super) fn connect(socket: &Path) -> anyhow::Result<Self> {
        let mut qmp = Self { lines: Lines::connect(socket)?, events: Vec::new() };
        qmp.lines.next(Instant::now() + PATIENCE)?.context("QEMU does not greet")?;
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Has QEMU do something; what it answers.
    ///
    /// # Errors
    /// If it refuses.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> anyhow::Result<Value> {
        self.lines.say(&json!({"execute": command, "arguments": arguments}).to_string())?;
        let by = Instant::now() + PATIENCE;
        while let Some(line) = self.lines.next(by)? {
            let mut said: Value = serde_json::from_str(&line)?;
            if let Some(error) = said.get("error") {
                bail!("QEMU refuses {command}: {error}");
            }
            if let Some(answer) = said.get_mut("return") {
                return Ok(answer.take());
            }
            self.events.push(said);
        }
        bail!("QEMU does not answer to {command}")
    }

    /// Waits for an event of this name, which may have come already.
    ///
    /// # Errors
    /// If none comes.
    pub fn event(&mut self, name: &str, limit: Duration) -> anyhow::Result<Value> {
        let by = Instant::now() + limit;
        loop {
            if let Some(index) = self.events.iter().position(|event| event["event"] == name) {
                return Ok(self.events.remove(index));
            }
            let Some(line) = self.lines.next(by)? else { bail!("{limit:?} went by without QEMU's event {name}") };
            self.events.push(serde_json::from_str(&line)?);
        }
    }

    /// Forgets what has happened so far.
    pub fn forget_events(&mut self) {
        self.events.clear();
    }
}
