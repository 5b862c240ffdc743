//! One order, from the wish to the certificate (RFC 8555, section 7.4).

use super::proof::{Proofs, kind};
use super::trouble::Trouble;
use fleetgate_core::acme::{Challenge, Failure};
use fleetgate_core::host::HostPattern;
use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, Identifier, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use std::time::Duration;
use tokio::time::timeout;

/// For one order, whatever the server does.
const ORDER_TIMEOUT: Duration = Duration::from_secs(180);
/// How often the server is asked whether it is done.
const POLLS: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(100))
    .backoff(1.5)
    .timeout(Duration::from_secs(75));

/// What is asked for.
pub(super) struct Wish {
    pub(super) name: HostPattern,
    pub(super) challenge: Challenge,
    /// The certificate that this one replaces, for servers that want to know (RFC 9773, section 5).
    pub(super) replaces: Option<CertificateIdentifier<'static>>,
}

/// Orders a certificate. Returns its key and chain in PEM, in one text.
pub(super) async fn issue(account: &Account, wish: &Wish, proofs: &Proofs) -> Result<String, Trouble> {
    let ended = timeout(ORDER_TIMEOUT, order(account, wish, proofs)).await;
    proofs.withdraw().await;
    ended.unwrap_or_else(|_| Err(Trouble::new(Failure::Unreachable, "the server did not finish in 180 s")))
}

async fn order(account: &Account, wish: &Wish, proofs: &Proofs) -> Result<String, Trouble> {
    let names = [Identifier::Dns(wish.name.to_string())];
    let mut wanted = NewOrder::new(&names);
    if let Some(replaced) = &wish.replaces {
        wanted = wanted.replaces(replaced.clone());
    }
    let mut order = account.new_order(&wanted).await?;
    prove(&mut order, wish, proofs).await?;
    match order.poll_ready(&POLLS).await {
        Ok(OrderStatus::Ready) => {}
        Ok(_) | Err(instant_acme::Error::Api(_)) => return Err(refusal(&mut order).await),
        Err(error) => return Err(error.into()),
    }
    let made = |error: rcgen::Error| Trouble::new(Failure::Storage, format!("no key could be made: {error}"));
    let mut params = CertificateParams::new(vec![wish.name.to_string()]).map_err(made)?;
    params.distinguished_name = DistinguishedName::new();
    let key = KeyPair::generate().map_err(made)?;
    let request = params.serialize_request(&key).map_err(made)?;
    order.finalize_csr(request.der()).await?;
    let chain = order.poll_certificate(&POLLS).await?;
    Ok(key.serialize_pem() + &chain)
}

/// Shows what the server asks for, unless it believes us already.
async fn prove(order: &mut Order, wish: &Wish, proofs: &Proofs) -> Result<(), Trouble> {
    let host = match &wish.name {
        HostPattern::Exact(host) | HostPattern::Suffix(host) => host.as_str(),
    };
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        if authorization.status != AuthorizationStatus::Pending {
            let message = format!("the server's authorization is {:?}", authorization.status);
            return Err(Trouble::new(Failure::Refused, message));
        }
        let mut asked = authorization.challenge(kind(wish.challenge)).ok_or_else(|| {
            let way = wish.challenge.as_str();
            Trouble::new(
                Failure::Refused,
                format!("the server takes no {way} for it; change `acme.challenges`"),
            )
        })?;
        proofs.show(wish.challenge, host, &asked).await?;
        asked.set_ready().await?;
    }
    Ok(())
}

/// Why an order is lost: what the server says about its challenges.
async fn refusal(order: &mut Order) -> Trouble {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.clone()) {
            return instant_acme::Error::Api(problem).into();
        }
    }
    let problem = order.state().error.clone();
    problem.map_or_else(
        || Trouble::new(Failure::Refused, "the server refused without a reason"),
        |problem| instant_acme::Error::Api(problem).into(),
    )
}
