//! The whole picture, back to front.

use embedded_graphics::mono_font::MonoFont;
use embedded_graphics::mono_font::ascii::{FONT_6X10, FONT_7X13, FONT_9X15, FONT_10X20};
use tide_photo::CapturedAt;

use super::canvas::{Canvas, Rgb, lit};
use super::layout::Layout;
use super::light::Light;
use super::noise::Lattice;
use super::number::{narrow, pixel};
use super::quay::{self, Quay};
use super::sea::Sea;
use super::sky::Sky;
use super::staff::{StaffGeometry, paint_board};

/// What stays the same from picture to picture.
pub(super) struct Scene {
    layout: Layout,
    noise: Lattice,
    quay: Quay,
    board: Canvas,
}

impl Scene {
    /// Builds quay and staff for pictures of this size, in pixels.
    pub(super) fn new(width_px: u32, height_px: u32) -> Self {
        let layout = Layout::new(width_px, height_px);
        let noise = Lattice::new(2_026);
        let quay = Quay::new(&layout, &noise);
        let board = paint_board(&layout.staff);
        Self { layout, noise, quay, board }
    }

    pub(super) fn staff(&self) -> StaffGeometry {
        self.layout.staff
    }

    /// The picture at one moment, with the water at `level_m` metres above the staff's zero.
    pub(super) fn render(&self, now: CapturedAt, level_m: f64) -> Canvas {
        let mut canvas = Canvas::new(self.layout.width, self.layout.height);
        let (layout, noise) = (&self.layout, &self.noise);
        let (light, level) = (Light::at(now), narrow(level_m));
        let seconds = now.as_micros() as f64 / 1e6;
        Sky { light: &light, noise, horizon: layout.horizon, seconds }.paint(&mut canvas);
        quay::paint_lighthouse(&mut canvas, layout, &light);
        Sea::new(layout, &light, noise, level, seconds).paint(&mut canvas);
        self.quay.paint(&mut canvas, layout, noise, &light, level);
        self.paint_staff(&mut canvas, &light, level, seconds);
        self.paint_caption(&mut canvas, now, level_m);
        canvas
    }

    /// The board above the water, and below the water a faint image of it that trembles the more the further down it is.
    fn paint_staff(&self, canvas: &mut Canvas, light: &Light, level: f32, seconds: f64) {
        let (left, top) = (self.layout.staff.left as usize, self.layout.staff.top_row());
        let water = self.layout.row_of(level);
        let seen = staff_light(light);
        for row in top..=pixel(water) {
            let cover = (water - row as f32).clamp(0.0, 1.0);
            for (column, colour) in self.board_row(row - top).enumerate() {
                canvas.blend(left + column, row, lit(colour, seen), cover);
            }
        }
        let depth = 0.30 * canvas.height as f32;
        for row in pixel(water) + 1..pixel(water + depth).min(self.layout.caption_top) {
            let below = row as f32 + 0.5 - water;
            let mirrored = pixel(water - below);
            if mirrored <= top {
                break;
            }
            let cover = (0.26 + 0.08 * light.night) * (1.0 - below / depth);
            let sway = below / depth * 0.012 * canvas.height as f32;
            let sway =
                sway * ((below / canvas.height as f32).sqrt() * 83.0 + narrow(seconds.rem_euclid(600.0)) * 2.3).sin();
            let left = pixel((left as f32 + sway).max(0.0) + 0.5);
            for (column, colour) in self.board_row(mirrored - top).enumerate() {
                canvas.blend(left + column, row, lit(colour, seen), cover);
            }
        }
    }

    fn board_row(&self, row: usize) -> impl Iterator<Item = Rgb> {
        let row = row.min(self.board.height - 1);
        self.board.row(row).chunks_exact(3).map(|rgb| [f32::from(rgb[0]), f32::from(rgb[1]), f32::from(rgb[2])])
    }

    /// The time to the millisecond makes every picture's bytes its own.
    fn paint_caption(&self, canvas: &mut Canvas, now: CapturedAt, level_m: f64) {
        let top = self.layout.caption_top;
        for row in top..canvas.height {
            canvas.row_mut(row).fill(14);
        }
        let line = format!("{} UTC  SYNTHETIC  level {level_m:.2} m", now.format_utc("%Y-%m-%d %H:%M:%S.%3f"));
        let room = canvas.height - top;
        let (font, scale) = largest_font(line.len(), canvas.width * 49 / 50, room * 9 / 10);
        let size = font.character_size;
        let margin = (room - (size.height as usize * scale).min(room)) / 2;
        let left = (canvas.width - (line.len() * size.width as usize * scale).min(canvas.width)) / 2;
        canvas.text(&line, font, scale, (left, top + margin), [226.0, 228.0, 230.0]);
    }
}

/// By day the sun's light; at night the infrared lamp's, which makes the white board the brightest thing in view.
fn staff_light(light: &Light) -> Rgb {
    light.ambient.map(|part| part.max(0.80 * light.night).min(1.0))
}

/// The font and whole scale that give the highest letters for so many of them in this room, in pixels.
fn largest_font(letters: usize, width: usize, height: usize) -> (&'static MonoFont<'static>, usize) {
    const FONTS: [&MonoFont<'_>; 4] = [&FONT_6X10, &FONT_7X13, &FONT_9X15, &FONT_10X20];
    let scale = |font: &MonoFont<'_>| {
        let size = font.character_size;
        (width / (letters * size.width as usize)).min(height / size.height as usize)
    };
    let rated = FONTS.iter().map(|font| (*font, scale(font)));
    let best = rated.max_by_key(|(font, scale)| font.character_size.height as usize * scale);
    best.filter(|(_, scale)| *scale > 0).unwrap_or((&FONT_6X10, 1))
}
