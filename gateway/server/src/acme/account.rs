//! The account at the server of ACME.

use super::https::Https;
use super::trouble::Trouble;
use super::vault::Vault;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fleetgate_core::acme::Failure;
use fleetgate_core::config::Acme;
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};

/// The kept account, or a new one.
pub(super) async fn account(settings: &Acme, https: &Https, vault: &Vault) -> Result<Account, Trouble> {
    let storage = |error: &dyn std::error::Error| {
        Trouble::new(Failure::Storage, format!("the ACME account cannot be kept or read: {error}"))
    };
    let builder = || Account::builder_with_http(Box::new(https.clone()));
    if let Some(kept) = vault.account().map_err(|error| storage(&error))? {
        let credentials: AccountCredentials =
            serde_json::from_slice(&kept).map_err(|error| storage(&error))?;
        return Ok(builder().from_credentials(credentials).await?);
    }
    let contact: Vec<&str> = settings.contact.iter().map(|contact| &**contact).collect();
    let wish = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let external = settings.external_account.as_ref().map(|account| {
        // The config was checked: the key is base64url.
        let key = URL_SAFE_NO_PAD.decode(account.hmac_key.reveal()).unwrap_or_default();
        ExternalAccountKey::new(account.key_id.to_string(), &key)
    });
    let directory = settings.directory.to_string();
    let (account, credentials) = builder().create(&wish, directory, external.as_ref()).await?;
    let credentials = serde_json::to_vec(&credentials).map_err(|error| storage(&error))?;
    vault.keep_account(&credentials).map_err(|error| storage(&error))?;
    tracing::info!(directory = &*settings.directory, account = account.id(), "an ACME account was made");
    Ok(account)
}
