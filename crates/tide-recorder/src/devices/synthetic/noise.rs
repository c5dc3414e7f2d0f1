//! Irregularity without a random number: the same place always gives the same value.

use super::number::whole;

/// Side of the lattice, in cells; the noise repeats after as many.
const SIDE: usize = 64;

/// Mixes two numbers into one that looks like chance (the finalizer of MurmurHash3).
pub(super) fn hash(a: u32, b: u32) -> u32 {
    let mut bits = a.wrapping_mul(0x9E37_79B1) ^ b.wrapping_mul(0x85EB_CA77).rotate_left(13);
    bits = (bits ^ (bits >> 16)).wrapping_mul(0x85EB_CA6B);
    bits = (bits ^ (bits >> 13)).wrapping_mul(0xC2B2_AE35);
    bits ^ (bits >> 16)
}

/// The same between 0 and 1.
pub(super) fn chance(a: u32, b: u32) -> f32 {
    hash(a, b) as f32 / u32::MAX as f32
}

/// Smooth noise between 0 and 1 on the plane, repeating every 64 units.
pub(super) struct Lattice {
    values: Vec<f32>,
}

impl Lattice {
    /// Another seed gives another landscape.
    pub(super) fn new(seed: u32) -> Self {
        Self { values: (0..).take(SIDE * SIDE).map(|cell| chance(cell, seed)).collect() }
    }

    /// One layer, with features one unit wide.
    pub(super) fn value(&self, x: f32, y: f32) -> f32 {
        let (column, row) = (whole(x), whole(y));
        let (across, down) = (ease(x - column as f32), ease(y - row as f32));
        let (column, row) = (column.cast_unsigned() as usize % SIDE, row.cast_unsigned() as usize % SIDE);
        let (right, below) = ((column + 1) % SIDE, (row + 1) % SIDE * SIDE);
        let row = row * SIDE;
        let upper = self.values[row + column] + (self.values[row + right] - self.values[row + column]) * across;
        let lower = self.values[below + column] + (self.values[below + right] - self.values[below + column]) * across;
        upper + (lower - upper) * down
    }

    /// Unsmoothed: one value between 0 and 1 for each number.
    pub(super) fn speckle(&self, index: usize) -> f32 {
        self.values[index % self.values.len()]
    }

    /// Layers of ever finer features, each half as strong as the one before.
    pub(super) fn layers(&self, x: f32, y: f32, count: u8) -> f32 {
        let (mut sum, mut strength, mut scale) = (0.0, 0.5, 1.0);
        for _ in 0..count {
            sum += strength * self.value(x * scale, y * scale);
            strength *= 0.5;
            scale *= 2.0;
        }
        sum / (1.0 - 2.0 * strength)
    }
}

fn ease(part: f32) -> f32 {
    part * part * (3.0 - 2.0 * part)
}
