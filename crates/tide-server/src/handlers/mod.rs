//! What the server answers: one file per feature.

pub mod assets;
pub mod gallery;
pub mod health;
pub mod images;
pub mod legacy_upload;
pub mod login;
pub mod openapi;
pub mod photo_page;
pub mod photos_json;
pub mod put_photo;
pub mod receipt;
pub mod stations;
pub mod status;
pub mod tus;

mod page;
mod station_facts;
mod tus_headers;
mod upload_form;

pub use page::{LoggedIn, PageError};
