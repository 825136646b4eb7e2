//! What went wrong in a handshake, in a sentence that says what to do.

use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, InvalidMessage};

/// The error of a handshake, or of what came after it, in words; anything else as it is.
pub(crate) fn explained(error: io::Error) -> io::Error {
    match error.get_ref().and_then(found) {
        Some(reason) => io::Error::new(error.kind(), sentence(reason)),
        None => error,
    }
}

/// Why a connection ended, as far as it is known: that the other side does not take our certificate is heard only after the
/// handshake, when HTTP may already have its own words for a connection that ends. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Farewell(Arc<Mutex<Option<String>>>);

impl Farewell {
    /// The sentence of the connection that ended last with one. It is said once: what fails later fails for its own reason.
    pub fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// As [`explained`], and keeps it.
    pub(crate) fn heard(&self, error: io::Error) -> io::Error {
        let Some(reason) = error.get_ref().and_then(found) else { return error };
        let sentence = sentence(reason);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sentence.clone());
        io::Error::new(error.kind(), sentence)
    }
}

fn found<'a>(error: &'a (dyn Error + Send + Sync + 'static)) -> Option<&'a rustls::Error> {
    error.downcast_ref::<rustls::Error>()
}

/// The same for one of rustls.
pub(crate) fn sentence(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => certificate(error),
        rustls::Error::AlertReceived(alert) => alerted(*alert),
        rustls::Error::NoCertificatesPresented => {
            "it shows no certificate, and only callers with one are taken: it needs --tls-cert and --tls-key"
                .to_owned()
        }
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the other side speaks no TLS here: give it a certificate (--tls-cert), or dial it without TLS (no --tls-ca; http://)"
                .to_owned()
        }
        rustls::Error::PeerIncompatible(why) => {
            format!("the other side speaks no TLS that is safe enough ({why:?}): it needs TLS 1.2 or 1.3")
        }
        other => format!("the TLS handshake failed: {other}"),
    }
}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "its certificate is signed by no authority of --tls-ca: have it signed by one of \
             them, or add the one that signed it"
            .to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => format!(
            "its certificate is for {}, not for {}: reach it under a name that it has, or have one made with this as a \
             subjectAltName",
            or_nobody(presented),
            expected.to_str()
        ),
        CertificateError::NotValidForName => {
            "its certificate is for another name: reach it under a name that it has".to_owned()
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("its certificate has expired at {}: have it renewed", when(*not_after))
        }
        CertificateError::Expired => "its certificate has expired: have it renewed".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("its certificate is not valid before {}: compare the clocks", when(*not_before))
        }
        CertificateError::NotValidYet => "its certificate is not valid yet: compare the clocks".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is not made for this (extendedKeyUsage): have one made for serverAuth and clientAuth".to_owned()
        }
        other => format!("its certificate is not accepted: {other}"),
    }
}

fn alerted(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => {
            "the other side does not know the authority that signed our certificate: have --tls-cert \
             signed by one of its --tls-ca"
                .to_owned()
        }
        AlertDescription::CertificateRequired => {
            "the other side takes only callers with a certificate: give --tls-cert and --tls-key".to_owned()
        }
        AlertDescription::CertificateExpired => {
            "the other side says that our certificate has expired: renew --tls-cert, or compare the clocks"
                .to_owned()
        }
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate => {
            format!("the other side does not accept our certificate ({alert:?}): look at --tls-cert")
        }
        AlertDescription::NoApplicationProtocol => {
            "the other side speaks neither HTTP/2 nor HTTP/1.1: is this the right port?".to_owned()
        }
        other => format!("the other side refused the TLS handshake ({other:?})"),
    }
}

fn or_nobody(presented: &[String]) -> String {
    match presented {
        [] => "nobody (it has no subjectAltName)".to_owned(),
        names => names.join(", "),
    }
}

fn when(time: UnixTime) -> String {
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs()));
    at.map_or_else(String::new, |at| humantime::format_rfc3339_seconds(at).to_string())
}
