//! What makes a card that was flashed and given one file into a station: at every boot its data partition is made, checked or
//! set aside, and `tide.toml` on the boot partition is read, judged and put into effect.

pub mod apply;
pub mod blanking;
pub mod commands;
pub mod config;
mod devices;
pub mod disk;
pub mod kept;
pub mod machine;
pub mod machine_id;
pub mod render;
pub mod second_copy;
pub mod settings;
pub mod status;
