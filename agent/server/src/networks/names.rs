//! What a container in networks of its own knows names by: `/etc/hosts`, `/etc/resolv.conf`, `/etc/hostname`.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use chapada_network::{Attached, Dns};
use chapada_shim::{ContainerSpec, Names, VolumeMount, VolumeSource};

/// More than any real file of names.
const MAX_BYTES: u64 = 256 << 10;
/// Where the machine asks for names.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Where those are that the machine's own resolver asks, which listens on a loopback that no container reaches.
const BEHIND_LOCAL: &str = "/run/systemd/resolve/resolv.conf";
/// As the kernel has it: `HOST_NAME_MAX`.
const MAX_NAME: usize = 64;

/// Files that show in containers with the machine's files. A directory for each container.
#[derive(Clone, Debug)]
pub(crate) struct NameFiles {
    directory: PathBuf,
}

impl NameFiles {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Gives a container its names: the host name that it asks for, or else `name`.
    pub(crate) fn give(&self, spec: &mut ContainerSpec, attached: &Attached, name: &str) -> io::Result<()> {
        let name: String = name.chars().take(MAX_NAME).collect();
        let hostname = spec.hostname.get_or_insert(name).clone();
        let names = Names {
            hosts: Some(hosts(&hostname, attached.address())),
            resolv_conf: Some(resolv_conf(&attached.dns)),
            hostname: Some(format!("{hostname}\n")),
        };
        match &mut spec.root {
            Some(root) => root.names = names,
            None => spec.volumes.extend(self.write(&spec.id, names)?),
        }
        Ok(())
    }

    /// Takes back what a container had.
    pub(crate) fn release(&self, container: &str) {
        match fs::remove_dir_all(self.directory.join(container)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::error!(container_id = container, %error, "files with names stay");
            }
            _ => {}
        }
    }

    /// Takes back what others than these had.
    pub(crate) fn retain(&self, known: &[String]) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        let names = entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| !known.contains(name)).for_each(|name| self.release(&name));
    }

    /// Only over files that the machine has: making others would make them on the machine.
    fn write(&self, container: &str, names: Names) -> io::Result<Vec<VolumeMount>> {
        let directory = self.directory.join(container);
        DirBuilder::new().recursive(true).mode(0o755).create(&directory)?;
        let files =
            [("hosts", names.hosts), ("resolv.conf", names.resolv_conf), ("hostname", names.hostname)];
        let mut mounts = Vec::new();
        for (file, text) in files {
            let target = Path::new("/etc").join(file);
            let Some(text) = text.filter(|_| target.is_file()) else { continue };
            fs::write(directory.join(file), text)?;
            let source = VolumeSource::Host { root: directory.clone(), path: file.into(), give: false };
            mounts.push(VolumeMount { source, target, read_only: true });
        }
        Ok(mounts)
    }
}

/// Source: Mesos' `network/cni`, which names the container by its first address.
fn hosts(name: &str, address: Option<IpAddr>) -> String {
    let address = address.unwrap_or(IpAddr::from([127, 0, 0, 1]));
    format!("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{address} {name}\n")
}

/// What the network says; else what the machine has.
fn resolv_conf(dns: &Dns) -> String {
    if !dns.is_empty() {
        return text_of(dns);
    }
    let own = read(RESOLV_CONF);
    let is_local = servers(&own).next().is_some() && servers(&own).all(|server| server.is_loopback());
    match is_local.then(|| read(BEHIND_LOCAL)).filter(|text| !text.is_empty()) {
        Some(behind) => behind,
        None => own,
    }
}

fn text_of(dns: &Dns) -> String {
    let mut lines: Vec<String> = dns.domain.iter().map(|domain| format!("domain {domain}")).collect();
    let several = [("search", &dns.search), ("options", &dns.options)];
    let several = several.into_iter().filter(|(_, words)| !words.is_empty());
    lines.extend(several.map(|(what, words)| format!("{what} {}", words.join(" "))));
    lines.extend(dns.nameservers.iter().map(|server| format!("nameserver {server}")));
    lines.join("\n") + "\n"
}

fn servers(text: &str) -> impl Iterator<Item = IpAddr> {
    text.lines().filter_map(|line| line.strip_prefix("nameserver")?.trim().parse().ok())
}

/// Empty where there is none.
fn read(path: &str) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
    if read.is_ok() { text } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_network_says_of_names_is_written_as_the_file_has_it() {
        let dns = Dns {
            nameservers: vec!["10.0.0.53".parse().unwrap(), "fd00::53".parse().unwrap()],
            domain: Some("d".into()),
            search: vec!["a".into(), "b".into()],
            options: vec!["ndots:2".into()],
        };
        let expected = "domain d\nsearch a b\noptions ndots:2\nnameserver 10.0.0.53\nnameserver fd00::53\n";
        assert_eq!(resolv_conf(&dns), expected);
        assert!(servers(expected).all(|server| !server.is_loopback()));
        assert_eq!(servers("nameserver 127.0.0.53\n").count(), 1);
    }
}
