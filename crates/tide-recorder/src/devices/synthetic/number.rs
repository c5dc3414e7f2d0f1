//! The few conversions between numbers that the picture needs, each in one place and none of them able to wrap around.

/// A colour channel: 0 to 255, and the nearest of them for what lies outside.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from float to integer saturates")]
pub(super) fn channel(value: f32) -> u8 {
    value as u8
}

/// The row or column that holds a coordinate; 0 for what lies left of or above the picture.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from float to integer saturates")]
pub(super) fn pixel(coordinate: f32) -> usize {
    coordinate as usize
}

/// The whole number below.
#[expect(clippy::cast_possible_truncation, reason = "a cast from float to integer saturates")]
pub(super) fn whole(value: f32) -> i32 {
    value.floor() as i32
}

/// A part of a full turn in 2^32 steps, so that adding phases wraps around where a turn does.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the fraction of a turn fits by construction"
)]
pub(super) fn turn(turns: f64) -> u32 {
    (turns.rem_euclid(1.0) * 4_294_967_296.0) as u32
}

/// Single precision is enough for places and colours, once large times are brought down to one period.
#[expect(clippy::cast_possible_truncation, reason = "the digits lost are far below a pixel")]
pub(super) fn narrow(value: f64) -> f32 {
    value as f32
}

/// 0 below `from`, 1 above `to`, and a smooth way between.
pub(super) fn smooth_step(from: f32, to: f32, value: f32) -> f32 {
    let part = ((value - from) / (to - from)).clamp(0.0, 1.0);
    part * part * (3.0 - 2.0 * part)
}
