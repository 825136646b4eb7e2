//! Who must be at the other end: a certificate is asked for any of several names.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// The names that may be verified, each a host name or an IP address; what is neither is left out.
pub(crate) fn server_names(names: &[&str]) -> Vec<ServerName<'static>> {
    let mut known: Vec<ServerName<'static>> = Vec::new();
    for name in names {
        let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let parsed = match name.parse::<IpAddr>() {
            Ok(address) => Some(ServerName::IpAddress(address.to_canonical().into())),
            Err(_) => ServerName::try_from(name.trim_end_matches('.').to_owned()).ok(),
        };
        if let Some(name) = parsed.filter(|name| !known.contains(name)) {
            known.push(name);
        }
    }
    known
}

/// Takes a certificate for one of several names. All of them were said by who named the address, so each is as good as
/// the other; an address that DNS gave is not among them.
#[derive(Debug)]
pub(crate) struct AnyOf {
    inner: Arc<WebPkiServerVerifier>,
    names: Vec<ServerName<'static>>,
}

impl AnyOf {
    pub(crate) fn new(inner: Arc<WebPkiServerVerifier>, names: Vec<ServerName<'static>>) -> Self {
        Self { inner, names }
    }
}

impl ServerCertVerifier for AnyOf {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _asked: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut first = None;
        for name in &self.names {
            match self.inner.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
                Err(error) if is_about_the_name(&error) => _ = first.get_or_insert(error),
                decided => return decided,
            }
        }
        Err(first.unwrap_or(Error::InvalidCertificate(CertificateError::NotValidForName)))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn is_about_the_name(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        )
    )
}
