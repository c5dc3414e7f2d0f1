//! Pixels to paint on: blending, soft surfaces, text, and the JPEG at the end.

use std::convert::Infallible;
use std::ops::Range;

use embedded_graphics::Drawable;
use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::text::{Baseline, Text};
use image::ExtendedColorType;
use image::ImageResult;
use image::codecs::jpeg::JpegEncoder;

use super::number::{channel, pixel, whole};

/// Red, green, blue, each 0 to 255.
pub(super) type Rgb = [f32; 3];

/// Keeps gradients smooth and files small; below 80, blocks show in the night sky.
const JPEG_QUALITY: u8 = 85;

/// Thresholds of an ordered dither, in 256ths of a brightness step: without it the night sky shows its steps as bands.
const DITHER: [[i32; 4]; 4] = [[0, 128, 32, 160], [192, 64, 224, 96], [48, 176, 16, 144], [240, 112, 208, 80]];

/// Between `from` (at 0) and `to` (at 1).
pub(super) fn mix(from: Rgb, to: Rgb, part: f32) -> Rgb {
    [from[0] + (to[0] - from[0]) * part, from[1] + (to[1] - from[1]) * part, from[2] + (to[2] - from[2]) * part]
}

/// A surface under a coloured light, where 1 is full daylight.
pub(super) fn lit(surface: Rgb, light: Rgb) -> Rgb {
    [surface[0] * light[0], surface[1] * light[1], surface[2] * light[2]]
}

/// As bytes.
pub(super) fn bytes(colour: Rgb) -> [u8; 3] {
    colour.map(channel)
}

/// An RGB picture, row by row from the top left.
pub(super) struct Canvas {
    pub(super) width: usize,
    pub(super) height: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![0; width * height * 3] }
    }

    pub(super) fn row(&self, row: usize) -> &[u8] {
        &self.pixels[row * self.width * 3..(row + 1) * self.width * 3]
    }

    pub(super) fn row_mut(&mut self, row: usize) -> &mut [u8] {
        &mut self.pixels[row * self.width * 3..(row + 1) * self.width * 3]
    }

    /// Covers a part of one pixel (0 none of it, 1 all of it). Outside the picture nothing happens.
    pub(super) fn blend(&mut self, column: usize, row: usize, colour: Rgb, cover: f32) {
        if column < self.width && row < self.height && cover > 0.0 {
            let at = (row * self.width + column) * 3;
            for (old, new) in self.pixels[at..at + 3].iter_mut().zip(colour) {
                let before = f32::from(*old);
                *old = channel(before + (new - before) * cover.min(1.0) + 0.5);
            }
        }
    }

    /// An upright rectangle whose edges may lie between pixels.
    pub(super) fn fill(&mut self, columns: Range<f32>, rows: Range<f32>, colour: Rgb, cover: f32) {
        for row in pixel(rows.start)..pixel(rows.end.ceil()).min(self.height) {
            let down = overlap(row, &rows);
            for column in pixel(columns.start)..pixel(columns.end.ceil()).min(self.width) {
                self.blend(column, row, colour, cover * down * overlap(column, &columns));
            }
        }
    }

    /// A disc with a soft edge one pixel wide.
    pub(super) fn disc(&mut self, x: f32, y: f32, radius: f32, colour: Rgb, cover: f32) {
        self.round(x, y, radius + 1.0, |distance| (colour, cover * (radius + 0.5 - distance).clamp(0.0, 1.0)));
    }

    /// Light around a lamp, gone at `radius`.
    pub(super) fn halo(&mut self, x: f32, y: f32, radius: f32, colour: Rgb, strength: f32) {
        self.round(x, y, radius, |distance| {
            let near = (1.0 - distance / radius).max(0.0);
            (colour, strength * near * near * near)
        });
    }

    fn round(&mut self, x: f32, y: f32, radius: f32, paint: impl Fn(f32) -> (Rgb, f32)) {
        for row in pixel(y - radius)..pixel(y + radius + 1.0).min(self.height) {
            for column in pixel(x - radius)..pixel(x + radius + 1.0).min(self.width) {
                let (across, down) = (column as f32 + 0.5 - x, row as f32 + 0.5 - y);
                let (colour, cover) = paint((across * across + down * down).sqrt());
                self.blend(column, row, colour, cover);
            }
        }
    }

    /// A surface without sharp edges over the rows above `end_row`: asked once per corner of a cell, and blended between.
    pub(super) fn paint_soft(&mut self, end_row: usize, cell: usize, colour_at: impl Fn(f32, f32) -> Rgb) {
        let corners = self.width.div_ceil(cell) + 1;
        let corner_row = |row: usize| -> Vec<[i32; 3]> {
            let fixed = |value: f32| whole(value.clamp(0.0, 254.0) * 256.0);
            (0..corners).map(|corner| colour_at((corner * cell) as f32, row as f32).map(fixed)).collect()
        };
        let mut upper = corner_row(0);
        for top in (0..end_row).step_by(cell) {
            let lower = corner_row(top + cell);
            for row in top..(top + cell).min(end_row) {
                self.paint_soft_row(row, cell, &between(&upper, &lower, row - top, cell));
            }
            upper = lower;
        }
    }

    fn paint_soft_row(&mut self, row: usize, cell: usize, corners: &[[i32; 3]]) {
        let dither = DITHER[row % 4];
        let cells = self.row_mut(row).chunks_mut(cell * 3);
        for (run, ends) in cells.zip(corners.windows(2)) {
            let steps = [0, 1, 2].map(|at| (ends[1][at] - ends[0][at]) / signed(cell));
            let mut colour = ends[0];
            for (column, rgb) in run.chunks_exact_mut(3).enumerate() {
                let lift = dither[column % 4];
                rgb[0] = high_byte(colour[0] + lift);
                rgb[1] = high_byte(colour[1] + lift);
                rgb[2] = high_byte(colour[2] + lift);
                colour = [colour[0] + steps[0], colour[1] + steps[1], colour[2] + steps[2]];
            }
        }
    }

    /// Writes one line; `left`, `top` and every dot of the font are multiplied by `scale` pixels as a whole.
    pub(super) fn text(&mut self, line: &str, font: &MonoFont<'_>, scale: usize, corner: (usize, usize), colour: Rgb) {
        let mut ink = Ink { canvas: self, scale, corner, colour };
        let style = MonoTextStyle::new(font, BinaryColor::On);
        let Ok(_next) = Text::with_baseline(line, Point::zero(), style, Baseline::Top).draw(&mut ink);
    }

    /// The picture as it would come from a camera.
    ///
    /// # Errors
    /// If the size is beyond what a JPEG can say.
    pub(super) fn to_jpeg(&self) -> ImageResult<Vec<u8>> {
        let (width, height) = (u32::try_from(self.width), u32::try_from(self.height));
        let mut jpeg = Vec::with_capacity(self.pixels.len() / 8);
        let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY);
        encoder.encode(&self.pixels, width.unwrap_or(0), height.unwrap_or(0), ExtendedColorType::Rgb8)?;
        Ok(jpeg)
    }
}

/// How much of a pixel lies within a range.
fn overlap(pixel: usize, range: &Range<f32>) -> f32 {
    let start = pixel as f32;
    ((start + 1.0).min(range.end) - start.max(range.start)).clamp(0.0, 1.0)
}

fn between(upper: &[[i32; 3]], lower: &[[i32; 3]], step: usize, steps: usize) -> Vec<[i32; 3]> {
    let (step, steps) = (signed(step), signed(steps));
    let channel = |from: i32, to: i32| from + (to - from) * step / steps;
    upper.iter().zip(lower).map(|(from, to)| [0, 1, 2].map(|at| channel(from[at], to[at]))).collect()
}

fn signed(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// From 256ths of a brightness step; both ends of every blend are within 0 to 254, so nothing is cut off.
fn high_byte(fixed: i32) -> u8 {
    fixed.to_le_bytes()[1]
}

/// Lets the font's dots fall onto a canvas as squares.
struct Ink<'a> {
    canvas: &'a mut Canvas,
    scale: usize,
    corner: (usize, usize),
    colour: Rgb,
}

impl OriginDimensions for Ink<'_> {
    fn size(&self) -> Size {
        Size::new_equal(u32::MAX)
    }
}

impl DrawTarget for Ink<'_> {
    type Color = BinaryColor;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<BinaryColor>>>(&mut self, dots: I) -> Result<(), Infallible> {
        for Pixel(dot, _) in dots.into_iter().filter(|Pixel(_, colour)| colour.is_on()) {
            let (Ok(column), Ok(row)) = (usize::try_from(dot.x), usize::try_from(dot.y)) else { continue };
            let (left, top) = (self.corner.0 + column * self.scale, self.corner.1 + row * self.scale);
            for row in top..top + self.scale {
                for column in left..left + self.scale {
                    self.canvas.blend(column, row, self.colour, 1.0);
                }
            }
        }
        Ok(())
    }
}
