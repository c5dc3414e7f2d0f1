//! The server in its container, put there as a person does it: by the one command of the README.

mod deployment;
mod engine;
mod prototype;

pub use deployment::{Deployment, Shell};
pub use engine::{docker, image_facts};
pub use prototype::{OldFolder, make_prototype};
