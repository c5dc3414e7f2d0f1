//! The water: waves in perspective, what they mirror, and the glitter of sun, moon and lamp.

use std::f32::consts::TAU;

use super::canvas::{Canvas, Rgb, bytes, lit, mix};
use super::layout::{FRONT_AWAY_M, Layout};
use super::light::{LAMP, Light};
use super::noise::Lattice;
use super::number::{channel, narrow, pixel, smooth_step, turn, whole};

/// Wave length in metres, direction in radians (0 comes straight towards the camera), strength. Chosen by eye; no two
/// lengths have a small common multiple, so that the pattern does not repeat.
const WAVES: [(f32, f32, f32); 9] = [
    (19.0, 0.30, 0.40),
    (8.3, -0.42, 0.44),
    (3.9, 0.62, 0.46),
    (2.13, -0.20, 0.44),
    (1.17, -0.78, 0.42),
    (0.67, 0.44, 0.42),
    (0.37, -0.50, 0.38),
    (0.21, 0.85, 0.30),
    (0.13, -0.25, 0.24),
];
/// Where the quay's front would be on the water plane, in parts of the picture's height below the horizon. Fixed, so that
/// the waves look alike at every level.
const FRONT_PART: f32 = 0.30;
/// Shades of the water between trough and crest.
const SHADES: usize = 64;
/// The waves are pushed aside anew after so many pixels.
const RUN: usize = 16;
/// Steps between open water and the quay's mirror image.
const MIRRORS: usize = 6;

/// The sea of one moment.
pub(super) struct Sea<'a> {
    layout: &'a Layout,
    light: &'a Light,
    noise: &'a Lattice,
    level: f32,
    seconds: f64,
    /// One turn of a wave in 256 steps, from -256 to 256.
    turn: Vec<i32>,
    glitters: Vec<Glitter>,
    /// For each column the row where the quay's mirror image ends.
    mirror_ends: Vec<usize>,
}

/// A column of sparkling light below a bright body.
struct Glitter {
    x: f32,
    from_row: f32,
    /// In pixels, at the horizon and at the bottom of the picture.
    widths: (f32, f32),
    colour: Rgb,
    strength: f32,
}

/// One row of pixels on the water plane, in metres.
struct View {
    away: f32,
    metres_per_pixel: f32,
    metres_per_row: f32,
    middle: f32,
}

impl View {
    fn new(layout: &Layout, row: usize) -> Self {
        let down = (row as f32 + 0.5 - layout.horizon).max(0.5);
        let scale = down / (FRONT_PART * layout.height as f32);
        let away = FRONT_AWAY_M / scale;
        Self {
            away,
            metres_per_pixel: 1.0 / (layout.metre() * scale),
            metres_per_row: away / down,
            middle: layout.width as f32 / 2.0,
        }
    }

    /// Metres to the right of the picture's middle.
    fn x(&self, column: usize) -> f32 {
        (column as f32 - self.middle) * self.metres_per_pixel
    }
}

/// A wave along one row: where it is in its turn, how much it turns from pixel to pixel, and its length in metres.
#[derive(Clone, Copy)]
struct Ripple {
    phase: u32,
    step: f32,
    length: f32,
    strength: i32,
}

impl Ripple {
    /// Adds a run of pixels, in which the wave is also pushed `drift` metres aside from pixel to pixel.
    fn add_to(&mut self, run: &mut [i32], turns: &[i32], drift: f32) {
        let step = turn(f64::from(self.step + drift / self.length));
        for height in run {
            *height += turns[(self.phase >> 24) as usize] * self.strength / 256;
            self.phase = self.phase.wrapping_add(step);
        }
    }
}

impl<'a> Sea<'a> {
    pub(super) fn new(layout: &'a Layout, light: &'a Light, noise: &'a Lattice, level: f32, seconds: f64) -> Self {
        let turn = (0..256).map(|part| whole((part as f32 / 256.0 * TAU).sin() * 256.0)).collect();
        let mirror_end = |column: usize| {
            let x = column as f32 + 0.5;
            let foot = layout.quay_foot(x, level);
            if column < layout.quay_left() { 0 } else { pixel(2.0 * foot - layout.quay_top(x)) }
        };
        let mirror_ends = (0..layout.width).map(mirror_end).collect();
        Self { layout, light, noise, level, seconds, turn, glitters: glitters(layout, light, level), mirror_ends }
    }

    /// Paints all rows from the horizon to the caption, and leaves out what the quay hides.
    pub(super) fn paint(&self, canvas: &mut Canvas) {
        for row in pixel(self.layout.horizon.ceil())..self.layout.caption_top {
            let end = self.open_until(row);
            let heights = self.heights(row, end);
            let rgb = &mut canvas.row_mut(row)[..end * 3];
            self.shade(row, &heights, rgb);
            for glitter in &self.glitters {
                self.sparkle(row, glitter, &heights, rgb);
            }
        }
    }

    /// The column where the quay begins to hide the water of this row.
    fn open_until(&self, row: usize) -> usize {
        let (layout, foot) = (self.layout, self.layout.row_of(self.level));
        let below = row as f32 + 1.0;
        if below >= foot {
            return layout.width;
        }
        let visible = (layout.quay_left()..layout.width)
            .find(|column| layout.quay_foot(*column as f32 + 0.5, self.level) > below)
            .unwrap_or(layout.width);
        (visible + 2).min(layout.width)
    }

    /// The height of the water in each pixel of a row; 256 is a high crest.
    fn heights(&self, row: usize, end: usize) -> Vec<i32> {
        let view = View::new(self.layout, row);
        let mut ripples = self.ripples(&view);
        // From the longest to the shortest, so that the ones that are too fine come last.
        let live = ripples.iter().take_while(|ripple| ripple.strength > 0).count();
        let ripples = &mut ripples[..live];
        let mut heights = vec![0; end];
        let mut drift = self.drift(&view, 0);
        for (at, run) in heights.chunks_mut(RUN).enumerate() {
            let next = self.drift(&view, (at + 1) * RUN);
            for ripple in ripples.iter_mut() {
                ripple.add_to(run, &self.turn, (next - drift) / RUN as f32);
            }
            drift = next;
        }
        heights
    }

    /// Each wave at the left end of a row. A wave that is finer than the pixels there fades out, or its pattern would be a
    /// false one.
    fn ripples(&self, view: &View) -> [Ripple; WAVES.len()] {
        let drift = self.drift(view, 0);
        WAVES.map(|(length, direction, strength)| {
            let (across, along) = (direction.sin() / length, direction.cos() / length);
            let step = across * view.metres_per_pixel;
            let fineness = step.abs().max(along * view.metres_per_row);
            // Deep water: longer waves run faster (g = 9.81 m/s², so turns per second are the root of g / 2π / length).
            let turns = f64::from((1.561 / length).sqrt()) * self.seconds;
            let start = turns + f64::from(along * view.away + across * view.x(0) + drift / length);
            let strength = strength * (1.0 - fineness * 2.6).clamp(0.0, 1.0);
            Ripple { phase: turn(start), step, length, strength: whole(strength * 150.0) }
        })
    }

    /// How far the waves are pushed aside at one place, in metres, so that their crests are not ruled lines.
    fn drift(&self, view: &View, column: usize) -> f32 {
        let (x, away) = (view.x(column), view.away);
        1.5 * self.noise.value(x * 0.21, away * 0.21) + 0.36 * self.noise.value(x * 0.83, away * 0.83)
    }

    fn shade(&self, row: usize, heights: &[i32], rgb: &mut [u8]) {
        let palettes = self.palettes(row);
        let wobble = 1 + self.layout.height / 60;
        let soft = 1 + self.layout.height / 180;
        for (column, (rgb, height)) in rgb.chunks_exact_mut(3).zip(heights).enumerate() {
            let shade = shade_of(*height);
            // Slopes throw the mirror image about.
            let seen = (column + wobble * shade / SHADES).saturating_sub(wobble / 2).min(self.layout.width - 1);
            let mirrored = (self.mirror_ends[seen].saturating_sub(row) / soft).min(MIRRORS - 1);
            rgb.copy_from_slice(&palettes[mirrored][shade]);
        }
    }

    /// The water's colours in one row, trough to crest: from the open sea, step by step, to where it mirrors the quay.
    fn palettes(&self, row: usize) -> [[[u8; 3]; SHADES]; MIRRORS] {
        let light = self.light;
        let near = (row as f32 + 0.5 - self.layout.horizon) / (self.layout.caption_top as f32 - self.layout.horizon);
        let sky = mix(light.horizon, light.zenith, 0.20 + 0.40 * near).map(|part| part * 0.96);
        let infrared = 34.0 * light.night;
        let stone = lit([84.0, 84.0, 62.0], light.ambient).map(|part| part + infrared);
        let stone = mix(stone, light.deep_sea, 0.20 + 0.30 * near);
        // The flatter one looks over water, the more it mirrors (after Fresnel).
        let mirror = 0.26 + 0.56 * (1.0 - near).powi(3);
        let streak = 0.12 * (self.noise.value(near.sqrt() * 90.0, narrow(self.seconds * 0.05 % 64.0)) - 0.5);
        std::array::from_fn(|step| {
            let quay = step as f32 / (MIRRORS - 1) as f32;
            std::array::from_fn(|shade| {
                let height = shade as f32 / (SHADES - 1) as f32 * 2.0 - 1.0;
                let crest = smooth_step(0.30, 1.0, height);
                let part = (mirror + streak + 0.26 * height + 0.20 * crest).clamp(0.02, 1.0);
                // Crests lean back far enough to mirror the sky even below the quay.
                bytes(mix(light.deep_sea, mix(sky, stone, quay * (0.96 - 0.56 * crest)), part))
            })
        })
    }

    fn sparkle(&self, row: usize, glitter: &Glitter, heights: &[i32], rgb: &mut [u8]) {
        let middle = row as f32 + 0.5;
        let near = (middle - self.layout.horizon) / (self.layout.height as f32 - self.layout.horizon);
        if glitter.strength < 0.02 || middle < glitter.from_row {
            return;
        }
        let width = glitter.widths.0 + (glitter.widths.1 - glitter.widths.0) * near;
        let fade = glitter.strength * (1.0 - near).sqrt();
        let columns = pixel(glitter.x - 1.7 * width)..pixel(glitter.x + 1.7 * width).min(heights.len());
        let moment = pixel(narrow(self.seconds % 64.0)) * 31 + row * 97;
        for column in columns {
            let off = (column as f32 + 0.5 - glitter.x) / width;
            let centre = 1.0 / (1.0 + 2.0 * off * off * off * off) - 0.05;
            // Where the waves are too fine to be drawn, chance decides which of them sparkle.
            let far = self.noise.speckle(column / 3 + moment) * (1.0 - near);
            let slope = heights[column] as f32 / 190.0 + far * 0.9;
            let part = (fade * centre * (0.16 + smooth_step(0.55 - 0.75 * centre, 1.15, slope))).clamp(0.0, 1.0);
            for (old, new) in rgb[column * 3..column * 3 + 3].iter_mut().zip(glitter.colour) {
                let before = f32::from(*old);
                *old = channel(before + (new - before) * part);
            }
        }
    }
}

fn shade_of(height: i32) -> usize {
    usize::try_from((height + 256) >> 3).unwrap_or(0).min(SHADES - 1)
}

fn glitters(layout: &Layout, light: &Light, level: f32) -> Vec<Glitter> {
    let (width, height) = (layout.width as f32, layout.height as f32);
    let below = |x: f32, widths: (f32, f32), colour: Rgb, strength: f32| Glitter {
        x,
        from_row: layout.horizon,
        widths: (widths.0 * height, widths.1 * height),
        colour,
        strength,
    };
    let high = smooth_step(0.15, 0.5, light.sun.above_horizon);
    let sun_widths = (0.03 + 0.20 * high, 0.12 + 0.30 * high);
    let sun = below(light.sun.x * width, sun_widths, light.sun.colour, light.sun.strength * (0.95 - 0.62 * high));
    let moon = below(light.moon.x * width, (0.03, 0.13), light.moon.colour, light.moon.strength * 0.62);
    let mut lamp = below(layout.lighthouse_x(), (0.012, 0.03), LAMP, light.night.max(light.twilight * 0.5) * 0.6);
    lamp.from_row = layout.quay_foot(layout.quay_left() as f32, level);
    vec![sun, moon, lamp]
}
