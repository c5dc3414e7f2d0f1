//! The station at work: the schedule, the camera, the spool and the uploader together.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use tide_durable::{Alone, Durable};
use tide_photo::CapturedAt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::config::{self, CameraKind, Settings};
use crate::console;
use crate::devices::camera::{Camera, CameraError};
use crate::devices::clock::{Clock, KernelClock};
use crate::devices::hurry::Hurry;
use crate::devices::machine::Machine;
use crate::devices::replay::ReplayCamera;
use crate::devices::rescue::Rescued;
use crate::devices::rpicam::RpicamCamera;
use crate::devices::synthetic::SyntheticCamera;
use crate::devices::usb::UsbCamera;
use crate::lighting::Lighting;
use crate::schedule::{Opening, Planner};
use crate::server_link::{ServerLink, StatusPost};
use crate::service;
use crate::shot::{self, Shot, Site};
use crate::spool::{GivenUp, Left, Spool};
use crate::status::Reporter;
use crate::upkeep::Upkeep;
use crate::uploader::Uploader;
use crate::vitals::Vitals;

/// A station that can take photos into its spool. It holds its data folder alone.
pub struct Station {
    site: Site,
    interval_s: u32,
    schedule: config::Schedule,
    planner: Planner,
    /// Photos still to take of the burst in hand.
    burst_left: u32,
    camera: Box<dyn Camera>,
    hurry: Hurry,
    lighting: Lighting,
    clock: Arc<KernelClock>,
    spool: Arc<Spool>,
    vitals: Arc<Vitals>,
    _alone: Alone,
}

/// Whether there may be a further shot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// The camera can go on.
    More,
    /// A replay has come to its end.
    Finished,
}

/// What the schedule wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing for so long; then ask again.
    Wait {
        /// Microseconds.
        us: u64,
    },
    /// No further photo: a replay has come to its end.
    Finished,
}

/// The longest sleep before both clocks are looked at again, in microseconds: a wall clock that is set meanwhile is noticed
/// that late. Our choice: it costs six short wakings a minute.
const LONGEST_SLEEP_US: u64 = 10_000_000;

impl Station {
    /// Opens camera and spool.
    ///
    /// # Errors
    /// If the data folder or the camera cannot be used, or another recorder is using the folder.
    pub fn open(settings: &Settings) -> anyhow::Result<Self> {
        let folder = &settings.data_dir;
        let durable =
            Durable::open(folder).with_context(|| format!("failed to use the data folder {}", folder.display()))?;
        let alone = claim(&durable)?;
        let (spool, found) = Spool::open_within(durable, settings.disk).context("failed to open the spool")?;
        tracing::info!(found.waiting, found.parked, found.incomplete, "opened the spool, its newest folder first");
        let clock = Arc::new(KernelClock::new(&settings.clock.report));
        let hurry = Hurry::default();
        let camera = open_camera(&settings.camera, &clock, &hurry)?;
        let vitals = Arc::<Vitals>::default();
        vitals.camera_is(camera.kind());
        let lighting = Lighting::open(&settings.flash, settings.position, clock.now(), Arc::clone(&vitals));
        Ok(Self {
            site: Site { station: settings.station.clone(), position: settings.position },
            interval_s: settings.interval_s,
            schedule: settings.schedule.clone(),
            planner: Planner::new(settings.interval_s, Opening::new(settings.schedule.clone(), settings.position)),
            burst_left: 0,
            camera,
            hurry,
            lighting,
            clock,
            spool: Arc::new(spool),
            vitals,
            _alone: alone,
        })
    }

    /// Takes photos on schedule and uploads them until SIGINT or SIGTERM.
    ///
    /// # Errors
    /// If the settings of the server cannot be used.
    pub async fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let link = ServerLink::new(&settings.server, &settings.upload)?;
        let (spool, unread) = (Arc::clone(&self.spool), Arc::clone(&self.spool));
        tokio::task::spawn_blocking(move || read_rest(&unread));
        let status_post = link.status_post();
        let uploader = Uploader::new(Arc::clone(&self.spool), link, Arc::clone(&self.vitals), &settings.upload);
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tracing::info!(station = %self.site.station, interval_s = self.interval_s, "running");
        let mut beside = JoinSet::new();
        beside.spawn(uploader.run());
        beside.spawn(Upkeep::new(Arc::clone(&self.spool), Arc::<KernelClock>::clone(&self.clock)).run());
        self.tell_how_it_is(&mut beside, settings, status_post);
        service::ready(self.site.station.as_str(), settings.camera.limit());
        let capture = self.capture_on_schedule(async {
            tokio::select! {
                _ = interrupt.recv() => (),
                _ = terminate.recv() => (),
            }
        });
        capture.await?;
        service::stopping();
        beside.abort_all();
        match tokio::task::spawn_blocking(move || spool.close()).await? {
            Left { lost: 0, uncounted: 0 } => tracing::info!("stopped; what was not delivered is in the spool"),
            Left { lost, uncounted: 0 } => {
                tracing::error!(lost, "stopped; photos that waited in memory are lost, and counted as dropped");
            }
            Left { lost, uncounted } => tracing::error!(
                lost,
                uncounted,
                "stopped; photos that waited in memory are lost, and the disk does not take the count of those given up"
            ),
        }
        Ok(())
    }

    /// Answers who asks at the console, and posts the status to the server.
    fn tell_how_it_is(&self, beside: &mut JoinSet<()>, settings: &Settings, server: StatusPost) {
        let reporter = Arc::new(Reporter {
            station: self.site.station.clone(),
            data_dir: settings.data_dir.clone(),
            vitals: Arc::clone(&self.vitals),
            spool: Arc::clone(&self.spool),
            clock: Arc::<KernelClock>::clone(&self.clock),
            machine: Machine::default(),
        });
        match console::listen(&settings.data_dir) {
            Ok(listener) => drop(beside.spawn(console::answer(listener, Arc::clone(&reporter)))),
            Err(error) => tracing::warn!(%error, "`tide-recorder status` will not be answered"),
        }
        let every_s = settings.status.interval_s;
        if every_s > 0 {
            let every = Duration::from_secs(u64::from(every_s));
            beside.spawn(reporter.post_for_ever(server, every, rand::random()));
        }
    }

    /// Takes one photo into the spool now.
    ///
    /// # Errors
    /// If camera or disk fail.
    pub fn shoot(&mut self) -> anyhow::Result<Shot> {
        let sequence = self.spool.next_sequence();
        let shot = shot::take(self.camera.as_mut(), &mut self.lighting, self.clock.as_ref(), &self.site, sequence)?;
        self.spool.accept(&shot).context("failed to put a photo into the spool")?;
        Ok(shot)
    }

    /// Puts on the disk what is in memory, as far as the disk takes it; for who takes no further photo and does not `run`.
    pub fn close(&self) -> Left {
        self.spool.close()
    }

    /// Reads the whole spool, where its limits need it; `run` does so beside its work.
    pub fn read_rest(&self) {
        self.spool.read_rest();
    }

    /// Takes one photo of a simulated camera into the spool as if it were `pretended`.
    ///
    /// # Errors
    /// If camera or disk fail, or the camera is a real one, of which nothing may be pretended.
    pub fn pretend(&mut self, pretended: CapturedAt) -> anyhow::Result<Shot> {
        if !self.camera.is_simulated() {
            bail!("--from is for simulated cameras only; a real photo has the time at which it was taken");
        }
        let sequence = self.spool.next_sequence();
        let shot = shot::pretend(self.camera.as_mut(), self.clock.as_ref(), &self.site, sequence, pretended)?;
        self.spool.accept(&shot).context("failed to put a photo into the spool")?;
        Ok(shot)
    }

    /// Shoots whenever a shot is due, until `stop`. A shot in hand is finished first, if it is quick.
    async fn capture_on_schedule(mut self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        tokio::pin!(stop);
        loop {
            service::alive();
            let hurry = self.hurry.clone();
            let mut turning = tokio::task::spawn_blocking(move || {
                let turn = self.turn();
                (self, turn)
            });
            let turn;
            (self, turn) = tokio::select! {
                turned = &mut turning => turned?,
                () = &mut stop => {
                    hurry.up();
                    turning.await?;
                    return Ok(());
                }
            };
            let Turn::Wait { us } = turn else {
                stop.await;
                return Ok(());
            };
            tokio::select! {
                () = &mut stop => return Ok(()),
                () = sleep(Duration::from_micros(us.min(LONGEST_SLEEP_US))) => (),
            }
        }
    }

    /// Takes the photo that is due, if one is; says how long nothing else is to be done.
    pub fn turn(&mut self) -> Turn {
        if self.burst_left > 0 {
            return self.shoot_of_burst();
        }
        let plan = self.planner.next(self.clock.now(), self.clock.monotonic_us());
        if plan.missed > 0 {
            tracing::warn!(
                missed = plan.missed,
                "shots were due and not taken; the one before took too long, or the machine slept"
            );
            self.vitals.missed(plan.missed);
        }
        if plan.wait_us > 0 {
            return Turn::Wait { us: plan.wait_us };
        }
        self.burst_left = self.schedule.burst_frames;
        self.shoot_of_burst()
    }

    fn shoot_of_burst(&mut self) -> Turn {
        let began_us = self.clock.monotonic_us();
        self.burst_left -= 1;
        if self.shoot_or_tell() == Outlook::Finished {
            return Turn::Finished;
        }
        let took_us = self.clock.monotonic_us().saturating_sub(began_us);
        let gap_us = if self.burst_left > 0 { u64::from(self.schedule.burst_gap_ms) * 1_000 } else { 0 };
        Turn::Wait { us: gap_us.saturating_sub(took_us) }
    }

    fn tell_what_failed(&self, error: &anyhow::Error) {
        let (now, what) = (self.clock.now(), format!("{error:#}"));
        if is_given_up(error) {
            self.vitals.went_wrong(now, &what);
        } else {
            self.vitals.camera_failed(now, &what);
        }
        tracing::error!("there is no photo this time: {what}");
    }

    /// A failed shot is told and does not end the schedule.
    fn shoot_or_tell(&mut self) -> Outlook {
        match self.shoot() {
            Ok(shot) => {
                let Shot { manifest, .. } = &shot;
                self.vitals.took_a_photo(manifest.captured_at);
                tracing::info!(sequence = manifest.sequence, captured_at = %manifest.captured_at, clock = %manifest.clock, "took a photo");
                Outlook::More
            }
            Err(error) if is_finished(&error) => {
                tracing::info!("{error:#}; waiting photos are still delivered");
                Outlook::Finished
            }
            Err(error) => {
                self.tell_what_failed(&error);
                Outlook::More
            }
        }
    }
}

/// Whether there was no room for a photo; the camera is not to blame.
pub fn is_given_up(error: &anyhow::Error) -> bool {
    error.downcast_ref::<GivenUp>().is_some()
}

/// Reads what a start did not wait for.
fn read_rest(spool: &Spool) {
    let found = spool.read_rest();
    tracing::info!(found.waiting, found.parked, found.incomplete, "read the whole spool");
    match spool.offer_parked_again() {
        Ok(0) => (),
        Ok(parked) => tracing::info!(parked, "photos that could not be delivered before are offered once more"),
        Err(error) => tracing::error!(%error, "failed to offer parked photos again; they stay parked"),
    }
}

/// Whether an error means that a replay has come to its end.
pub fn is_finished(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(CameraError::Finished { .. }))
}

fn open_camera(settings: &config::Camera, clock: &Arc<KernelClock>, hurry: &Hurry) -> anyhow::Result<Box<dyn Camera>> {
    let rescued = |camera: Box<dyn Camera>| Box::new(Rescued::new(camera, settings, hurry.clone()));
    Ok(match settings.kind {
        CameraKind::Rpicam => {
            let clock = Arc::clone(clock);
            rescued(Box::new(RpicamCamera::new(settings, Box::new(move || clock.monotonic_us()), hurry.clone())))
        }
        CameraKind::Usb => rescued(Box::new(UsbCamera::new(settings, hurry.clone()))),
        CameraKind::Replay => Box::new(ReplayCamera::open(settings.folder.as_deref().unwrap_or(Path::new(".")))?),
        CameraKind::Synthetic => Box::new(SyntheticCamera::new(settings.width_px(), settings.height_px())),
    })
}

/// Two recorders on one spool would give away the same numbers.
fn claim(durable: &Durable) -> anyhow::Result<Alone> {
    durable.claim_alone().map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            anyhow!("another tide-recorder is using {}; stop it first", durable.root().display())
        }
        _ => anyhow::Error::from(error).context("failed to lock the data folder"),
    })
}
