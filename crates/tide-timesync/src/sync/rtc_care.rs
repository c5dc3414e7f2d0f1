//! The battery-backed clock is compared with GPS, written, and judged.

use std::time::Duration;

use tide_photo::CapturedAt;

use super::fallback::named_ppm;
use super::rtc_in_hand::RtcInHand;
use super::{ThisRun, chain};
use crate::devices::rtc::write_on_the_second;
use crate::kept::RtcWritten;
use crate::rtc::drift::{Compared, SetRight};
use crate::verdict::Trust;

impl ThisRun<'_, '_> {
    pub(super) fn compare_rtc(&mut self, trust: &Trust, rtc: &RtcInHand) {
        let Some(shown) = rtc.shown else { return };
        let gps_us = trust.gps_less_monotonic_us + shown.monotonic_us.cast_signed();
        let difference_us = gps_us - shown.rtc_us;
        self.run.rtc_offset_us = Some(difference_us);
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let seconds = difference_us as f64 / 1e6;
        self.say(format!("GPS - RTC difference: {seconds:+.3} s"));
        let Some(written) = self.written(rtc).cloned() else { return };
        let moment = |us: i64| CapturedAt::from_micros(us).unwrap_or(CapturedAt::EPOCH);
        let set = SetRight { at: written.at, uncertainty: Duration::from_micros(written.uncertainty_us) };
        let uncertainty =
            Duration::from_micros(trust.uncertainty_us_at(shown.monotonic_us).saturating_add(shown.uncertainty_us));
        let compared = Compared { at: moment(gps_us), shown: moment(shown.rtc_us), uncertainty };
        match crate::rtc::drift::drift(set, compared, rtc.kernel_may_write_it) {
            Err(why) => self.say(format!("the drift of {} is not known: {why}", rtc.name)),
            Ok(drift) => {
                self.run.rtc_ppm = Some(drift.ppm);
                self.run.rtc_ppm_uncertainty = Some(drift.uncertainty_ppm);
                // What is within its make's own bound tells nothing new.
                let least_ppm = drift.ppm.abs() - drift.uncertainty_ppm;
                let is_worse = least_ppm > f64::from(named_ppm(&rtc.name));
                let most_ppm = (drift.ppm.abs() + drift.uncertainty_ppm).ceil().min(1_000.0);
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 to 1000")]
                let most_ppm = most_ppm as u32;
                self.kept.rtc = Some(RtcWritten { ppm: is_worse.then_some(most_ppm).or(written.ppm), ..written });
                let warm = rtc.temperature_c.map_or_else(String::new, |degrees| format!(", at {degrees:.2} °C"));
                let (ppm, within) = (drift.ppm, drift.uncertainty_ppm);
                self.say(format!("{} drifts {ppm:+.2} ppm, within {within:.2}{warm}", rtc.name));
            }
        }
    }

    pub(super) fn write_rtc(&mut self, trust: &Trust, in_hand: &mut RtcInHand, drift_bound_ppm: Option<u32>) {
        let Some(rtc) = &mut in_hand.rtc else { return };
        let clock = &*self.tools.clock;
        let gps_now_us = || trust.gps_less_monotonic_us + clock.reading().monotonic_us.cast_signed();
        let timer = self.tools.timer;
        match write_on_the_second(rtc.as_mut(), gps_now_us, |span| timer.sleep(span)) {
            Err(error) => self.fail(2, chain(&error)),
            Ok(written) => {
                let gps_now = self.tools.clock.reading();
                in_hand.was_written = true;
                self.say(format!(
                    "{} was written on the second, and reads back {}",
                    in_hand.name, written.read_back.at
                ));
                self.kept.rtc = Some(RtcWritten {
                    name: in_hand.key().to_owned(),
                    ppm: self
                        .kept
                        .rtc
                        .as_ref()
                        .filter(|before| before.name == in_hand.key())
                        .and_then(|before| before.ppm),
                    at: written.at,
                    // Where the second begins in the chip is seen to some milliseconds.
                    uncertainty_us: trust
                        .uncertainty_us_at(gps_now.monotonic_us)
                        .saturating_add(written.ahead_us.unsigned_abs())
                        .saturating_add(u64::try_from(written.read_back.uncertainty.as_micros()).unwrap_or(u64::MAX)),
                    clock_ppm: drift_bound_ppm.unwrap_or(tide_photo::clock::DRIFT_PPM),
                });
            }
        }
    }

    /// What is wrong with the battery-backed clock, if writing it has not mended that.
    pub(super) fn judge_rtc(&mut self, rtc: &RtcInHand) {
        self.run.rtc_temperature_c = rtc.temperature_c;
        self.run.rtc_battery_is_low = rtc.battery_is_low;
        if rtc.battery_is_low == Some(true) {
            self.warn(format!("the battery of {} is low: replace it", rtc.name));
        }
        let Some(error) = &rtc.error else { return };
        if rtc.was_written {
            self.warn(format!("{} (written anew)", chain(error)));
        } else {
            self.fail(1, chain(error));
        }
    }
}
