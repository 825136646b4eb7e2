//! Certificates for clusters under TLS: an authority, and what it signs, as files.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};

/// Signs certificates, and keeps them in files in a folder.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
    file: PathBuf,
}

/// A certificate in files, with the authority that signed it.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authority.
    pub ca: PathBuf,
}

/// What a cluster under mutual TLS is made with.
#[derive(Debug)]
pub struct Tls {
    /// Who signs for it.
    pub authority: Authority,
    /// What the test itself shows.
    pub client: Certificate,
}

impl Tls {
    pub(crate) fn new(folder: &Path) -> Self {
        let authority = Authority::new(folder, "authority");
        let client = authority.issue("client", &[]);
        Self { authority, client }
    }

    /// Flags of a daemon that is reached at `ip:port`, with a certificate of its own.
    pub(crate) fn flags_for(&self, name: &str, address: &str) -> Vec<String> {
        let ip = address.split_once(':').map_or(address, |(ip, _)| ip);
        let mut flags = self.authority.issue(name, &[ip]).flags();
        flags.push("--tls-require-client-cert".to_owned());
        flags
    }
}

impl Authority {
    /// A new one, whose files are in `folder` and begin with `name`.
    ///
    /// # Panics
    /// When the files cannot be written.
    #[must_use]
    pub fn new(folder: &Path, name: &str) -> Self {
        fs::create_dir_all(folder).expect("a folder for certificates");
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate of an authority");
        let file = folder.join(format!("{name}.pem"));
        fs::write(&file, issuer.pem()).expect("a file");
        Self { issuer, folder: folder.to_owned(), file }
    }

    /// The file with the authority's own certificate.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Signs a certificate for these names and addresses, for either end of a connection. Files of the same name are replaced.
    ///
    /// # Panics
    /// When the files cannot be written.
    #[must_use]
    pub fn issue(&self, name: &str, reached_as: &[&str]) -> Certificate {
        self.sign(name, params(name, reached_as))
    }

    /// The same, valid until the end of a year that is long over.
    ///
    /// # Panics
    /// As [`Authority::issue`].
    #[must_use]
    pub fn issue_expired(&self, name: &str, reached_as: &[&str]) -> Certificate {
        let mut params = params(name, reached_as);
        params.not_after = date_time_ymd(2001, 12, 31);
        self.sign(name, params)
    }

    fn sign(&self, name: &str, params: CertificateParams) -> Certificate {
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.issuer).expect("a certificate");
        let [cert, private] = ["pem", "key"].map(|kind| self.folder.join(format!("{name}.{kind}")));
        fs::write(&cert, signed.pem()).expect("a file");
        fs::write(&private, key.serialize_pem()).expect("a file");
        fs::set_permissions(&private, Permissions::from_mode(0o600)).expect("our own file");
        Certificate { cert, key: private, ca: self.file.clone() }
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Certificate {
    /// Flags of a program that shows it and believes its authority.
    #[must_use]
    pub fn flags(&self) -> Vec<String> {
        let files = [("--tls-cert", &self.cert), ("--tls-key", &self.key), ("--tls-ca", &self.ca)];
        files.iter().flat_map(|(flag, file)| [(*flag).to_owned(), file.display().to_string()]).collect()
    }
}

/// An authority without a common name is not believed by OpenSSL.
fn params(name: &str, reached_as: &[&str]) -> CertificateParams {
    let names: Vec<String> = reached_as.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names of a certificate");
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params
}
