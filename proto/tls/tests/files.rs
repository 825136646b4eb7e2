//! Files that cannot be used, flags that do not go together, and files that change while a daemon runs.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use chapada_harness::{Authority, Certificate};
use chapada_tls::{Acceptor, Dialer, TlsConfig, TlsFiles};

fn why(config: &TlsConfig) -> String {
    Acceptor::new(config).map(|_| ()).expect_err("it cannot be used").to_string()
}

fn whole(certificate: &Certificate) -> TlsConfig {
    let Certificate { cert, key, ca } = certificate.clone();
    TlsConfig {
        tls_cert: Some(cert),
        tls_key: Some(key),
        tls_ca: Some(ca),
        tls_require_client_cert: true,
        tls_also_plain: false,
    }
}

fn written(folder: &Path, name: &str, text: &str) -> Option<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, text).expect("a file");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("our own file");
    Some(path)
}

#[test]
fn flags_that_do_not_go_together_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = whole(&Authority::new(folder.path(), "ca").issue("m1", &["m1"]));
    let cases = [
        (TlsConfig { tls_key: None, ..config.clone() }, "--tls-cert needs --tls-key"),
        (TlsConfig { tls_cert: None, ..config.clone() }, "--tls-key needs --tls-cert"),
        (TlsConfig { tls_ca: None, ..config.clone() }, "--tls-require-client-cert needs --tls-ca"),
        (
            TlsConfig { tls_cert: None, tls_key: None, ..config.clone() },
            "--tls-require-client-cert needs --tls-cert",
        ),
        (TlsConfig { tls_also_plain: true, ..config.clone() }, "contradict each other"),
        (TlsConfig { tls_also_plain: true, ..TlsConfig::default() }, "--tls-also-plain needs --tls-cert"),
    ];
    for (config, wanted) in cases {
        let said = why(&config);
        assert!(said.contains(wanted), "{said}");
        assert_eq!(Dialer::of_daemon(&config).expect_err("the same").to_string(), said);
    }
    let dials_only = TlsFiles { tls_ca: None, ..config.files() };
    let said = Dialer::with(&dials_only).expect_err("nobody would be shown it").to_string();
    assert!(said.contains("--tls-cert needs --tls-ca"), "{said}");
    assert!(Acceptor::new(&TlsConfig::default()).expect("no flags").is_none());
    assert!(!Dialer::with(&TlsFiles::default()).expect("no flags").is_tls());
}

#[test]
fn files_that_cannot_be_used_are_named_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path(), "ca");
    let (one, two) = (authority.issue("one", &["m1"]), authority.issue("two", &["m1"]));
    let config = whole(&one);
    let text = |path: &Path| fs::read_to_string(path).expect("a file");
    let broken = text(&one.cert).replace("-----END", "-----");
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cases: [(TlsConfig, &[&str]); 9] = [
        (
            TlsConfig { tls_cert: Some("/nowhere/c".into()), ..config.clone() },
            &["--tls-cert /nowhere/c", "No such"],
        ),
        (
            TlsConfig { tls_cert: Some(one.key.clone()), ..config.clone() },
            &["holds no certificate", "private key"],
        ),
        (
            TlsConfig { tls_cert: written(folder.path(), "empty", ""), ..config.clone() },
            &["holds no certificate"],
        ),
        (TlsConfig { tls_cert: written(folder.path(), "broken", &broken), ..config.clone() }, &["damaged"]),
        (
            TlsConfig { tls_key: Some(two.key.clone()), ..config.clone() },
            &["does not belong to", "two.key", "one.pem"],
        ),
        (
            TlsConfig { tls_key: written(folder.path(), "cert.key", &text(&one.cert)), ..config.clone() },
            &["it is a certificate"],
        ),
        (
            TlsConfig { tls_key: written(folder.path(), "locked", locked), ..config.clone() },
            &["without a password"],
        ),
        (
            TlsConfig { tls_ca: written(folder.path(), "none", "\n"), ..config.clone() },
            &["--tls-ca", "holds no certificate"],
        ),
        (
            TlsConfig { tls_ca: written(folder.path(), "odd", no_certificate), ..config.clone() },
            &["--tls-ca", "damaged"],
        ),
    ];
    for (config, wanted) in cases {
        let said = why(&config);
        assert!(wanted.iter().all(|wanted| said.contains(wanted)), "{wanted:?}: {said}");
    }
    fs::set_permissions(&one.key, Permissions::from_mode(0o644)).expect("our own file");
    let said = why(&config);
    assert!(said.contains("one.key") && said.contains("mode 644") && said.contains("chmod 600"), "{said}");
}
