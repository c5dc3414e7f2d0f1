//! A camera that renders a tide scene whose water level is known, day and night, so that everything behind the camera can
//! be tried without one. The same moment always gives the same bytes; two different milliseconds never do.

mod canvas;
mod layout;
mod light;
mod noise;
mod number;
mod quay;
mod scene;
mod sea;
mod sky;
mod staff;

use tide_photo::CapturedAt;

pub use staff::{STAFF_METRES, StaffGeometry};

use self::scene::Scene;
use crate::devices::camera::{Camera, CameraError, Frame, Moment};

/// The mean water level, in metres above the staff's zero.
const MEAN_LEVEL_M: f64 = 1.2;

/// Speed in degrees per hour and amplitude in metres. The speeds of M2, S2 and O1 are those that NOAA publishes with the
/// harmonic constituents of every station (tidesandcurrents.noaa.gov/harcon.html); their periods are 12.420601 h, 12 h and
/// 25.819342 h. The amplitudes are ours, for a tide that stays on the staff.
const CONSTITUENTS: [(f64, f64); 3] = [(28.984_104_2, 0.6), (30.0, 0.2), (13.943_035_6, 0.1)];

/// Smallest and largest picture, in pixels: the staff can still be read on one, and a JPEG still be decoded of the other.
const WIDTHS_PX: (u32, u32) = (320, 8_192);
const HEIGHTS_PX: (u32, u32) = (240, 8_192);

/// A rendered quay with a tide staff, lit as the hour (UTC) demands.
pub struct SyntheticCamera {
    scene: Scene,
}

impl SyntheticCamera {
    /// A camera for pictures of this size in pixels; what is beyond 320 x 240 to 8192 x 8192 becomes the nearest size within.
    pub fn new(width_px: u32, height_px: u32) -> Self {
        let width_px = width_px.clamp(WIDTHS_PX.0, WIDTHS_PX.1);
        let height_px = height_px.clamp(HEIGHTS_PX.0, HEIGHTS_PX.1);
        Self { scene: Scene::new(width_px, height_px) }
    }

    /// The true water level, in metres above the staff's zero: every constituent is at its highest at 1970-01-01T00:00Z.
    pub fn level_m(at: CapturedAt) -> f64 {
        let hours = at.as_micros() as f64 / 3.6e9;
        let height =
            |(degrees_per_hour, amplitude_m): (f64, f64)| amplitude_m * (degrees_per_hour * hours).to_radians().cos();
        MEAN_LEVEL_M + CONSTITUENTS.into_iter().map(height).sum::<f64>()
    }

    /// Where the staff is in this camera's pictures.
    pub fn staff(&self) -> StaffGeometry {
        self.scene.staff()
    }
}

impl Camera for SyntheticCamera {
    fn expose(&mut self, now: CapturedAt) -> Result<Frame, CameraError> {
        let picture = self.scene.render(now, Self::level_m(now));
        let jpeg = picture.to_jpeg().map_err(|error| CameraError::Failed {
            reason: format!("failed to encode the rendered picture: {error}"),
        })?;
        Ok(Frame { jpeg, moment: Moment::ByStationClock(now) })
    }

    fn kind(&self) -> &'static str {
        "synthetic"
    }

    fn is_simulated(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use image::GrayImage;
    use tide_photo::jpeg::{Dimensions, JpegCheck};

    use super::number::{narrow, whole};
    use super::*;

    /// What chooses the light is the hour; the minutes make the level differ.
    const HOURS: [&str; 6] = ["00:00", "05:40", "09:10", "12:00", "18:00", "21:30"];

    fn at(text: &str) -> CapturedAt {
        text.parse().unwrap()
    }

    fn grey(camera: &mut SyntheticCamera, now: CapturedAt) -> GrayImage {
        image::load_from_memory(&camera.expose(now).unwrap().jpeg).unwrap().to_luma8()
    }

    fn mean(picture: &GrayImage) -> f64 {
        picture.pixels().map(|pixel| f64::from(pixel.0[0])).sum::<f64>() / f64::from(picture.width() * picture.height())
    }

    /// The row with the sharpest fall from bright to dark along the white edge of the board.
    fn waterline(picture: &GrayImage, staff: &StaffGeometry) -> f64 {
        let row_mean = |row: u32| {
            let columns = staff.blank_columns();
            let count = columns.len() as f64;
            columns.map(|column| f64::from(picture.get_pixel(column, row).0[0])).sum::<f64>() / count
        };
        let (top, bottom) = (whole(narrow(staff.row_of(2.9))), whole(narrow(staff.row_of(0.1))));
        let rows: Vec<f64> = (top.cast_unsigned()..bottom.cast_unsigned()).map(row_mean).collect();
        let fall = |at: usize| rows[at - 2] + rows[at - 1] - rows[at] - rows[at + 1];
        let sharpest = (2..rows.len() - 1).max_by(|a, b| fall(*a).total_cmp(&fall(*b))).unwrap();
        f64::from(top) + sharpest as f64
    }

    #[test]
    fn the_waterline_is_where_the_level_says_by_day_and_by_night() {
        for (width, height, tolerance) in [(320, 240, 1.5), (1280, 720, 2.0)] {
            let mut camera = SyntheticCamera::new(width, height);
            let staff = camera.staff();
            for hour in HOURS {
                let now = at(&format!("2026-05-31T{hour}:00Z"));
                let expected = staff.row_of(SyntheticCamera::level_m(now));
                let found = waterline(&grey(&mut camera, now), &staff);
                assert!(
                    (found - expected).abs() <= tolerance,
                    "{width} x {height}, {hour}: {found}, not {expected:.1}"
                );
            }
        }
    }

    #[test]
    fn a_moment_always_gives_the_same_bytes_and_the_next_millisecond_others() {
        let now = at("2026-05-31T18:00:00.250Z");
        let first = SyntheticCamera::new(640, 360).expose(now).unwrap();
        let mut camera = SyntheticCamera::new(640, 360);
        let next = camera.expose(at("2026-05-31T18:00:00.251Z")).unwrap();
        let again = camera.expose(now).unwrap();
        assert_eq!(first.moment, Moment::ByStationClock(now));
        assert!(first == again, "the same moment gave other bytes");
        assert!(first.jpeg != next.jpeg, "two moments gave the same bytes");
        assert!(camera.is_simulated());
    }

    #[test]
    fn every_picture_is_one_whole_jpeg_of_the_size_asked_for() {
        let cases =
            [((320, 240), (320, 240)), ((1001, 563), (1001, 563)), ((480, 800), (480, 800)), ((0, 0), (320, 240))];
        for ((asked_width, asked_height), (width, height)) in cases {
            let jpeg = SyntheticCamera::new(asked_width, asked_height).expose(at("2026-05-31T07:00:00Z")).unwrap().jpeg;
            assert_eq!(JpegCheck::of(&jpeg), Ok(Dimensions { width, height }));
        }
    }

    #[test]
    fn night_is_darker_than_noon() {
        let mut camera = SyntheticCamera::new(320, 240);
        let mut brightness = |hour: &str| mean(&grey(&mut camera, at(&format!("2026-05-31T{hour}:00Z"))));
        let (midnight, dawn, noon) = (brightness("00:00"), brightness("05:30"), brightness("12:00"));
        assert!(midnight * 2.0 < noon, "{midnight} at night, {noon} at noon");
        assert!(midnight < dawn && dawn < noon, "{midnight} at night, {dawn} at dawn, {noon} at noon");
    }

    #[test]
    fn the_level_stays_on_the_staff_and_comes_back_with_its_tides() {
        let ten_minutes = 600_000_000;
        let start = at("2026-01-01T00:00:00Z").as_micros();
        let year = (0..6 * 24 * 365).map(|step| CapturedAt::from_micros(start + step * ten_minutes).unwrap());
        let (low, high) = year
            .map(SyntheticCamera::level_m)
            .fold((9.0, -9.0), |(low, high): (f64, f64), level| (low.min(level), high.max(level)));
        assert!(low > 0.25 && low < 0.40 && high > 2.0 && high < 2.15, "from {low} to {high} m");
        assert!((SyntheticCamera::level_m(at("1970-01-01T00:00:00Z")) - 2.1).abs() < 1e-12);
        let periods = CONSTITUENTS.map(|(degrees_per_hour, _)| 360.0 / degrees_per_hour);
        for (period, published_h) in periods.into_iter().zip([12.420_601, 12.0, 25.819_34]) {
            assert!((period - published_h).abs() < 1e-5, "{period} h, not {published_h} h");
        }
    }
}
