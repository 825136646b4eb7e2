//! The flags of TLS: those of daemons, which listen and dial, and those of programs that only dial.

use std::path::{Path, PathBuf};

use crate::error::TlsError;

/// What a daemon shows of itself, and whom it believes. Without any of it everything is plain.
// Part of the configurations of daemons, which refuse what none of their parts knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, serde::Serialize, serde::Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct TlsConfig {
    /// Certificate of this process and those between it and its authority, in PEM: the port speaks TLS, and others of the cluster are
    /// shown it. Read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate, in PEM, which nobody but its owner may read. Read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Authorities that sign the certificates of the cluster, in PEM: others of the cluster are dialled under TLS and must show one
    /// of theirs. Read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// Take only callers who show a certificate that an authority of `--tls-ca` signed.
    #[arg(long)]
    pub tls_require_client_cert: bool,
    /// Take plain callers as well, for as long as a cluster changes over to TLS.
    #[arg(long)]
    pub tls_also_plain: bool,
}

/// What a program that only dials shows of itself, and whom it believes. Without any of it everything is plain.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct TlsFiles {
    /// Authorities that sign the certificates of the cluster, in PEM: it is dialled under TLS, and must show one of theirs.
    #[arg(long, value_name = "FILE", env = "CHAPADA_TLS_CA", global = true)]
    pub tls_ca: Option<PathBuf>,
    /// Certificate to show, in PEM, for a cluster that takes only callers with one.
    #[arg(long, value_name = "FILE", env = "CHAPADA_TLS_CERT", global = true)]
    pub tls_cert: Option<PathBuf>,
    /// Private key of that certificate, in PEM.
    #[arg(long, value_name = "FILE", env = "CHAPADA_TLS_KEY", global = true)]
    pub tls_key: Option<PathBuf>,
}

impl TlsFiles {
    /// Whether they belong together, for a program that only dials. The files are not looked at.
    ///
    /// # Errors
    /// The sentence that says which flag is missing.
    pub fn check(&self) -> Result<(), TlsError> {
        self.check_pair()?;
        match self.tls_cert.is_some() && self.tls_ca.is_none() {
            true => Err(TlsError::Together { given: "--tls-cert", missing: "--tls-ca" }),
            false => Ok(()),
        }
    }

    fn check_pair(&self) -> Result<(), TlsError> {
        match (self.tls_cert.is_some(), self.tls_key.is_some()) {
            (true, false) => Err(TlsError::Together { given: "--tls-cert", missing: "--tls-key" }),
            (false, true) => Err(TlsError::Together { given: "--tls-key", missing: "--tls-cert" }),
            _ => Ok(()),
        }
    }

    /// All that are named.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Path> {
        [&self.tls_cert, &self.tls_key, &self.tls_ca].into_iter().flatten().map(PathBuf::as_path)
    }
}

impl TlsConfig {
    /// What is shown, and who is believed.
    pub fn files(&self) -> TlsFiles {
        let Self { tls_cert, tls_key, tls_ca, .. } = self.clone();
        TlsFiles { tls_ca, tls_cert, tls_key }
    }

    /// Whether a port with this speaks TLS.
    pub fn serves(&self) -> bool {
        self.tls_cert.is_some()
    }

    /// Whether a port with this takes nobody but those whom an authority has signed for.
    pub fn admits_by_certificate(&self) -> bool {
        self.serves() && self.tls_require_client_cert && !self.tls_also_plain
    }

    /// Whether the flags belong together. The files are not looked at.
    ///
    /// # Errors
    /// The sentence that says which flag is missing or too many.
    pub fn check(&self) -> Result<(), TlsError> {
        self.files().check_pair()?;
        let cert = self.tls_cert.is_some();
        let require = self.tls_require_client_cert;
        if require && !cert {
            return Err(TlsError::Together { given: "--tls-require-client-cert", missing: "--tls-cert" });
        }
        if require && self.tls_ca.is_none() {
            return Err(TlsError::Together { given: "--tls-require-client-cert", missing: "--tls-ca" });
        }
        if self.tls_also_plain && !cert {
            return Err(TlsError::Together { given: "--tls-also-plain", missing: "--tls-cert" });
        }
        if self.tls_also_plain && require {
            return Err(TlsError::Contradiction);
        }
        Ok(())
    }
}
