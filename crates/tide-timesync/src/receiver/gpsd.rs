//! gpsd's JSON.
