//! The tide staff: where it stands in the picture, and its board.

use std::ops::Range;

use embedded_graphics::mono_font::MonoFont;
use embedded_graphics::mono_font::ascii::{FONT_6X10, FONT_7X13_BOLD, FONT_9X15_BOLD, FONT_10X20};

use super::canvas::{Canvas, Rgb};
use super::number::{narrow, pixel};

/// The highest mark, in metres above the staff's zero.
pub const STAFF_METRES: u32 = 3;

/// What the board has above its highest mark, in metres.
const HEADROOM_M: f64 = 0.12;
/// The zero, in parts of the picture's height; always under water.
const ZERO_PART: f64 = 0.90;
/// One metre, in parts of the picture's height.
const METRE_PART: f64 = 0.22;

const WHITE: Rgb = [240.0, 240.0, 234.0];
const BLACK: Rgb = [22.0, 22.0, 26.0];
const RED: Rgb = [196.0, 24.0, 28.0];

/// Where the staff is in a picture, in pixels from the top left corner. Row `r` covers the heights between `r` and `r + 1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StaffGeometry {
    /// First column of the board.
    pub left: u32,
    /// The column after the board's last.
    pub right: u32,
    /// The row of the staff's zero.
    pub zero_row: f64,
    /// Rows from one metre to the next.
    pub rows_per_metre: f64,
}

impl StaffGeometry {
    /// The staff in a picture of this size, in pixels.
    pub fn for_size(width_px: u32, height_px: u32) -> Self {
        let board_px = (height_px * 2 / 25).min(width_px / 8);
        let left = width_px * 3 / 4;
        let height = f64::from(height_px);
        Self { left, right: left + board_px, zero_row: ZERO_PART * height, rows_per_metre: METRE_PART * height }
    }

    /// The row at which water of this level, in metres above the staff's zero, cuts the board.
    pub fn row_of(&self, level_m: f64) -> f64 {
        self.zero_row - level_m * self.rows_per_metre
    }

    /// The level in metres above the staff's zero that a row stands for.
    pub fn level_at(&self, row: f64) -> f64 {
        (self.zero_row - row) / self.rows_per_metre
    }

    /// The columns at the board's right edge that are white from top to bottom, for whoever looks for the waterline.
    pub fn blank_columns(&self) -> Range<u32> {
        let board_px = self.right - self.left;
        self.right - board_px / 8..self.right - board_px / 32 - 1
    }

    /// The board's first row.
    pub(super) fn top_row(&self) -> usize {
        pixel(narrow(self.row_of(f64::from(STAFF_METRES) + HEADROOM_M)))
    }
}

/// The board as it was painted: blocks of 10 cm, ticks, black decimetres, red metres. Its top left pixel is the picture's
/// pixel at (`left`, `top_row()`); it ends just below the zero.
pub(super) fn paint_board(geometry: &StaffGeometry) -> Canvas {
    let top = geometry.top_row();
    let rows = pixel(narrow(geometry.zero_row)) + 2 - top;
    let board = Board {
        canvas: Canvas::new((geometry.right - geometry.left) as usize, rows),
        zero: narrow(geometry.zero_row) - top as f32,
        decimetre: narrow(geometry.rows_per_metre) / 10.0,
    };
    board.painted()
}

struct Board {
    canvas: Canvas,
    zero: f32,
    decimetre: f32,
}

impl Board {
    fn painted(mut self) -> Canvas {
        let (width, rows) = (self.canvas.width as f32, self.canvas.height as f32);
        self.canvas.fill(0.0..width, 0.0..rows, WHITE, 1.0);
        for mark in 0..STAFF_METRES * 10 {
            self.block(mark);
        }
        for mark in 0..=STAFF_METRES * 10 {
            self.number(mark);
        }
        self.canvas
    }

    fn row_of(&self, mark: u32) -> f32 {
        self.zero - mark as f32 * self.decimetre
    }

    /// Ten centimetres, black on the left where the next ten are black on the right, with a tick at five.
    fn block(&mut self, mark: u32) {
        let width = self.canvas.width as f32;
        let (top, bottom) = (self.row_of(mark + 1), self.row_of(mark));
        let column = if mark.is_multiple_of(2) { 0.05 } else { 0.24 };
        self.canvas.fill(width * column..width * (column + 0.19), top..bottom, BLACK, 1.0);
        let middle = (top + bottom) / 2.0;
        let half_tick = self.decimetre / 24.0;
        let tick = width * (0.29 - column)..width * (0.39 - column);
        self.canvas.fill(tick, middle - half_tick..middle + half_tick, BLACK, 0.8);
    }

    /// Full metres large and red with a line through the blocks; decimetres small and black where there is room.
    fn number(&mut self, mark: u32) {
        let row = self.row_of(mark);
        if mark.is_multiple_of(10) {
            let half_line = self.decimetre / 14.0;
            let width = self.canvas.width as f32;
            self.canvas.fill(0.0..width * 0.46, row - half_line..row + half_line, RED, 1.0);
            self.digit(mark / 10, row, self.decimetre * 2.2, RED);
        } else if self.decimetre >= 9.0 && mark % 10 != 1 && mark % 10 != 9 {
            self.digit(mark % 10, row, self.decimetre * 0.95, BLACK);
        }
    }

    /// A digit whose middle is at `row`, as large as fits into `room` rows and the right part of the board.
    fn digit(&mut self, digit: u32, row: f32, room: f32, colour: Rgb) {
        const FONTS: [&MonoFont<'_>; 4] = [&FONT_10X20, &FONT_9X15_BOLD, &FONT_7X13_BOLD, &FONT_6X10];
        let width = self.canvas.width as f32;
        let columns = width * 0.40;
        let fits = |font: &MonoFont<'_>| {
            let size = font.character_size;
            pixel((columns / size.width as f32).min(room / (size.height as f32 * 0.8)))
        };
        let best = FONTS.iter().map(|font| (font.character_size.height as usize * fits(font), *font));
        let Some((height, font)) = best.max_by_key(|(height, _)| *height).filter(|(height, _)| *height > 0) else {
            return;
        };
        let scale = height / font.character_size.height as usize;
        let left = pixel(width * 0.68 - (font.character_size.width as usize * scale) as f32 / 2.0);
        let top = pixel((row - height as f32 / 2.0).max(0.0));
        self.canvas.text(&digit.to_string(), font, scale, (left, top), colour);
    }
}

#[cfg(test)]
mod tests {
    use super::super::canvas::bytes;
    use super::*;

    const SIZES: [(u32, u32); 4] = [(320, 240), (1280, 720), (1920, 1080), (4056, 3040)];

    #[test]
    fn rows_and_levels_are_each_others_inverse() {
        for (width, height) in SIZES {
            let staff = StaffGeometry::for_size(width, height);
            for level in [0.0, 0.3, 1.234, 3.0] {
                assert!((staff.level_at(staff.row_of(level)) - level).abs() < 1e-9, "{width} x {height}, {level} m");
            }
            assert!(staff.row_of(3.0) > 0.0 && staff.zero_row < f64::from(height) && staff.right < width);
        }
    }

    #[test]
    fn the_blank_columns_are_white_from_top_to_bottom() {
        for (width, height) in SIZES {
            let staff = StaffGeometry::for_size(width, height);
            let board = paint_board(&staff);
            let blank = staff.blank_columns();
            assert!(!blank.is_empty(), "{width} x {height}");
            for row in 0..board.height {
                for column in blank.clone() {
                    let at = (column - staff.left) as usize * 3;
                    assert_eq!(
                        board.row(row)[at..at + 3],
                        bytes(WHITE),
                        "{width} x {height}, row {row}, column {column}"
                    );
                }
            }
        }
    }
}
