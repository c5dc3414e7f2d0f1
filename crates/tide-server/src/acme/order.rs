//! One order for a certificate, from the account to the chain.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder, Order, OrderStatus,
    RetryPolicy,
};

use super::challenge::{Challenges, Presentation};
use super::{AcmeCertificate, AcmeFiles, Authority, web};

/// How long an authority may take for one step: to look at the name, to make the certificate.
const STEP: Duration = Duration::from_secs(120);

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// What RFC 8555 calls an account that an authority has forgotten.
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// Obtains a certificate.
///
/// # Errors
/// If the authority cannot be reached, or does not issue one; in its own words.
pub(super) async fn obtain(
    authority: &Authority,
    files: &AcmeFiles,
    challenges: &Challenges,
) -> anyhow::Result<AcmeCertificate> {
    let order = order(authority, files, challenges);
    tokio::time::timeout(PATIENCE, order).await.context("the authority did not finish the order in time")?
}

async fn order(authority: &Authority, files: &AcmeFiles, challenges: &Challenges) -> anyhow::Result<AcmeCertificate> {
    let account = account(authority, files).await?;
    let identifiers = [Identifier::Dns(authority.name.clone())];
    let mut order = match account.new_order(&NewOrder::new(&identifiers)).await {
        Err(Error::Api(problem)) if problem.r#type.as_deref() == Some(NO_ACCOUNT) => {
            files.forget_account()?;
            bail!("the authority does not know this server's account any more; the next attempt makes another");
        }
        order => order?,
    };
    // Presented until the authority has looked.
    let presentation = prove(&mut order, challenges).await?;
    let retries = RetryPolicy::new().timeout(STEP);
    if order.poll_ready(&retries).await? == OrderStatus::Invalid {
        bail!("the authority refused the name: {}", refusal(&mut order).await?);
    }
    drop(presentation);
    let key_pem = order.finalize().await?;
    let certificate_pem = order.poll_certificate(&retries).await?;
    let (directory, name) = (authority.directory.clone(), authority.name.clone());
    Ok(AcmeCertificate { directory, name, certificate_pem, key_pem })
}

/// The account that this server has, or a new one. Whoever names an authority in the settings agrees to its terms.
async fn account(authority: &Authority, files: &AcmeFiles) -> anyhow::Result<Account> {
    let client = Account::builder_with_http(web::client(authority.roots_pem.as_deref())?);
    if let Some(credentials) = files.account(authority)? {
        return Ok(client.from_credentials(credentials).await?);
    }
    let contact: Vec<&str> = authority.contact.as_deref().into_iter().collect();
    let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let (account, credentials) = client.create(&wanted, authority.directory.clone(), None).await?;
    files.keep_account(authority, credentials)?;
    Ok(account)
}

/// Presents what proves that the name is ours, unless the authority still remembers an earlier proof.
async fn prove<'a>(order: &mut Order, challenges: &'a Challenges) -> anyhow::Result<Option<Presentation<'a>>> {
    let mut presentation = None;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => (),
            status => bail!("the authority's proof of the name is {status:?}"),
        }
        ensure!(presentation.is_none(), "the authority wants more than one name proven");
        let mut challenge = authorization
            .challenge(ChallengeType::TlsAlpn01)
            .context("the authority does not look at names by TLS-ALPN-01; choose one that does")?;
        let name = challenge.identifier().to_string();
        let digest: [u8; 32] = challenge.key_authorization().digest().as_ref().try_into()?;
        presentation = Some(challenges.present(&name, &digest)?);
        challenge.set_ready().await?;
    }
    Ok(presentation)
}

/// Why the authority did not believe the proof.
async fn refusal(order: &mut Order) -> anyhow::Result<String> {
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let challenges = &authorization.refresh().await?.challenges;
        reasons.extend(challenges.iter().filter_map(|challenge| Some(challenge.error.as_ref()?.to_string())));
    }
    Ok(if reasons.is_empty() { "it gave no reason".to_owned() } else { reasons.join("; ") })
}
