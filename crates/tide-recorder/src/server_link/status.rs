//! Posting the station's status.

use std::time::Duration;

use reqwest::{Client, Url};
use tide_photo::status::StationStatus;
use tide_photo::wire;
use tide_settings::Hidden;

use super::ServerLink;
use super::answer::readable;

/// How long the whole may take: a few hundred bytes there and back, over any link that carries photos.
const POST: Duration = Duration::from_secs(60);

/// Where the station's status goes, over the photos' connections.
pub struct StatusPost {
    client: Client,
    url: Url,
    token: Hidden,
}

impl ServerLink {
    /// The way of the status to the same server.
    pub fn status_post(&self) -> StatusPost {
        let mut url = self.base.clone();
        url.set_path(wire::STATUS_PATH);
        url.set_query(None);
        StatusPost { client: self.client.clone(), url, token: self.token.clone() }
    }
}

impl StatusPost {
    /// Posts a status.
    ///
    /// # Errors
    /// Says why the server does not have it.
    pub async fn post(&self, status: &StationStatus) -> Result<(), String> {
        let request = self.client.post(self.url.clone()).bearer_auth(self.token.reveal()).timeout(POST).json(status);
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("the server answered {}", answer.status())),
            Err(error) => Err(readable(&error)),
        }
    }
}
