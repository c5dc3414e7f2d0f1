//! What the hour does to the light: where sun and moon stand, and which colours sky, sea and stone take from them.

use std::f32::consts::{PI, TAU};

use tide_photo::CapturedAt;

use super::canvas::{Rgb, mix};
use super::number::{narrow, smooth_step};

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// The lighthouse's lamp, and what of it glitters on the water.
pub(super) const LAMP: Rgb = [255.0, 206.0, 122.0];

/// The light of one moment. Places are in parts of the picture's width and height.
pub(super) struct Light {
    pub(super) zenith: Rgb,
    pub(super) horizon: Rgb,
    pub(super) cloud: Rgb,
    pub(super) deep_sea: Rgb,
    /// What falls on stone and board; 1 is full daylight.
    pub(super) ambient: Rgb,
    /// 0 by day, 1 at night: stars, lamps and the infrared light that the staff is seen by.
    pub(super) night: f32,
    /// 1 while the sun is at the horizon.
    pub(super) twilight: f32,
    pub(super) sun: Body,
    pub(super) moon: Body,
}

/// Sun or moon.
pub(super) struct Body {
    /// From the left edge, in parts of the width.
    pub(super) x: f32,
    /// Above the horizon, in parts of the height.
    pub(super) above_horizon: f32,
    pub(super) colour: Rgb,
    /// How much of its light there is, 0 to 1.
    pub(super) strength: f32,
    /// Whether it has dark plains.
    pub(super) spotted: bool,
}

/// Colours at one height of the sun, given as the sine of its elevation.
struct Key {
    elevation: f32,
    zenith: Rgb,
    horizon: Rgb,
    cloud: Rgb,
    deep_sea: Rgb,
    ambient: Rgb,
}

/// Chosen by eye, from deep night to noon.
const KEYS: [Key; 7] = [
    Key {
        elevation: -0.55,
        zenith: [5.0, 9.0, 26.0],
        horizon: [22.0, 34.0, 66.0],
        cloud: [34.0, 44.0, 74.0],
        deep_sea: [4.0, 11.0, 24.0],
        ambient: [0.10, 0.13, 0.20],
    },
    Key {
        elevation: -0.22,
        zenith: [14.0, 24.0, 62.0],
        horizon: [74.0, 66.0, 106.0],
        cloud: [62.0, 58.0, 92.0],
        deep_sea: [10.0, 20.0, 42.0],
        ambient: [0.22, 0.22, 0.32],
    },
    Key {
        elevation: -0.07,
        zenith: [42.0, 58.0, 118.0],
        horizon: [228.0, 132.0, 104.0],
        cloud: [196.0, 112.0, 118.0],
        deep_sea: [26.0, 38.0, 72.0],
        ambient: [0.52, 0.45, 0.50],
    },
    Key {
        elevation: 0.07,
        zenith: [74.0, 110.0, 176.0],
        horizon: [252.0, 190.0, 126.0],
        cloud: [255.0, 196.0, 158.0],
        deep_sea: [34.0, 64.0, 96.0],
        ambient: [0.88, 0.72, 0.60],
    },
    Key {
        elevation: 0.30,
        zenith: [66.0, 128.0, 204.0],
        horizon: [218.0, 224.0, 222.0],
        cloud: [254.0, 244.0, 232.0],
        deep_sea: [20.0, 84.0, 116.0],
        ambient: [0.98, 0.93, 0.86],
    },
    Key {
        elevation: 0.70,
        zenith: [54.0, 120.0, 206.0],
        horizon: [190.0, 220.0, 238.0],
        cloud: [252.0, 252.0, 252.0],
        deep_sea: [14.0, 88.0, 124.0],
        ambient: [1.0, 0.98, 0.94],
    },
    Key {
        elevation: 1.05,
        zenith: [48.0, 116.0, 206.0],
        horizon: [180.0, 216.0, 240.0],
        cloud: [254.0, 254.0, 254.0],
        deep_sea: [10.0, 92.0, 130.0],
        ambient: [1.04, 1.02, 0.98],
    },
];

/// The sun seems to rise a little before 06:00 and set a little after 18:00, so that both hours show it whole.
const ELEVATION_AT_SIX: f32 = 0.05;

impl Light {
    /// The light at a moment, by the hour in UTC; every day is alike.
    pub(super) fn at(moment: CapturedAt) -> Self {
        let hour = narrow(moment.as_micros().rem_euclid(MICROS_PER_DAY) as f64 / 3.6e9);
        let elevation = ELEVATION_AT_SIX - (hour / 24.0 * TAU).cos();
        let (before, after) = keys_around(elevation);
        let part = ((elevation - before.elevation) / (after.elevation - before.elevation)).clamp(0.0, 1.0);
        let twilight = 1.0 - smooth_step(0.05, 0.45, (elevation - 0.02).abs());
        let night = smooth_step(0.08, 0.30, -elevation);
        // Mornings are clearer and more pink, evenings dusty and golden.
        let pink = if hour < 12.0 { twilight } else { 0.0 };
        let blush = |colour: Rgb| mix(colour, [colour[0], colour[1] * 0.90, colour[2] * 1.22 + 8.0], pink);
        Self {
            zenith: mix(before.zenith, after.zenith, part),
            horizon: blush(mix(before.horizon, after.horizon, part)),
            cloud: blush(mix(before.cloud, after.cloud, part)),
            deep_sea: mix(before.deep_sea, after.deep_sea, part),
            ambient: mix(before.ambient, after.ambient, part),
            night,
            twilight,
            sun: sun(hour, elevation),
            moon: moon(hour, night),
        }
    }
}

fn keys_around(elevation: f32) -> (&'static Key, &'static Key) {
    let after = KEYS.iter().position(|key| key.elevation > elevation).unwrap_or(KEYS.len() - 1).max(1);
    (&KEYS[after - 1], &KEYS[after])
}

fn sun(hour: f32, elevation: f32) -> Body {
    Body {
        x: 0.27 + (hour - 12.0) / 6.0 * 0.11,
        above_horizon: elevation * 0.9,
        colour: mix([255.0, 186.0, 104.0], [255.0, 250.0, 232.0], smooth_step(0.0, 0.4, elevation)),
        strength: smooth_step(-0.10, 0.04, elevation),
        spotted: false,
    }
}

/// Opposite the sun, so it is full: up at 18:00 on the left, highest at midnight.
fn moon(hour: f32, night: f32) -> Body {
    let since_rise = (hour + 6.0) % 24.0 / 12.0;
    Body {
        x: 0.10 + 0.36 * since_rise,
        above_horizon: 0.08 + 0.19 * (since_rise * PI).sin(),
        colour: [236.0, 238.0, 226.0],
        strength: night,
        spotted: true,
    }
}
