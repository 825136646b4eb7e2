//! A machine for tests of networks: a network namespace of the test's own, in which bridges, rules and switches end with it.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use serde_json::json;

use super::TestAgent;

/// Runs a test, with all the threads and processes that it starts, in a network that has nothing but `lo`.
pub(crate) fn on_a_machine<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send) {
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.unwrap().block_on(test());
        });
        running.join().unwrap();
    });
}

/// What networks leave on a machine, bridges apart, and what the agent keeps of them.
#[derive(Debug, PartialEq)]
pub(crate) struct Traces {
    links: Vec<String>,
    rules: Vec<String>,
    leases: Vec<String>,
    pub(crate) mounts: usize,
    kept: Vec<String>,
}

impl TestAgent {
    /// Gives the machine a network: a bridge that maps ports.
    pub(crate) fn add_bridge(&mut self, name: &str, subnet: &str) {
        let place = self.config.work_dir.parent().unwrap().to_owned();
        let configs = place.join("net.d");
        fs::create_dir_all(&configs).unwrap();
        let list = json!({
            "cniVersion": "1.0.0",
            "name": name,
            "plugins": [
                {
                    "type": "bridge", "bridge": format!("br-{name}"), "isGateway": true, "ipMasq": true,
                    "ipam": {
                        "type": "host-local", "dataDir": place.join("leases"),
                        "ranges": [[{ "subnet": subnet }]], "routes": [{ "dst": "0.0.0.0/0" }],
                    },
                    "dns": { "nameservers": ["10.0.0.53"], "search": ["cluster"] },
                },
                { "type": "portmap", "capabilities": { "portMappings": true } },
            ],
        });
        fs::write(configs.join(format!("{name}.conflist")), list.to_string()).unwrap();
        self.config.network_cni_config_dir = Some(configs);
    }

    /// Gives the machine a network whose plugin is a script.
    pub(crate) fn add_script(&mut self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let place = self.config.work_dir.parent().unwrap().to_owned();
        let (configs, plugins) = (place.join("net.d"), place.join("plugins"));
        for directory in [&configs, &plugins] {
            fs::create_dir_all(directory).unwrap();
        }
        fs::write(plugins.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(plugins.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        let config = json!({ "cniVersion": "1.0.0", "name": name, "type": name });
        fs::write(configs.join(format!("{name}.conf")), config.to_string()).unwrap();
        self.config.network_cni_config_dir = Some(configs);
        self.config.network_cni_plugins_dir = format!("{}:/usr/lib/cni", plugins.display());
    }

    pub(crate) fn traces(&self) -> Traces {
        let place = self.config.work_dir.parent().unwrap();
        let links = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
        let links = links.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()));
        let rules = Command::new("iptables-save").output().unwrap();
        let rules = String::from_utf8(rules.stdout).unwrap();
        let rules = rules.lines().filter(|line| line.starts_with("-A ") || line.starts_with(":CNI"));
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let namespaces = self.config.work_dir.join("networks").to_str().unwrap().to_owned();
        Traces {
            links: links.filter(|name| !name.starts_with("br-")).collect(),
            rules: rules.map(str::to_owned).collect(),
            leases: files_below(&place.join("leases"), |name| name.parse::<IpAddr>().is_ok()),
            mounts: mounts.lines().filter(|line| line.contains(&namespaces)).count(),
            kept: files_below(&self.config.work_dir.join("networks"), |_| true),
        }
    }
}

fn files_below(directory: &Path, is_wanted: fn(&str) -> bool) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let each = entries.filter_map(Result::ok).flat_map(|entry| {
        if entry.path().is_dir() {
            return files_below(&entry.path(), is_wanted);
        }
        let name = entry.file_name().into_string().unwrap();
        if is_wanted(&name) { vec![name] } else { Vec::new() }
    });
    each.collect()
}
