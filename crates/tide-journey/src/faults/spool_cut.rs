//! F3: the power goes in the middle of what a station does with its spool.
//!
//! strace kills `tide-recorder` before a system call: before each one in turn by which `shoot` changes the disk when it takes a
//! photo, and before each one by which `run` does when it delivers photos and puts them into the archive. Each kill is made twice:
//! once the disk then loses what the kernel had not yet written, once only the program is gone. The long form makes them all, the
//! short form some.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rustix::process::{Pid, Signal, kill_process};
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
    about: "the station is killed before each system call of capture and delivery: no photo is lost, cut short or sent twice",
    long_rounds: 400,
    short_rounds: 8,
    run,
};

/// What changes a disk, or opens what does. A `?` stands before what only some processors have.
const CALLS: [&str; 16] = [
    "openat",
    "write",
    "pwrite64",
    "ftruncate",
    "fsync",
    "fdatasync",
    "?rename",
    "?renameat",
    "renameat2",
    "?link",
    "linkat",
    "?mkdir",
    "mkdirat",
    "?unlink",
    "unlinkat",
    "?rmdir",
];

/// Photos that one delivery is to deliver.
const DELIVERED: &str = "2";

/// A system call, and the how manieth of its kind in its thread.
type Step = (String, usize);

/// What the station does when it is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Capture,
    Delivery,
}

/// A kill: before the how manieth system call of a kind that one thread makes.
#[derive(Debug, Clone)]
struct Kill {
    work: Work,
    call: String,
    count: usize,
    is_power_cut: bool,
}

/// What was printed for photos, and how often the station was killed.
#[derive(Default)]
struct Ledger {
    printed: BTreeSet<String>,
    begun: usize,
    kills: BTreeMap<&'static str, usize>,
    cuts: usize,
}

fn run(plan: Plan) -> anyhow::Result<Seen> {
    let mut disk = ImageDisk::new()?;
    let mut server = TestServer::start()?;
    let limits = "\n[disk]\nmin_free_bytes = 0\n[upload]\nmax_photos_per_s = 100\n";
    let mut station = TestStation::new(&format!("{}{limits}", server.add_station("pier-3")?))?.with_data(&disk.data());
    let mut ledger = Ledger::default();
    let kills = kills(&mut station, &mut ledger)?;
    let chosen = chosen(&kills, plan);
    for kill in &chosen {
        let outcome = survive(kill, &mut disk, &mut station, &mut ledger);
        outcome.and_then(|()| ledger.compare(&server, &station)).with_context(|| format!("{kill:?}"))?;
    }
    let seen = ledger.compare(&server, &station)?;
    server.stop()?;
    Ok(Seen(format!("{} of {} kills; {seen}", chosen.len(), kills.len())))
}

/// So many of each work in turn, in the order that the seed gives; or all.
fn chosen(kills: &[Kill], plan: Plan) -> Vec<Kill> {
    let (mut captures, mut deliveries): (Vec<Kill>, Vec<Kill>) =
        kills.iter().cloned().partition(|kill| kill.work == Work::Capture);
    let mut random = StdRng::seed_from_u64(plan.seed);
    captures.shuffle(&mut random);
    deliveries.shuffle(&mut random);
    let mut chosen = Vec::new();
    while chosen.len() < plan.rounds as usize && !(captures.is_empty() && deliveries.is_empty()) {
        chosen.extend(captures.pop());
        chosen.extend(deliveries.pop());
    }
    chosen.truncate(plan.rounds as usize);
    chosen
}

/// Kills the station at work, and sets it to work again.
fn survive(kill: &Kill, disk: &mut ImageDisk, station: &mut TestStation, ledger: &mut Ledger) -> anyhow::Result<()> {
    match kill.work {
        Work::Capture => kill_capture(station, kill, ledger)?,
        Work::Delivery => kill_delivery(station, kill, ledger)?,
    }
    if kill.is_power_cut {
        ledger.cuts += 1;
        disk.cut_power()?;
    }
    deliver(station)
}

/// Lets the station deliver all that waits, undisturbed.
fn deliver(station: &mut TestStation) -> anyhow::Result<()> {
    let is_running = |station: &TestStation| station.log().matches("running").count();
    let before = is_running(station);
    station.run()?;
    // Before that a signal ends it, as any program that does not catch it.
    until("the station runs", || Ok(is_running(station) > before))?;
    station.until_delivered()?;
    station.stop()
}

/// Every kill there is, by what an undisturbed capture and an undisturbed delivery did.
fn kills(station: &mut TestStation, ledger: &mut Ledger) -> anyhow::Result<Vec<Kill>> {
    // The first one makes folders that later ones find.
    ledger.shoot(station, "1")?;
    deliver(station)?;
    let trace = tempfile::NamedTempFile::new()?;
    let mut command = traced(&station.command()?, trace.path(), None)?;
    ledger.note(&crate::programs::output(command.arg("shoot"))?);
    ledger.begun += 1;
    let captures = steps(&fs::read_to_string(trace.path())?, station);
    ensure!(captures.len() >= 12, "a capture changes the disk by only {} system calls", captures.len());
    ledger.shoot(station, DELIVERED)?;
    let mut command = traced(&station.command()?, trace.path(), None)?;
    let mut running = Running::start(command.arg("run").stdout(Stdio::null()).stderr(Stdio::null()))?;
    until("all is delivered", || Ok(station.waiting().is_ok_and(|waiting| waiting == 0)))?;
    kill_traced(&mut running)?;
    let deliveries = steps(&fs::read_to_string(trace.path())?, station);
    ensure!(deliveries.len() >= 12, "a delivery changes the disk by only {} system calls", deliveries.len());
    deliver(station)?;
    let of = |work| {
        move |(call, count): Step| {
            [false, true].map(|is_power_cut| Kill { work, call: call.clone(), count, is_power_cut })
        }
    };
    Ok(captures
        .into_iter()
        .flat_map(of(Work::Capture))
        .chain(deliveries.into_iter().flat_map(of(Work::Delivery)))
        .collect())
}

/// The calls by which a station's disk was changed, counted as strace counts them: for each thread, also where they did not
/// concern that disk.
fn steps(trace: &str, station: &TestStation) -> BTreeSet<Step> {
    let (data, mut counts, mut steps) = (station.data().display().to_string(), BTreeMap::new(), BTreeSet::new());
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((call, arguments)) = rest.trim_start().split_once('(') else { continue };
        let count: &mut usize = counts.entry((thread, call)).or_default();
        *count += 1;
        let only_reads = call == "openat" && !arguments.contains("O_CREAT");
        if arguments.contains(&data) && !only_reads {
            steps.insert((call.to_owned(), *count));
        }
    }
    steps
}

fn kill_capture(station: &TestStation, kill: &Kill, ledger: &mut Ledger) -> anyhow::Result<()> {
    let trace = tempfile::NamedTempFile::new()?;
    let output = traced(&station.command()?, trace.path(), Some(kill))?.arg("shoot").output()?;
    ledger.begun += 1;
    *ledger.kills.entry("captures").or_default() += usize::from(!output.status.success());
    ledger.note(&String::from_utf8(output.stdout)?);
    Ok(())
}

/// The kill may not come, because threads share their work otherwise this time: then it comes once all is delivered.
fn kill_delivery(station: &TestStation, kill: &Kill, ledger: &mut Ledger) -> anyhow::Result<()> {
    ledger.shoot(station, DELIVERED)?;
    let trace = tempfile::NamedTempFile::new()?;
    let mut command = traced(&station.command()?, trace.path(), Some(kill))?;
    let mut running = Running::start(command.arg("run").stdout(Stdio::null()).stderr(Stdio::null()))?;
    until("the station is killed, or has delivered", || {
        Ok(running.expect_running().is_err() || station.waiting().is_ok_and(|waiting| waiting == 0))
    })?;
    *ledger.kills.entry("deliveries").or_default() += usize::from(running.expect_running().is_err());
    kill_traced(&mut running)
}

/// Kills the program below strace, which then ends too: a signal to strace itself would not reach it.
fn kill_traced(running: &mut Running) -> anyhow::Result<()> {
    if running.expect_running().is_ok() {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", running.id()))?;
        for child in children.split_whitespace().filter_map(|id| Pid::from_raw(id.parse().ok()?)) {
            // It may have come to its end by now.
            let _ = kill_process(child, Signal::KILL);
        }
    }
    until("the station ends", || Ok(running.expect_running().is_err()))
}

/// The same program below strace, which ends as it does.
fn traced(program: &Command, trace: &Path, kill: Option<&Kill>) -> anyhow::Result<Command> {
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-qq", "-s", "0", "-o"]).arg(trace).args(["-e", &format!("trace={}", CALLS.join(","))]);
    if let Some(Kill { call, count, .. }) = kill {
        command.args(["-e", &format!("inject={call}:signal=KILL:when={count}")]);
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
    fn shoot(&mut self, station: &TestStation, count: &str) -> anyhow::Result<()> {
        let printed = station.shoot(&["--count", count])?;
        self.begun += printed.len();
        printed.iter().for_each(|line| self.note(line));
        Ok(())
    }

    fn note(&mut self, printed: &str) {
        self.printed.extend(printed.lines().filter_map(digest));
    }

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
        let known = held.len() + usize::try_from(incomplete)?;
        ensure!(known <= self.begun, "{} photos and {incomplete} incomplete, of {} captures", held.len(), self.begun);
        let archived = archived(station)?;
        ensure!(archived.len() == archived.iter().collect::<BTreeSet<_>>().len(), "a photo is archived twice");
        let missing = held.iter().filter(|digest| !archived.contains(digest)).count();
        ensure!(missing == 0 && archived.len() == held.len(), "{missing} of {} photos are not archived", held.len());
        for kind in ["jpg", "json", "done", "part"] {
            let left = station.files(kind)?;
            ensure!(left.is_empty(), "left in the spool: {left:?}");
        }
        let kills = |of| self.kills.get(of).copied().unwrap_or_default();
        Ok(format!(
            "{} captures and {} deliveries killed, {} power cuts; {} photos printed, all held once; {unprinted} more were whole, \
             {incomplete} counted as incomplete; {} archived",
            kills("captures"),
            kills("deliveries"),
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
