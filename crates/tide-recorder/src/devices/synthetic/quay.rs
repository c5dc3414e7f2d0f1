//! The stone quay on the right: its front carries the staff, its side runs out to a lighthouse.

use super::canvas::{Canvas, Rgb, lit, mix};
use super::layout::{Layout, QUAY_TOP_M};
use super::light::{LAMP, Light};
use super::noise::{Lattice, chance, hash};
use super::number::{channel, pixel, smooth_step, whole};

/// One course of stones and one stone, in metres.
const COURSE_M: f32 = 0.40;
const STONE_M: f32 = 0.78;
/// The coping begins here, in metres above the staff's zero.
const COPING_FOOT_M: f32 = QUAY_TOP_M - 0.20;
/// Weed grows up to here, in metres above the staff's zero: a little above the mean water.
const WEED_M: f32 = 1.45;
/// Spring tides stain the stone up to here.
const STAIN_M: f32 = 2.18;
/// What the last waves wetted above the water, in metres.
const WET_M: f32 = 0.09;
/// The side of the quay gets less light than its front.
const SIDE_LIGHT: f32 = 0.72;

/// The quay as built: the colours of its stones in full daylight.
pub(super) struct Quay {
    left: usize,
    top: usize,
    stones: Canvas,
}

impl Quay {
    /// Lays every stone once, because that costs more than showing them.
    pub(super) fn new(layout: &Layout, noise: &Lattice) -> Self {
        let (left, top) = (layout.quay_left(), pixel(layout.quay_top(layout.width as f32)));
        let mut stones = Canvas::new(layout.width - left, pixel(layout.row_of(0.0)) + 2 - top);
        for column in 0..stones.width {
            let x = (left + column) as f32 + 0.5;
            let scale = layout.scale_at(x);
            for row in pixel(layout.quay_top(x)).max(top)..pixel(layout.quay_foot(x, 0.2)) {
                if row - top < stones.height {
                    let level = layout.level_at(row as f32 + 0.5, scale);
                    let colour = stone(noise, layout.along_quay(x), level, scale);
                    stones.blend(column, row - top, colour, 1.0);
                }
            }
        }
        Self { left, top, stones }
    }

    /// Paints what stands above the water.
    pub(super) fn paint(&self, canvas: &mut Canvas, layout: &Layout, noise: &Lattice, light: &Light, level: f32) {
        let lamp = Lamp::new(layout, light);
        let columns: Vec<Column> =
            (self.left..layout.width).map(|x| Column::new(layout, noise, (light, &lamp), x, level)).collect();
        for row in self.top..(self.top + self.stones.height).min(canvas.height) {
            let infrared = lamp.down(row);
            let stones = self.stones.row(row - self.top);
            let pixels = &mut canvas.row_mut(row)[self.left * 3..];
            for ((rgb, stone), column) in pixels.chunks_exact_mut(3).zip(stones.chunks_exact(3)).zip(&columns) {
                if row >= column.top && row <= column.water {
                    column.paint(rgb, stone, row, infrared);
                }
            }
        }
    }
}

/// The stone at one place: `along` the wall and `level` in metres.
fn stone(noise: &Lattice, along: f32, level: f32, scale: f32) -> Rgb {
    if level > COPING_FOOT_M {
        return coping(noise, along, level, scale);
    }
    let course = whole(level / COURSE_M);
    let shifted = along / STONE_M + if course % 2 == 0 { 0.0 } else { 0.5 } + chance(course.cast_unsigned(), 5) * 0.2;
    let block = hash(whole(shifted).cast_unsigned(), course.cast_unsigned());
    let shade = 0.84 + 0.30 * chance(block, 1);
    let warmth = chance(block, 2) * 12.0;
    let grain = noise.layers(along * 9.0, level * 9.0, 3) - 0.5;
    let mut colour = [158.0 + warmth, 147.0 + warmth * 0.5, 130.0].map(|base| base * (shade + grain * 0.34));
    // A joint is the distance to the nearest edge of the block; far away it blurs into the stone.
    let (from_left, from_below) = (shifted - shifted.floor(), level / COURSE_M - (level / COURSE_M).floor());
    let across = from_left.min(1.0 - from_left) * STONE_M;
    let down = from_below.min(1.0 - from_below) * COURSE_M;
    let joint = 1.0 - smooth_step(0.006, 0.026, across.min(down) + grain * 0.012);
    colour = mix(colour, [74.0, 68.0, 60.0], joint * 0.75 * scale.min(1.0).sqrt());
    let ragged = (noise.layers(along * 2.2, level * 0.8, 4) - 0.5) * 0.9;
    let stain = 1.0 - smooth_step(-0.10, 0.06, level - STAIN_M - ragged * 0.16);
    let weed = 1.0 - smooth_step(-0.30, 0.10, level - WEED_M - ragged * 0.55);
    colour = mix(colour, lit(colour, [0.70, 0.70, 0.66]), stain);
    let green = [48.0 + 36.0 * shade, 62.0 + 32.0 * shade, 30.0].map(|base| base * (0.72 + grain * 0.9));
    mix(colour, green, weed * (0.80 + grain * 0.4))
}

/// The long pale stones on top, and the shadow below their edge.
fn coping(noise: &Lattice, along: f32, level: f32, scale: f32) -> Rgb {
    let shifted = along / (2.0 * STONE_M);
    let grain = noise.layers(along * 9.0, level * 9.0, 3) - 0.5;
    let shade = 0.96 + 0.12 * chance(whole(shifted).cast_unsigned(), 9) + grain * 0.26;
    let across = (shifted - shifted.floor()).min(1.0 - (shifted - shifted.floor())) * 2.0 * STONE_M;
    let joint = (1.0 - smooth_step(0.004, 0.018, across)) * scale.min(1.0).sqrt();
    let overhang = 1.0 - smooth_step(0.0, 0.045, level - COPING_FOOT_M);
    mix([188.0, 180.0, 164.0].map(|base| base * shade), [58.0, 52.0, 46.0], (joint * 0.7).max(overhang * 0.85))
}

/// The infrared lamp beside the camera, aimed at the staff: a round spot, given by a factor across and one down.
struct Lamp {
    x: f32,
    row: f32,
    reach: f32,
    strength: f32,
}

impl Lamp {
    fn new(layout: &Layout, light: &Light) -> Self {
        let staff = (layout.staff.left + layout.staff.right) as f32 / 2.0;
        Self { x: staff, row: layout.row_of(1.7), reach: layout.height as f32 * 0.34, strength: light.night * 0.62 }
    }

    fn across(&self, x: f32) -> f32 {
        self.strength * bell((x - self.x) / self.reach)
    }

    fn down(&self, row: usize) -> f32 {
        bell((row as f32 - self.row) / (self.reach * 1.1))
    }
}

fn bell(distance: f32) -> f32 {
    (-distance * distance).exp()
}

/// One column of the quay at one moment.
struct Column {
    top: usize,
    /// The row that the water cuts, and how much of it is still stone.
    water: usize,
    dry_part: f32,
    /// The stone darkens from this row on, within so many rows.
    wet_from: f32,
    drying: f32,
    ambient: Rgb,
    infrared: f32,
}

impl Column {
    fn new(layout: &Layout, noise: &Lattice, (light, lamp): (&Light, &Lamp), column: usize, level: f32) -> Self {
        let x = column as f32 + 0.5;
        let (top, water) = (layout.quay_top(x), layout.quay_foot(x, level));
        let along = layout.along_quay(x);
        let wet = WET_M * (0.5 + noise.layers(along * 2.5, level * 3.0, 3));
        let side = if x < layout.corner { SIDE_LIGHT } else { 1.0 };
        Self {
            top: pixel(top),
            water: pixel(water),
            dry_part: water.fract(),
            wet_from: layout.quay_foot(x, level + wet),
            drying: 0.05 * layout.metre() * layout.scale_at(x),
            ambient: light.ambient.map(|part| part * side),
            infrared: lamp.across(x) * side,
        }
    }

    fn paint(&self, rgb: &mut [u8], stone: &[u8], row: usize, infrared_down: f32) {
        let infrared = self.infrared * infrared_down;
        let strength = 1.0 - 0.40 * ((row as f32 - self.wet_from) / self.drying).clamp(0.0, 1.0);
        // Infrared shows no colours: a camera without its filter sees a cold grey.
        let grey = f32::from(stone[1]) * infrared * strength;
        let cover = if row == self.water { self.dry_part } else { 1.0 };
        for (at, part) in rgb.iter_mut().enumerate() {
            let colour = f32::from(stone[at]) * self.ambient[at] * strength + grey;
            let before = f32::from(*part);
            *part = channel(before + (colour - before) * cover);
        }
    }
}

/// The lighthouse at the end of the quay, with its lamp lit from dusk to dawn.
pub(super) fn paint_lighthouse(canvas: &mut Canvas, layout: &Layout, light: &Light) {
    let (x, foot, metre) =
        (layout.lighthouse_x(), layout.quay_top(layout.quay_left() as f32) + 1.0, layout.far_metre());
    let top = foot - 5.4 * metre;
    for row in pixel(top)..pixel(foot) + 1 {
        let up = (foot - row as f32) / (foot - top);
        let half = metre * (0.95 - 0.36 * up);
        for column in pixel(x - half)..=pixel(x + half) {
            // Round: the side towards the middle of the day's sun is brighter.
            let around = (column as f32 + 0.5 - (x - half)) / (2.0 * half);
            let shade = 1.06 - 0.52 * smooth_step(0.25, 1.0, around);
            let stone = if whole(up * 5.0) == 3 { [176.0, 72.0, 58.0] } else { [226.0, 218.0, 202.0] };
            let colour = lit(stone, light.ambient).map(|part| part * shade);
            let cover = (half - (column as f32 + 0.5 - x).abs() + 0.5).clamp(0.0, 1.0);
            canvas.blend(column, row, colour, cover);
        }
    }
    lantern(canvas, x, top, metre, light);
}

fn lantern(canvas: &mut Canvas, x: f32, top: f32, metre: f32, light: &Light) {
    let lamp_lit = light.night.max(light.twilight * 0.7);
    let iron = lit([70.0, 72.0, 76.0], light.ambient);
    let glass = mix(lit([168.0, 190.0, 200.0], light.ambient), LAMP, lamp_lit);
    canvas.fill(x - 0.85 * metre..x + 0.85 * metre, top - 0.18 * metre..top, iron, 1.0);
    canvas.fill(x - 0.36 * metre..x + 0.36 * metre, top - 1.0 * metre..top - 0.18 * metre, glass, 1.0);
    let dome_foot = top - 1.0 * metre;
    for row in pixel(dome_foot - 0.55 * metre)..pixel(dome_foot) {
        let half = 0.55 * metre * (1.0 - ((dome_foot - row as f32) / (0.55 * metre)).powi(2)).max(0.0).sqrt();
        canvas.fill(x - half..x + half, row as f32..row as f32 + 1.0, iron, 1.0);
    }
    canvas.halo(x, top - 0.6 * metre, canvas.height as f32 * 0.10, LAMP, 0.9 * lamp_lit);
}
