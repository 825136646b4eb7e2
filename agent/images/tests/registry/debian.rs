//! Debian's `docker-registry`, with images that `umoci` builds and `skopeo` pushes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use chapada_images::{Credentials, Freshness, RootFs};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::json;

use crate::fixture::{Machine, everything_in};

const CANARY: &str = "canary-of-a-password";
/// Of that password, at the least cost.
const HTPASSWD: &str = "$2b$04$VNUkNrxFXY3iNiTROEKEsO7g1WH5gbwrCrnhLgJGnzfanHkXdvQuS";

pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; cargo xtask install"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Builds an image of two layers, whose second deletes a file of the first, below `work/layout`, tagged with its text.
pub(crate) fn build(work: &Path, text: &str) {
    let (layout, bundle) = (work.join("layout"), work.join(format!("bundle-{text}")));
    let umoci = |arguments: &[&str]| {
        let image = format!("{}:{text}", layout.display());
        let mut command = Command::new("umoci");
        command.args(&arguments[..1]).args(["--image", &image]).args(&arguments[1..]);
        run(&mut command);
    };
    if !layout.exists() {
        run(Command::new("umoci").args(["init", "--layout"]).arg(&layout));
    }
    umoci(&["new"]);
    umoci(&["unpack", bundle.to_str().unwrap()]);
    let root = bundle.join("rootfs");
    for directory in ["bin", "etc", "tmp"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::set_permissions(root.join("tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    symlink("busybox", root.join("bin/sh")).unwrap();
    fs::write(root.join("etc/gone"), "x").unwrap();
    fs::write(root.join("etc/motd"), text).unwrap();
    umoci(&["repack", "--refresh-bundle", bundle.to_str().unwrap()]);
    fs::remove_file(root.join("etc/gone")).unwrap();
    fs::write(root.join("tmp/second"), text).unwrap();
    umoci(&["repack", bundle.to_str().unwrap()]);
    umoci(&[
        "config",
        "--config.entrypoint",
        "/bin/sh",
        "--config.entrypoint",
        "-c",
        "--config.env",
        "A=image",
    ]);
}

/// A registry, ended when it is dropped.
pub(crate) struct Registry {
    child: Child,
    pub(crate) host: String,
}

impl Registry {
    /// `more` is appended to the section `http` of its configuration, and `auth` a section of its own.
    pub(crate) fn start(work: &Path, tls: &str, auth: &str) -> Self {
        let config = work.join("registry.yml");
        let data = work.join("data");
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp:\n  addr: 127.0.0.1:0\n{tls}{auth}",
            data.display()
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("docker-registry: {error}; cargo xtask install"));
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let listening = log.by_ref().find_map(|line| {
            let line = line.unwrap();
            let after = line.split("listening on ").nth(1)?;
            Some(after.split([',', '"', ' ']).next()?.to_owned())
        });
        // Its log must not fill the pipe.
        std::thread::spawn(move || log.for_each(drop));
        Self { child, host: listening.expect("docker-registry says where it listens") }
    }

    fn push(&self, work: &Path, text: &str, more: &[&str]) {
        let mut copy = Command::new("skopeo");
        copy.args(["copy", "--quiet", "--dest-tls-verify=false"]).args(more);
        copy.arg(format!("oci:{}:{text}", work.join("layout").display()));
        run(copy.arg(format!("docker://{}/lab/busy:{text}", self.host)));
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test]
async fn images_of_a_real_registry_by_tag_and_by_digest() {
    let machine = Machine::new(|_| {});
    let work = machine.directory.path();
    let registry = Registry::start(work, "", "");
    build(work, "one");
    build(work, "two");
    registry.push(work, "one", &["--format", "oci"]);
    registry.push(work, "two", &["--format", "v2s2"]);
    let machine = Machine::new(|settings| settings.plain_http = vec![registry.host.clone()]);
    let one = machine.pull(&format!("{}/lab/busy:one", registry.host)).await.unwrap();
    let two = machine.pull(&format!("{}/lab/busy:two", registry.host)).await.unwrap();
    let by_digest = machine.pull(&format!("{}/lab/busy@{}", registry.host, one.digest())).await.unwrap();
    assert_eq!(by_digest.digest(), one.digest());
    for (image, text) in [(&one, "one"), (&two, "two")] {
        assert_eq!(image.config().env.as_deref().unwrap().last().unwrap(), "A=image");
        assert_eq!(machine.read(image, "etc/motd").await, text);
    }
    let refused = machine.pull(&format!("{}/lab/busy:three", registry.host)).await.unwrap_err().chain();
    assert!(refused.contains("no such image"), "{refused}");
}

/// The kernel's view of it: mounted as a container would have it.
#[tokio::test]
async fn the_layers_of_a_real_image_are_one_tree_when_mounted() {
    let machine = Machine::new(|_| {});
    let work = machine.directory.path();
    build(work, "one");
    let image = machine.images.load(&work.join("layout"), Some("one")).await.unwrap();
    let root = machine.images.prepare(&image, "c1").await.unwrap();
    let RootFs::Overlay { lower, upper, work: scratch } = root else { panic!("{root:?}") };
    let lower: Vec<String> = lower.iter().map(|path| path.display().to_string()).collect();
    let options =
        format!("lowerdir={},upperdir={},workdir={}", lower.join(":"), upper.display(), scratch.display());
    let place = work.join("mounted");
    fs::create_dir(&place).unwrap();
    // In a mount namespace that ends with the command.
    let script = format!(
        "mount -t overlay overlay -o {options} {0} && stat -c %a {0}/tmp && ls {0}/etc && cat {0}/tmp/second",
        place.display()
    );
    let output = Command::new("unshare").args(["--mount", "sh", "-ec", &script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, "1777\nmotd\none", "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_registry_with_tls_and_passwords() {
    let machine = Machine::new(|_| {});
    let work = machine.directory.path();
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.distinguished_name.push(DnType::CommonName, "an authority of this test");
    let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    fs::write(work.join("cert.pem"), certificate.pem()).unwrap();
    fs::write(work.join("key.pem"), key.serialize_pem()).unwrap();
    fs::write(work.join("htpasswd"), format!("me:{HTPASSWD}\n")).unwrap();
    let tls = format!("  tls: {{certificate: {0}/cert.pem, key: {0}/key.pem}}\n", work.display());
    let auth = format!("auth: {{htpasswd: {{realm: r, path: {}/htpasswd}}}}\n", work.display());
    let registry = Registry::start(work, &tls, &auth);
    build(work, "one");
    registry.push(work, "one", &["--dest-creds", &format!("me:{CANARY}")]);
    let name = format!("{}/lab/busy:one", registry.host);
    let credentials = |password: &str| {
        let file = json!({"auths": {&registry.host: {"username": "me", "password": password}}}).to_string();
        Credentials::parse(file.as_bytes()).unwrap()
    };
    // The authority is not one of this machine's.
    let strange = machine.pull(&name).await.unwrap_err().chain();
    assert!(strange.contains("cannot be reached"), "{strange}");
    let machine = Machine::new(|settings| settings.authorities = Some(authority.pem().into_bytes()));
    for password in [None, Some("wrong")] {
        let own = password.map(credentials);
        let refused = machine.images.pull(&name.parse().unwrap(), Freshness::Known, own.as_ref()).await;
        let refused = refused.unwrap_err().chain();
        assert!(refused.contains("other credentials"), "{refused}");
    }
    let image =
        machine.images.pull(&name.parse().unwrap(), Freshness::Known, Some(&credentials(CANARY))).await;
    assert_eq!(machine.read(&image.unwrap(), "etc/motd").await, "one");
    assert!(!everything_in(machine.directory.path()).contains(CANARY));
}
