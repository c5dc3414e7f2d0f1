//! `cargo demo`: a server and one station on this computer, with a day of photos, until Ctrl-C.

mod backlog;
mod children;
mod folder;
mod station_log;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::process;
use crate::workspace::Workspace;
use backlog::Backlog;
use children::Children;
use folder::DemoFolder;
use station_log::Follower;

/// Photos of the pretended day: one every ten minutes.
const DAY_PHOTOS: u64 = 144;
const DAY_INTERVAL_S: u64 = 600;

/// Seconds from photo to photo afterwards, so that somebody who looks sees them come.
const LIVE_INTERVAL_S: u64 = 10;

/// The server's own port, if it is free.
const PORT: u16 = 5000;

/// How long the server may take to answer.
const START: Duration = Duration::from_secs(20);

/// How long the backlog may stay as it is: a photo takes a fraction of a second on one computer.
const STANDSTILL: Duration = Duration::from_secs(60);

/// How often to look whether something has changed.
const LOOK: Duration = Duration::from_millis(50);

/// See it: a server and a station on this computer, with a day of photos.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Keep everything in this folder, and go on from it next time.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Take the JPEGs of this folder instead of rendering a scene.
    #[arg(long, value_name = "DIR")]
    replay: Option<PathBuf>,
    /// Stop as soon as all photos are delivered and checked, instead of at Ctrl-C.
    #[arg(long)]
    once: bool,
}

/// Runs the demo.
///
/// # Errors
/// If something cannot be built, started or delivered; with `--once` also if it is told to stop before that.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let children = Children::that_end_with_us()?;
    let outcome = Demo::prepare(arguments).and_then(|demo| demo.run(arguments.once, &children));
    match outcome {
        Err(_) if children.told_to_stop() && arguments.once => bail!("stopped before all photos were delivered"),
        Err(error) if !children.told_to_stop() => Err(error),
        _ => {
            println!("\nStopped; nothing is left running.");
            Ok(())
        }
    }
}

/// A folder of photos to play.
struct Replay {
    folder: PathBuf,
    photos: u64,
}

impl Replay {
    fn look(folder: &Path) -> Result<Self> {
        let failed = || format!("failed to look into the folder {}", folder.display());
        let folder = folder.canonicalize().with_context(failed)?;
        let mut photos = 0;
        for entry in folder.read_dir().with_context(failed)? {
            let path = entry?.path();
            let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
            photos += u64::from(["jpg", "jpeg"].contains(&kind.to_ascii_lowercase().as_str()));
        }
        if photos == 0 {
            bail!("the folder {} has no .jpg or .jpeg files to replay", folder.display());
        }
        Ok(Self { folder, photos })
    }
}

struct Demo {
    programs: PathBuf,
    folder: DemoFolder,
    address: SocketAddr,
    replay: Option<Replay>,
}

impl Demo {
    fn prepare(arguments: &Arguments) -> Result<Self> {
        let replay = arguments.replay.as_deref().map(Replay::look).transpose()?;
        let workspace = Workspace::load()?;
        println!("Building the server and the station; the first time takes some minutes.");
        process::run(process::cargo(&["build", "--workspace", "--bins", "--locked"]).current_dir(&workspace.root))?;
        let folder = DemoFolder::open(arguments.keep.as_deref())?;
        Ok(Self { programs: workspace.target.join("debug"), folder, address: free_address()?, replay })
    }

    /// Shows everything and cleans up. The folder goes when nothing writes into it any more; after a failure it stays.
    fn run(self, once: bool, children: &Children) -> Result<()> {
        let outcome = self.show(once, children);
        children.stop_all();
        match outcome {
            Err(error) if !children.told_to_stop() => bail!("{error:#}\n{}", self.folder.leave()),
            outcome => self.folder.delete().and(outcome),
        }
    }

    fn show(&self, once: bool, children: &Children) -> Result<()> {
        self.make_station_known()?;
        self.start_server(children)?;
        self.photograph(children)?;
        let parked = self.deliver(children)?;
        self.check()?;
        if once {
            return expect_none(parked);
        }
        self.tell(parked);
        children.wait_until_told();
        Ok(())
    }

    fn make_station_known(&self) -> Result<()> {
        let name = self.station();
        if self.folder.has_station(name) {
            return self.folder.use_station(name, &self.url());
        }
        let mut command = self.server();
        let settings = process::output(command.env("TIDE_LOG", "warn").args(["station", "add", name, "--config"]))?;
        self.folder.keep_station(name, &settings)?;
        self.folder.use_station(name, &self.url())
    }

    fn start_server(&self, children: &Children) -> Result<()> {
        let log = DemoFolder::open_log(&self.folder.server_log())?;
        let mut command = self.server();
        children.start("tide-server", command.stdout(Stdio::null()).stderr(log))?;
        let started = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            children.expect_all_running()?;
            if started.elapsed() > START {
                bail!("the server does not answer");
            }
            sleep(LOOK);
        }
        Ok(())
    }

    /// Fills the station's spool, as a station does that has no network.
    fn photograph(&self, children: &Children) -> Result<()> {
        let mut command = self.recorder();
        command.arg("shoot");
        let (photos, what) = match &self.replay {
            Some(replay) => (replay.photos, "taking the photos of the folder"),
            None => {
                let day_ago = SystemTime::now() - Duration::from_secs(DAY_PHOTOS * DAY_INTERVAL_S);
                command.args(["--from", &rfc3339(day_ago)?, "--every", &DAY_INTERVAL_S.to_string()]);
                (DAY_PHOTOS, "photographing a day of tide")
            }
        };
        let log = DemoFolder::open_log(&self.folder.station_log())?;
        let mut lines = Follower::at_end_of(&self.folder.station_log())?;
        let bar = progress_bar(photos, what);
        command.args(["--count", &photos.to_string()]).stderr(log);
        let status = children.watch_to_end(&mut command, |_| bar.inc(1))?;
        bar.abandon();
        let mut told = Told::default();
        lines.each_new(|line| told.show(line, &bar))?;
        // A folder may hold what is no photo; the others are shown.
        let some_failed = self.replay.is_some() && status.code() == Some(1) && bar.position() > 0;
        if !status.success() && !some_failed {
            bail!("the station could not take its photos ({status})");
        }
        Ok(())
    }

    /// Starts the station for good, and waits until nothing of what is in the spool waits any more; how many photos it keeps
    /// because they were refused, or are damaged.
    fn deliver(&self, children: &Children) -> Result<u64> {
        let backlog = Backlog::of(self.folder.station(self.station()).join("spool"))?;
        let mut lines = Follower::at_end_of(&self.folder.station_log())?;
        let log = DemoFolder::open_log(&self.folder.station_log())?;
        let mut command = self.recorder();
        children.start("tide-recorder", command.arg("run").stdout(Stdio::null()).stderr(log))?;
        let bar = progress_bar(backlog.length(), "delivering them to the server");
        let (mut moved, mut told) = (Instant::now(), Told::default());
        let progress = loop {
            let progress = backlog.progress()?;
            lines.each_new(|line| told.show(line, &bar))?;
            if progress.ended() > bar.position() {
                moved = Instant::now();
            }
            bar.set_position(progress.ended());
            if progress.ended() == backlog.length() {
                break progress;
            }
            children.expect_all_running()?;
            if moved.elapsed() > STANDSTILL {
                bail!("no photo has been delivered for {} seconds", STANDSTILL.as_secs());
            }
            sleep(LOOK);
        };
        bar.abandon();
        Ok(progress.parked)
    }

    fn check(&self) -> Result<()> {
        let mut command = self.server();
        let verdict = process::output(command.args(["check", "--read"]))?;
        println!("  {}, every byte compared with its digest", verdict.trim());
        Ok(())
    }

    fn tell(&self, parked: u64) {
        if let Err(error) = expect_none(parked) {
            println!("  {error}; the reasons are in {}", self.folder.station_log().display());
        }
        let DemoFolder { password, .. } = &self.folder;
        println!("\n  Open      {}", self.url());
        println!("            (the certificate is this server's own: let the browser go on; for curl it is");
        println!("            {})", self.folder.path().join("server/tls/certificate.pem").display());
        println!("  User      admin");
        println!("  Password  {password}");
        println!(
            "  Folder    {}{}",
            self.folder.path().display(),
            if self.folder.is_kept() { "" } else { ", deleted at the end" }
        );
        if self.replay.is_none() {
            println!("\nThe station takes a photo every {LIVE_INTERVAL_S} seconds. Ctrl-C stops both.");
        } else {
            println!("\nCtrl-C stops server and station.");
        }
    }

    /// Photos of a folder are another station's than rendered ones.
    fn station(&self) -> &'static str {
        if self.replay.is_some() { "demo-replay" } else { "demo-pier" }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    fn server(&self) -> Command {
        let mut command = program(&self.programs.join("tide-server"));
        command
            .env("TIDE_DATA_DIR", self.folder.path().join("server"))
            .env("TIDE_LISTEN", self.address.to_string())
            .env("ADMIN_PASS", &self.folder.password);
        command
    }

    fn recorder(&self) -> Command {
        let mut command = program(&self.programs.join("tide-recorder"));
        command
            .env("TIDE_CONFIG", self.folder.station_settings())
            .env("TIDE_DATA_DIR", self.folder.station(self.station()))
            .env("TIDE_INTERVAL_S", LIVE_INTERVAL_S.to_string())
            // Nobody waits for the backlog of a day at a pier's pace.
            .env("TIDE_UPLOAD_MAX_PHOTOS_PER_S", "100");
        match &self.replay {
            Some(replay) => command.env("TIDE_CAMERA", "replay").env("TIDE_CAMERA_FOLDER", &replay.folder),
            None => command.env("TIDE_CAMERA", "synthetic"),
        };
        command
    }
}

fn expect_none(parked: u64) -> Result<()> {
    if parked > 0 {
        bail!("{parked} of the photos could not be delivered and stay on the station");
    }
    Ok(())
}

/// What a person has been told of the station's log.
#[derive(Default)]
struct Told(BTreeSet<String>);

impl Told {
    /// Tells what is worth it, once and above the bar.
    fn show(&mut self, line: &str, bar: &ProgressBar) {
        if let Some(text) = station_log::notable(line)
            && self.0.insert(text.to_owned())
        {
            bar.suspend(|| println!("  {text}"));
        }
    }
}

/// One of our programs with nothing of this shell's environment, which may hold settings of another server.
fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.env_clear().stdin(Stdio::null());
    command
}

/// Loopback only: a demo is nobody else's business.
fn free_address() -> Result<SocketAddr> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    Ok(listener.local_addr()?)
}

/// Whole minutes are enough for a pretended day.
fn rfc3339(time: SystemTime) -> Result<String> {
    let minutes = i64::try_from(time.duration_since(SystemTime::UNIX_EPOCH)?.as_secs() / 60)?;
    Ok(jiff::Timestamp::from_second(minutes * 60)?.to_string())
}

fn progress_bar(length: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(length).with_message(what);
    if let Ok(style) = ProgressStyle::with_template("  {msg:32} {bar:30} {pos}/{len}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
