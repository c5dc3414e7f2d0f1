//! How high the sun stands.

use solar_positioning::time::JulianDate;
use solar_positioning::{Location, SolarPositions};
use tide_photo::CapturedAt;

/// The Julian date of 1970-01-01T00:00Z.
const JULIAN_1970: f64 = 2_440_587.5;

/// Microseconds of a day.
const DAY_US: f64 = 86_400e6;

/// How far the Earth's rotation lags behind uniform time, in seconds. About 69 in these decades (IERS); a minute more or less
/// moves the sun by a thousandth of a degree.
const DELTA_T_S: f64 = 69.0;

/// The height of the sun's centre above the horizon in degrees, without refraction (NREL's SPA). `None` where
/// latitude and longitude are none.
pub fn height_deg(at: CapturedAt, latitude: f64, longitude: f64) -> Option<f64> {
    let julian = JulianDate::new(JULIAN_1970 + at.as_micros() as f64 / DAY_US, DELTA_T_S).ok()?;
    let sun = SolarPositions::new().at_from_julian(julian, Location { latitude, longitude }, 0.0, None).ok()?;
    Some(sun.elevation_angle())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sun_is_where_the_almanac_has_it() {
        let height = |at: &str, latitude, longitude| height_deg(at.parse().unwrap(), latitude, longitude).unwrap();
        // Greenwich at the solstice: 90 - 51.48 + 23.44, when the sun crosses the meridian at about 12:02 UTC.
        assert!((height("2026-06-21T12:02:00Z", 51.477_8, 0.0) - 61.96).abs() < 0.02);
        // Noon at the equinox on the equator: overhead, less the equation of time (7.4 minutes, 1.9 degrees).
        assert!((height("2026-03-20T12:00:00Z", 0.0, 0.0) - 88.1).abs() < 0.2);
        assert!(height("2026-06-21T00:00:00Z", 51.477_8, 0.0) < -12.0);
        assert!(height("2026-06-21T00:00:00Z", 78.2, 15.6) > 10.0, "the sun of midnight over Svalbard");
        assert_eq!(height_deg(CapturedAt::EPOCH, 91.0, 0.0), None);
    }
}
