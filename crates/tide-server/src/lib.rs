//! The server's program: receives photos from stations, keeps their bytes and what is known about them, and shows them to
//! operators. `main` reads the command line; `serve` puts the parts together; `router` lists every address.

pub mod acme;
pub mod app;
pub mod catalog;
pub mod certificate;
pub mod check;
pub mod client_address;
pub mod commands;
pub mod config;
pub mod connections;
mod data_folder;
pub mod disk_guard;
pub mod first_start;
pub mod handlers;
pub mod import;
pub mod ingest;
pub mod left_behind;
pub mod login;
pub mod passwords;
pub mod photo_store;
pub mod refusal;
pub mod router;
pub mod secret;
pub mod serve;
pub mod station_auth;
pub mod throttle;
pub mod thumbnails;
pub mod uploads;
