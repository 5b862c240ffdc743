//! Certificates of ECDSA P-256, as most sites have, signed by an authority of their own.

use crate::Failure;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::fs;
use std::path::Path;

/// An authority.
pub(crate) struct Authority {
    /// Its certificate, in DER.
    pub(crate) der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Result<Self, Failure> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let der = params.self_signed(&key)?.der().to_vec();
        Ok(Self { der, issuer: Issuer::new(params, key) })
    }

    /// Writes `HOST.crt` and `HOST.key`.
    pub(crate) fn write(&self, folder: &Path, host: &str) -> Result<(), Failure> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(vec![host.to_owned()])?;
        let chain = params.signed_by(&key, &self.issuer)?.pem();
        fs::write(folder.join(format!("{host}.crt")), chain)?;
        fs::write(folder.join(format!("{host}.key")), key.serialize_pem())?;
        Ok(())
    }
}
