//! The programs that the demo has started, and their end: none outlives the demo.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a program may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(15);

/// Everything started here.
pub(crate) struct Children {
    state: Arc<Mutex<State>>,
    told: Receiver<()>,
}

#[derive(Default)]
struct State {
    running: Vec<(&'static str, Child)>,
    /// One that is waited for to its end.
    watched: Option<u32>,
    told_to_stop: bool,
}

impl Children {
    /// Programs that are told to end when the demo is (Ctrl-C, SIGTERM, a closed terminal).
    ///
    /// # Errors
    /// If signals cannot be handled.
    pub(crate) fn that_end_with_us() -> Result<Self> {
        let state = Arc::new(Mutex::new(State::default()));
        let (tell, told): (Sender<()>, _) = channel();
        let signalled = Arc::clone(&state);
        ctrlc::set_handler(move || {
            let mut state = lock(&signalled);
            state.told_to_stop = true;
            state.terminate();
            // The demo may be past waiting.
            let _ = tell.send(());
        })
        .context("failed to listen for Ctrl-C")?;
        Ok(Self { state, told })
    }

    /// Starts a program that runs until the demo ends.
    ///
    /// # Errors
    /// If it cannot be started, or the demo has been told to stop.
    pub(crate) fn start(&self, name: &'static str, command: &mut Command) -> Result<()> {
        let mut state = self.lock();
        state.refuse_when_told()?;
        let child = command.spawn().with_context(|| format!("failed to start {name}"))?;
        state.running.push((name, child));
        Ok(())
    }

    /// Runs a program to its end, with `read_line` looking on at every line that it prints.
    ///
    /// # Errors
    /// If it cannot be started or read, or the demo has been told to stop.
    pub(crate) fn watch_to_end(&self, command: &mut Command, mut read_line: impl FnMut(&str)) -> Result<ExitStatus> {
        let mut child = {
            let mut state = self.lock();
            state.refuse_when_told()?;
            let child = command.stdout(Stdio::piped()).spawn().context("failed to start a program")?;
            state.watched = Some(child.id());
            child
        };
        for line in BufReader::new(child.stdout.take().context("failed to take a program's output")?).lines() {
            read_line(&line?);
        }
        // While it is watched, its number belongs to no other program.
        let mut state = self.lock();
        let status = child.wait()?;
        state.watched = None;
        state.refuse_when_told()?;
        Ok(status)
    }

    /// Fails if a program has ended by itself.
    ///
    /// # Errors
    /// Names the program.
    pub(crate) fn expect_all_running(&self) -> Result<()> {
        for (name, child) in &mut self.lock().running {
            if let Some(status) = child.try_wait()? {
                bail!("{name} has ended by itself ({status})");
            }
        }
        Ok(())
    }

    /// Returns once the demo is told to stop.
    pub(crate) fn wait_until_told(&self) {
        // An error means that the handler is gone, and with it all who could tell.
        let _ = self.told.recv();
    }

    /// Whether the demo was told to stop.
    pub(crate) fn told_to_stop(&self) -> bool {
        self.lock().told_to_stop
    }

    /// Ends every program: asked first, killed if it does not listen.
    pub(crate) fn stop_all(&self) {
        let mut state = self.lock();
        state.terminate();
        let asked = Instant::now();
        for (name, child) in &mut state.running {
            while asked.elapsed() < PATIENCE && matches!(child.try_wait(), Ok(None)) {
                sleep(Duration::from_millis(20));
            }
            if matches!(child.try_wait(), Ok(None)) {
                eprintln!("{name} did not stop by itself and is killed; it loses nothing");
                drop(child.kill());
            }
            drop(child.wait());
        }
        state.running.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    fn refuse_when_told(&self) -> Result<()> {
        if self.told_to_stop {
            bail!("the demo was told to stop");
        }
        Ok(())
    }

    fn terminate(&mut self) {
        let mut ids: Vec<u32> = self.watched.into_iter().collect();
        for (_, child) in &mut self.running {
            if matches!(child.try_wait(), Ok(None)) {
                ids.push(child.id());
            }
        }
        for id in ids {
            if let Some(id) = i32::try_from(id).ok().and_then(Pid::from_raw) {
                // It may have ended in this moment.
                let _ = kill_process(id, Signal::TERM);
            }
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
