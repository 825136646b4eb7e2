//! Certificates, keys and authorities as they lie in files.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::config::TlsFiles;
use crate::error::TlsError;
use crate::provider::provider;

const CERT: &str = "--tls-cert";
const KEY: &str = "--tls-key";
const CA: &str = "--tls-ca";

/// Larger than any chain of certificates or store of a system's authorities.
const MOST_BYTES: u64 = 4 * 1024 * 1024;
/// Permissions of the group and of others.
const OTHERS: u32 = 0o077;
/// The group may read.
const GROUP_READS: u32 = 0o040;

/// The certificate of this process, with its key; nothing when it has none.
pub(crate) fn identity(named: &TlsFiles) -> Result<Option<Arc<CertifiedKey>>, TlsError> {
    let (Some(cert), Some(key)) = (&named.tls_cert, &named.tls_key) else { return Ok(None) };
    let chain = certificates(CERT, cert)?;
    let der = private_key(key)?;
    let damaged =
        |why: rustls::Error| TlsError::Damaged { flag: KEY, path: key.clone(), why: why.to_string() };
    let signing = provider().key_provider.load_private_key(der).map_err(damaged)?;
    let identity = CertifiedKey::new(chain, signing);
    match identity.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(Some(Arc::new(identity)))
        }
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError::Mismatch { cert: cert.clone(), key: key.clone() })
        }
        Err(error) => Err(TlsError::Damaged { flag: CERT, path: cert.clone(), why: error.to_string() }),
    }
}

/// Those who sign for the cluster; nothing when none are named.
pub(crate) fn authorities(named: &TlsFiles) -> Result<Option<Arc<RootCertStore>>, TlsError> {
    let Some(path) = &named.tls_ca else { return Ok(None) };
    let mut store = RootCertStore::empty();
    for certificate in certificates(CA, path)? {
        let added = store.add(certificate);
        added.map_err(|error| TlsError::Damaged { flag: CA, path: path.clone(), why: error.to_string() })?;
    }
    Ok(Some(Arc::new(store)))
}

fn certificates(flag: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(flag, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| damaged(flag, path, &error))?;
    if found.is_empty() {
        let hint = if holds(&text, "PRIVATE KEY") { " (it is a private key)" } else { "" };
        let (path, wanted) = (path.to_owned(), "certificate");
        return Err(TlsError::Lacks { flag, path, wanted, label: "CERTIFICATE", hint });
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let failed = |source| TlsError::Read { flag: KEY, path: path.to_owned(), source };
    let about = fs::metadata(path).map_err(failed)?;
    let mode = about.mode() & 0o777;
    // As PostgreSQL has it: root may lend a key to a group.
    let is_lent = about.uid() == 0 && mode & OTHERS & !GROUP_READS == 0;
    if mode & OTHERS != 0 && !is_lent {
        return Err(TlsError::Open { flag: KEY, path: path.to_owned(), mode });
    }
    let text = read(KEY, path)?;
    let lacks = |hint| {
        let (path, wanted) = (path.to_owned(), "private key without a password");
        TlsError::Lacks { flag: KEY, path, wanted, label: "PRIVATE KEY", hint }
    };
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) if holds(&text, "ENCRYPTED") => Err(lacks(" (the one in it has one)")),
        Err(pem::Error::NoItemsFound) if holds(&text, "CERTIFICATE") => Err(lacks(" (it is a certificate)")),
        Err(pem::Error::NoItemsFound) => Err(lacks("")),
        Err(error) => Err(damaged(KEY, path, &error)),
    }
}

fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { flag, path: path.to_owned(), source };
    let mut text = Vec::new();
    File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut text)).map_err(failed)?;
    Ok(text)
}

fn damaged(flag: &'static str, path: &Path, error: &pem::Error) -> TlsError {
    TlsError::Damaged { flag, path: path.to_owned(), why: error.to_string() }
}

fn holds(text: &[u8], word: &str) -> bool {
    text.windows(word.len()).any(|window| window == word.as_bytes())
}
