//! Posting the station's status.

use std::time::Duration;

use tide_photo::status::StationStatus;
use tide_photo::wire;

use super::{ServerLink, readable};

/// How long the whole may take: a few hundred bytes there and back, over any link that carries photos.
const POST: Duration = Duration::from_secs(60);

/// The way of a status to the server.
pub trait StatusLink: Send {
    /// Posts a status.
    ///
    /// # Errors
    /// Says why the server does not have it.
    fn post_status(&self, status: &StationStatus) -> impl Future<Output = Result<(), String>> + Send;
}

impl StatusLink for ServerLink {
    async fn post_status(&self, status: &StationStatus) -> Result<(), String> {
        let mut url = self.base.clone();
        url.set_path(wire::STATUS_PATH);
        url.set_query(None);
        let request = self.client.post(url).bearer_auth(self.token.reveal()).timeout(POST).json(status);
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("the server answered {}", answer.status())),
            Err(error) => Err(readable(&error)),
        }
    }
}
