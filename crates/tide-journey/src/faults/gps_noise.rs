//! F10: noise between a receiver's messages. Lines of every kind of rubbish go through the program's own reading; between them a good
//! cycle has to be understood at once, and no time may come out that was in no message with a right checksum.

mod lines;
mod told;

use anyhow::{Context, ensure};
use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tide_timesync::receiver::gpsd::{self, Said};
use tide_timesync::receiver::{Epochs, Fix, Frame, Framer};

use super::{Fault, Plan, Seen};
use crate::needs::Need;
use crate::spoken::{self, State};
use told::Told;

pub(super) const FAULT: Fault = Fault {
    number: "F10",
    name: "gps-noise",
    need: Need::Nothing,
    about: "millions of lines of noise from a receiver: no panic, bounded memory, no time from a bad checksum, and a fix within \
            two sentences once it ends",
    long_rounds: 10_000_000,
    short_rounds: 40_000,
    run,
};

/// Most that may be held of a message that is not whole: the largest packet of a receiver, and half again.
const MOST_HELD_BYTES: usize = 4_096;

/// How much of the noise a failure shows.
const SHOWN_BYTES: usize = 3_000;

/// Longest stretch of noise, in lines.
const LONGEST_STRETCH: u32 = 30;

/// One in so many lines is gpsd's.
const GPSD_EVERY: u32 = 8;

fn run(plan: Plan) -> anyhow::Result<Seen> {
    let mut noise = Noise::new(plan.seed);
    noise.run(plan.rounds).with_context(|| format!("seed {}, after {} lines", plan.seed, noise.lines))?;
    Ok(Seen(format!(
        "{} lines of noise with seed {} ({} MB, {} cuts of good messages at every length, {} lines of gpsd); {} good cycles, each \
         understood within two sentences ({} times after one more); at most {} bytes held; {} fixes from noise, each in a message with a right checksum",
        noise.lines,
        plan.seed,
        noise.bytes / 1_000_000,
        noise.cuts,
        noise.gpsd_lines,
        noise.cycles,
        noise.losses,
        noise.most_held_bytes,
        noise.fixes_from_noise,
    )))
}

struct Noise {
    random: StdRng,
    framer: Framer,
    epochs: Epochs,
    told: Told,
    /// What the next good cycle tells.
    now: Timestamp,
    lines: u32,
    bytes: u64,
    cuts: u64,
    gpsd_lines: u64,
    cycles: u64,
    losses: u64,
    fixes_from_noise: u64,
    most_held_bytes: usize,
}

impl Noise {
    fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            framer: Framer::default(),
            epochs: Epochs::default(),
            told: Told::default(),
            now: GOOD_FROM,
            lines: 0,
            bytes: 0,
            cuts: 0,
            gpsd_lines: 0,
            cycles: 0,
            losses: 0,
            fixes_from_noise: 0,
            most_held_bytes: 0,
        }
    }

    fn run(&mut self, rounds: u32) -> anyhow::Result<()> {
        // The receiver's cycle is known, and its date.
        for _ in 0..3 {
            let fixes = self.cycle()?;
            ensure!(self.cycles == 0 || !fixes.is_empty(), "a good cycle without noise is not understood");
            self.cycles += 1;
        }
        for message in lines::good_messages(&mut self.random) {
            for length in 0..message.len() {
                self.cuts += 1;
                self.stretch(&message[..length])?;
            }
        }
        while self.lines < rounds {
            let mut noise = Vec::new();
            for _ in 0..self.random.random_range(1..=LONGEST_STRETCH) {
                self.lines += 1;
                if self.random.random_range(0..GPSD_EVERY) == 0 {
                    self.gpsd()?;
                } else {
                    lines::add(&mut noise, &mut self.random);
                }
            }
            self.stretch(&noise)?;
        }
        Ok(())
    }

    /// Noise, and then a good cycle, which is understood.
    fn stretch(&mut self, noise: &[u8]) -> anyhow::Result<()> {
        self.fixes_from_noise += self.hear(noise)?.len() as u64;
        if self.told.take_loss() {
            // It begins anew then, with one cycle to learn its order.
            self.losses += 1;
            self.cycle()?;
        }
        let mut now = self.now;
        let mut fixes = self.cycle()?;
        if self.told.is_completed() {
            self.losses += 1;
            now = self.now;
            fixes = self.cycle()?;
        }
        let is_understood = fixes.iter().any(|fix| fix.time == now && fix.mode >= 2);
        let tail = &noise[noise.len().saturating_sub(SHOWN_BYTES)..];
        ensure!(is_understood, "only {fixes:?}, not {now}, after [...] {}", tail.escape_ascii());
        self.cycles += 1;
        Ok(())
    }

    /// What comes out of two good sentences.
    fn cycle(&mut self) -> anyhow::Result<Vec<Fix>> {
        let now = self.now;
        self.now = next(now);
        let good = [spoken::rmc(now, State::Fix), spoken::gga(now, State::Fix)].concat();
        self.hear(good.as_bytes())
    }

    fn hear(&mut self, bytes: &[u8]) -> anyhow::Result<Vec<Fix>> {
        self.told.hear(bytes);
        self.bytes += bytes.len() as u64;
        let (mut fixes, mut rest) = (Vec::new(), bytes);
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(self.random.random_range(1..=512).min(rest.len()));
            let take = |frame: Frame<'_>| fixes.extend(self.epochs.take(frame, None));
            self.framer.push(piece, take);
            self.most_held_bytes = self.most_held_bytes.max(self.framer.held_bytes());
            rest = later;
        }
        ensure!(self.most_held_bytes <= MOST_HELD_BYTES, "{} bytes are held", self.most_held_bytes);
        for fix in &fixes {
            let tail = &bytes[bytes.len().saturating_sub(SHOWN_BYTES)..];
            ensure!(
                self.told.has_told(fix.rounded_ms()),
                "a time from nowhere: {fix:?}, in [...] {}",
                tail.escape_ascii()
            );
        }
        Ok(fixes)
    }

    /// A line of gpsd's, or nearly: what is read from it is in it.
    fn gpsd(&mut self) -> anyhow::Result<()> {
        self.gpsd_lines += 1;
        let line = lines::of_gpsd(&mut self.random);
        if let Some(Said::Fix(_, fix)) = gpsd::parse(&line, None) {
            let json: Value = serde_json::from_slice(&line)?;
            let time: Timestamp = json["time"].as_str().context("a time from nowhere")?.parse()?;
            ensure!(json["class"] == "TPV" && time == fix.time, "{fix:?} is not what {json} says");
        }
        Ok(())
    }
}

/// Good cycles tell times from 06:00 to 12:00, and noise those from 00:00 to 06:00 of other days: so much apart that no midnight
/// lies between them.
const GOOD_FROM: Timestamp = Timestamp::constant(1_805_090_400, 0);

const GOOD_FOR_S: i64 = 6 * 3_600;

fn next(now: Timestamp) -> Timestamp {
    let next = now + SignedDuration::from_secs(1);
    let is_over = (next.as_second() - GOOD_FROM.as_second()) % 86_400 >= GOOD_FOR_S;
    if is_over { next + SignedDuration::from_secs(86_400 - GOOD_FOR_S) } else { next }
}
