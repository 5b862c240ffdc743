//! A certificate authority of a test.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// An authority that signs for servers and clients.
pub(crate) struct Authority {
    /// Its own certificate, in PEM.
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
pub(crate) struct Signed {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    /// An authority with a name.
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for a host, or of a client with that name.
    pub(crate) fn sign(&self, name: &str) -> Signed {
        self.sign_as(name, |_| {})
    }

    /// A certificate that ended long ago.
    pub(crate) fn sign_expired(&self, name: &str) -> Signed {
        self.sign_as(name, |params| params.not_after = rcgen::date_time_ymd(2001, 1, 1))
    }

    fn sign_as(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Signed {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let chain = params.signed_by(&key, &self.issuer).unwrap().pem();
        Signed { chain, key: key.serialize_pem() }
    }
}

impl Signed {
    /// Writes `NAME.crt` and `NAME.key`.
    pub(crate) fn write(&self, folder: &Path, name: &str) {
        fs::write(folder.join(format!("{name}.crt")), &self.chain).unwrap();
        fs::write(folder.join(format!("{name}.key")), &self.key).unwrap();
    }
}
