//! Settings: where the station stands.

use serde::Deserialize;

/// Where the station stands (WGS 84), as its owner measured it.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Position {
    /// Degrees north of the equator, -90 to 90.
    pub latitude: f64,
    /// Degrees east of Greenwich, -180 to 180.
    pub longitude: f64,
    /// Metres above mean sea level, if it was measured.
    pub altitude_m: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    latitude: f64,
    longitude: f64,
    altitude_m: Option<f64>,
}

impl TryFrom<Unchecked> for Position {
    type Error = String;

    fn try_from(unchecked: Unchecked) -> Result<Self, String> {
        Self::new(unchecked.latitude, unchecked.longitude, unchecked.altitude_m)
    }
}

impl Position {
    /// A place on Earth.
    ///
    /// # Errors
    /// Says which number is none of a place.
    pub fn new(latitude: f64, longitude: f64, altitude_m: Option<f64>) -> Result<Self, String> {
        if !(-90.0..=90.0).contains(&latitude) {
            return Err(format!("a latitude is -90 to 90 degrees, not {latitude}"));
        }
        if !(-180.0..=180.0).contains(&longitude) {
            return Err(format!("a longitude is -180 to 180 degrees, not {longitude}"));
        }
        if altitude_m.is_some_and(|altitude_m| !(-500.0..=9_000.0).contains(&altitude_m)) {
            return Err("an altitude is -500 to 9000 m above the sea".to_owned());
        }
        Ok(Self { latitude, longitude, altitude_m })
    }
}
