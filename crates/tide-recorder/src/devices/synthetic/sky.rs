//! Everything above the horizon that is far away: sky, clouds, stars, sun, moon, and the coast on the other side.

use super::canvas::{Canvas, Rgb, lit, mix};
use super::light::{Body, Light};
use super::noise::{Lattice, chance};
use super::number::{narrow, pixel, smooth_step};

const STARS: u32 = 170;
/// How far the clouds go in one second, in widths of a cloud.
const CLOUD_DRIFT: f64 = 0.0011;
/// Sun and moon, in parts of the picture's height; three times larger than they are, as people remember them.
const DISC_PART: f32 = 0.026;

/// The darkest plains of the moon: to the right and up from its middle, and their size, in parts of its radius.
const SEAS_OF_THE_MOON: [(f32, f32, f32); 6] = [
    (-0.32, 0.38, 0.34),
    (0.14, 0.42, 0.22),
    (0.36, 0.20, 0.24),
    (-0.50, -0.02, 0.30),
    (0.62, 0.30, 0.12),
    (-0.22, -0.30, 0.22),
];

/// The sky of one moment.
pub(super) struct Sky<'a> {
    pub(super) light: &'a Light,
    pub(super) noise: &'a Lattice,
    /// The row of the horizon.
    pub(super) horizon: f32,
    /// Seconds since 1970.
    pub(super) seconds: f64,
}

impl Sky<'_> {
    /// Paints all rows above the horizon.
    pub(super) fn paint(&self, canvas: &mut Canvas) {
        let (width, height) = (canvas.width as f32, canvas.height as f32);
        let cell = (canvas.height / 144).max(2);
        let drift = narrow((self.seconds * CLOUD_DRIFT).rem_euclid(64.0));
        canvas.paint_soft(pixel(self.horizon) + 1, cell, |x, y| self.colour_at(x, y, width, height, drift));
        self.stars(canvas);
        self.body(canvas, &self.light.sun);
        self.body(canvas, &self.light.moon);
        self.coast(canvas, 0.046, 3.1, 0.40);
        self.coast(canvas, 0.026, 7.7, 0.72);
    }

    fn colour_at(&self, x: f32, y: f32, width: f32, height: f32, drift: f32) -> Rgb {
        let light = self.light;
        let up = ((self.horizon - y) / self.horizon).clamp(0.0, 1.0);
        let mut colour = mix(light.horizon, light.zenith, up.powf(0.62));
        for (body, reach) in [(&light.sun, 0.34 + 0.22 * light.twilight), (&light.moon, 0.22)] {
            let (across, down) = (x - body.x * width, y - (self.horizon - body.above_horizon * height));
            // Wider than high: near the horizon the glow follows the haze.
            let distance = (across * across * 0.45 + down * down).sqrt() / (height * reach);
            let near = (1.0 - distance).max(0.0);
            colour = mix(colour, body.colour, body.strength * near * near * (0.55 + 0.25 * light.twilight));
        }
        let (cover, shade) = self.cloud(x / height, (self.horizon - y) / height, drift);
        let under = mix(light.horizon, light.zenith, 0.45);
        mix(colour, mix(light.cloud, under, shade), cover * (0.88 - 0.50 * light.night))
    }

    /// How much cloud there is, and how much of it is in its own shade. Clouds lie on a plane overhead, so they crowd
    /// towards the horizon.
    fn cloud(&self, x: f32, up: f32, drift: f32) -> (f32, f32) {
        let away = 1.0 / (up.max(0.0) + 0.16);
        let (across, along) = ((x - 0.7) * away * 0.60 + drift, away * 0.85 + drift * 0.3);
        let thickness = self.noise.layers(across, along, 4);
        let cover = smooth_step(0.50, 0.72, thickness) * smooth_step(0.0, 0.10, up);
        if cover <= 0.0 {
            return (0.0, 0.0);
        }
        let above = self.noise.layers(across, along - 0.16, 3);
        (cover, ((above - 0.42) * 1.9).clamp(0.0, 0.55))
    }

    fn stars(&self, canvas: &mut Canvas) {
        let size = (canvas.height as f32 / 600.0).max(0.9);
        // The sky turns once a day; a picture is about a quarter of it wide.
        let turned = narrow((self.seconds / 86_400.0 * 4.0).rem_euclid(1.0));
        for star in 0..STARS {
            let (x, up) = ((chance(star, 1) + turned).fract(), chance(star, 2));
            let brightness = 0.35 + 0.65 * chance(star, 3).powi(3);
            let twinkle = 0.85 + 0.15 * (narrow(self.seconds.rem_euclid(600.0)) * 2.0 + star as f32).sin();
            let cover = self.light.night * brightness * twinkle * smooth_step(0.04, 0.4, up);
            let radius = size * (0.35 + 0.55 * brightness);
            let row = self.horizon * (1.0 - up);
            canvas.disc(x * canvas.width as f32, row, radius, [222.0, 228.0, 255.0], cover);
        }
    }

    fn body(&self, canvas: &mut Canvas, body: &Body) {
        let height = canvas.height as f32;
        let row = self.horizon - body.above_horizon * height;
        if body.strength > 0.0 && row > -height * DISC_PART {
            let x = body.x * canvas.width as f32;
            let bright = mix(body.colour, [255.0; 3], 0.55);
            canvas.disc(x, row, height * DISC_PART, bright, body.strength.sqrt());
            if body.spotted {
                for (across, up, size) in SEAS_OF_THE_MOON {
                    let part = height * DISC_PART;
                    let grey = body.colour.map(|part| part * 0.84);
                    canvas.disc(x + across * part, row - up * part, size * part, grey, 0.62 * body.strength);
                }
            }
        }
    }

    /// A line of hills, `part` of the picture's height, in the haze: low on the right, where the open sea is.
    fn coast(&self, canvas: &mut Canvas, part: f32, seed: f32, haze: f32) {
        let (width, height) = (canvas.width as f32, canvas.height as f32);
        let rock = lit([96.0, 110.0, 122.0], self.light.ambient);
        let colour = mix(self.light.horizon, mix(rock, self.light.zenith, 0.25), haze);
        for column in 0..canvas.width {
            let x = column as f32 / width;
            let shape = self.noise.layers(x * 6.0 + seed * 9.0, seed, 4) * (1.0 - smooth_step(0.10, 0.42, x));
            let top = self.horizon - (shape * 1.6 - 0.30).max(0.0) * part * height;
            canvas.fill(column as f32..column as f32 + 1.0, top..self.horizon + 1.0, colour, 1.0);
        }
    }
}
