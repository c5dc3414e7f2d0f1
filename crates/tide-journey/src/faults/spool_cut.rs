//! F3: the power goes in the middle of what a station does with its spool.
//!
//! strace kills `tide-recorder` before a system call: before each one in turn that `shoot` makes from the opening of its spool on,
//! and before some that `run` makes when it releases photos. Every other time the disk then loses what the kernel had not yet
//! written.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tide_photo::Digest;

use super::image_disk::ImageDisk;
use super::{Fault, Plan, Seen, wait_for};
use crate::needs::Need;
use crate::programs::{Running, until};
use crate::server::files_below;
use crate::{TestServer, TestStation};

pub(super) const FAULT: Fault = Fault {
    number: "F3",
    name: "spool-cut",
    need: Need::TracedDisk,
    about: "the station is killed before each system call of capture and release: no photo is lost, cut short or sent twice",
    long_rounds: 400,
    short_rounds: 6,
    run,
};

/// What changes a disk, or opens what does. A `?` stands before what only some processors have.
const CALLS: [&str; 11] = [
    "openat",
    "write",
    "fsync",
    "fdatasync",
    "?rename",
    "?renameat",
    "renameat2",
    "?mkdir",
    "mkdirat",
    "?unlink",
    "unlinkat",
];

/// What a release does, and how often at most in one thread before the kill.
const RELEASE_CALLS: [&str; 5] = ["?rename", "renameat2", "fsync", "?unlink", "unlinkat"];
const RELEASE_COUNT: std::ops::RangeInclusive<usize> = 1..=6;

/// A system call, and the how manieth of its kind.
type Step = (String, usize);

/// What was printed for photos, and what became of those for which nothing was.
#[derive(Default)]
struct Ledger {
    printed: BTreeSet<String>,
    kills: usize,
    cuts: usize,
}

fn run(plan: Plan) -> anyhow::Result<Seen> {
    let mut random = StdRng::seed_from_u64(plan.seed);
    let mut disk = ImageDisk::new()?;
    let mut server = TestServer::start()?;
    let limits = "\n[disk]\nmin_free_bytes = 0\n";
    let mut station = TestStation::new(&format!("{}{limits}", server.add_station("pier-3")?))?.with_data(&disk.data());
    let mut ledger = Ledger::default();
    let steps = steps_of_a_capture(&station, &mut ledger)?;
    let rounds = plan.rounds as usize;
    for round in 0..rounds {
        let is_capture = round % 3 != 2;
        if is_capture {
            // All in turn in the long form, some of all in the short one.
            let step =
                &steps[if rounds < steps.len() { random.random_range(0..steps.len()) } else { round % steps.len() }];
            kill_capture(&station, step, &mut ledger)?;
        } else {
            ledger.printed.extend(station.shoot(&["--count", "2"])?.iter().filter_map(|line| digest(line)));
            let call = RELEASE_CALLS[random.random_range(0..RELEASE_CALLS.len())];
            kill_delivery(&station, &(call.to_owned(), random.random_range(RELEASE_COUNT)), &mut ledger)?;
        }
        if random.random_range(0..2) == 0 {
            ledger.cuts += 1;
            disk.cut_power()?;
        }
        deliver(&mut station)?;
    }
    let seen = ledger.compare(&server, &station)?;
    server.stop()?;
    Ok(Seen(format!("{} system calls of a capture; {seen}", steps.len())))
}

/// Lets the station put its spool right and deliver what is in it.
fn deliver(station: &mut TestStation) -> anyhow::Result<()> {
    let said = |station: &TestStation| {
        ["read the whole spool", " running "].map(|words| station.log().matches(words).count()).into_iter().min()
    };
    let before = said(station);
    station.run()?;
    until("the station has read its spool", || Ok(said(station) > before))?;
    station.until_delivered()?;
    station.stop()
}

/// The calls that one capture makes from the opening of the spool on.
fn steps_of_a_capture(station: &TestStation, ledger: &mut Ledger) -> anyhow::Result<Vec<Step>> {
    // The first one makes folders that later ones find.
    for _ in 0..2 {
        ledger.printed.extend(station.shoot(&[])?.iter().filter_map(|line| digest(line)));
    }
    let trace = tempfile::NamedTempFile::new()?;
    let mut command = traced(&station.command()?, trace.path(), None)?;
    let printed = crate::programs::output(command.arg("shoot"))?;
    ledger.printed.extend(printed.lines().filter_map(digest));
    let text = fs::read_to_string(trace.path())?;
    let me = text.split_whitespace().next().context("strace saw nothing")?;
    let mine = text.lines().filter_map(|line| line.strip_prefix(me)).map(str::trim_start);
    let (mut steps, mut counts, mut has_begun) = (Vec::new(), std::collections::BTreeMap::<&str, usize>::new(), false);
    for line in mine {
        let Some((call, _)) = line.split_once('(') else { continue };
        let count = counts.entry(call).or_default();
        *count += 1;
        has_begun |= line.contains("/spool");
        if has_begun {
            steps.push((call.to_owned(), *count));
        }
    }
    ensure!(steps.len() >= 20, "a capture makes only {} system calls", steps.len());
    Ok(steps)
}

fn kill_capture(station: &TestStation, step: &Step, ledger: &mut Ledger) -> anyhow::Result<()> {
    let trace = tempfile::NamedTempFile::new()?;
    let mut command = traced(&station.command()?, trace.path(), Some(&injection(step)))?;
    let output = command.arg("shoot").output()?;
    ledger.kills += usize::from(!output.status.success());
    ledger.printed.extend(String::from_utf8(output.stdout)?.lines().filter_map(digest));
    Ok(())
}

/// The kill may not come, because no thread makes so many such calls: then it comes once all is delivered.
fn kill_delivery(station: &TestStation, step: &Step, ledger: &mut Ledger) -> anyhow::Result<()> {
    let trace = tempfile::NamedTempFile::new()?;
    let mut command = traced(&station.command()?, trace.path(), Some(&injection(step)))?;
    let mut running = Running::start(command.arg("run").stdout(Stdio::null()).stderr(Stdio::null()))?;
    until("the station is killed, or has delivered", || {
        Ok(running.expect_running().is_err() || station.waiting().is_ok_and(|waiting| waiting == 0))
    })?;
    if running.expect_running().is_ok() {
        running.signal(rustix::process::Signal::TERM)?;
        until("the station ends", || Ok(running.expect_running().is_err()))?;
    }
    ledger.kills += 1;
    Ok(())
}

fn injection((call, count): &Step) -> String {
    format!("inject={call}:signal=KILL:when={count}")
}

/// The same program below strace. Once it ends by itself its trace is whole; with an injection it is our own child (`-D`) and hears
/// our signals.
fn traced(program: &Command, trace: &Path, injection: Option<&str>) -> anyhow::Result<Command> {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(trace).args(["-e", &format!("trace={}", CALLS.join(","))]);
    if let Some(injection) = injection {
        command.args(["-D", "-e", injection]);
    }
    command.arg(program.get_program()).env_clear().stdin(Stdio::null());
    for (name, value) in program.get_envs() {
        command.env(name, value.context("no variable is taken away")?);
    }
    Ok(command)
}

fn digest(line: &str) -> Option<String> {
    line.split(' ').nth(1).map(str::to_owned)
}

impl Ledger {
    /// Every photo printed is held once, every other one whole or counted, and what was delivered is in the archive.
    fn compare(&self, server: &TestServer, station: &TestStation) -> anyhow::Result<String> {
        let photos = wait_for(async {
            server.log_in().await?.get("/photos").await?.json::<Vec<serde_json::Value>>().await.map_err(Into::into)
        })?;
        let held: BTreeSet<String> =
            photos.iter().filter_map(|photo| photo["digest"].as_str()).map(str::to_owned).collect();
        ensure!(held.len() == photos.len(), "{} photos are held, {} of them different", photos.len(), held.len());
        let lost = self.printed.difference(&held).count();
        ensure!(lost == 0, "{lost} of {} photos were lost", self.printed.len());
        server.expect_clean(held.len() as u64)?;
        let parked = station.files("parked")?.len();
        ensure!(parked == 0, "{parked} photos were cut short, or refused");
        let (unprinted, incomplete) = (held.len() - self.printed.len(), station.counted("incomplete")?);
        ensure!(unprinted + usize::try_from(incomplete)? <= self.kills, "more captures than there were");
        let archived = archived(station)?;
        ensure!(archived.len() == archived.iter().collect::<BTreeSet<_>>().len(), "a photo is archived twice");
        let missing = held.iter().filter(|digest| !archived.contains(digest)).count();
        ensure!(missing == 0 && archived.len() == held.len(), "{missing} of {} photos are not archived", held.len());
        for kind in ["jpg", "json", "done", "part"] {
            let left = station.files(kind)?;
            ensure!(left.is_empty(), "left in the spool: {left:?}");
        }
        Ok(format!(
            "{} kills, {} of them with a power cut; {} photos printed, all held once; {unprinted} more were whole, {incomplete} \
             counted as incomplete; {} archived",
            self.kills,
            self.cuts,
            self.printed.len(),
            archived.len()
        ))
    }
}

fn archived(station: &TestStation) -> anyhow::Result<Vec<String>> {
    let folder = station.data().join("archive");
    let digest = |name: String| Ok(Digest::of(&fs::read(folder.join(name))?).to_string());
    let found: anyhow::Result<Vec<String>> = files_below(&folder)?.into_iter().map(digest).collect();
    match found {
        Ok(digests) => Ok(digests),
        Err(error) => bail!("the archive cannot be read: {error}"),
    }
}
