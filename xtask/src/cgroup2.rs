//! The isolation tests on a machine that has cgroup v2 alone: Debian's kernel in qemu, with the test programs and busybox in
//! its initial file system. Emulated (TCG), so that it needs no virtualisation; about twelve times slower than the machine.

use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::Message;

use crate::install;
use crate::run::{cargo, root, run};

/// What the virtual machine is made with, as Debian packages it.
const PACKAGES: [&str; 4] = ["busybox-static", "cpio", "e2fsprogs", "qemu-system-x86"];
/// The package that depends on the newest kernel made for virtual machines.
const KERNEL: &str = "linux-image-cloud-amd64";
/// Modules that the containers of the tests use, and project quota on a file, in the order in which they load.
const MODULES: [&str; 8] = [
    "fs/overlayfs/overlay.ko",
    "net/llc/llc.ko",
    "net/802/stp.ko",
    "net/bridge/bridge.ko",
    "drivers/net/veth.ko",
    "drivers/block/loop.ko",
    "fs/quota/quota_tree.ko",
    "fs/quota/quota_v2.ko",
];
/// Debian's shell and what it is linked with: busybox' own treats signals and variables in ways of its own.
const SHELL: [&str; 3] = ["/bin/dash", "/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
/// Whose tests run there.
const CRATES: [&str; 2] = ["chapada-isolation", "chapada-shim"];
/// A file system that has project quota, in the folder of the modules.
const QUOTA: &str = "quota.ext4";
/// Static, so that they need nothing of the machine: there is no C library there.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Far more than the tests take, on a machine that has other work.
const PATIENCE_SECONDS: &str = "900";

/// Stage 1, because `pivot_root` does not work on the initial file system.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox mkdir -p /new
/bin/busybox mount -t tmpfs root /new
for directory in bin etc lib lib64 modules tests stage2; do /bin/busybox cp -a /$directory /new/; done
/bin/busybox mkdir -p /new/proc /new/sys /new/dev /new/tmp /new/var/tmp /new/run /new/root /new/usr/bin
exec /bin/busybox switch_root /new /stage2
";

/// Mounts what a Debian machine has, moves every process out of the root group as systemd does, and runs each test program.
const STAGE_2: &str = "#!/bin/busybox sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
/bin/busybox --install -s /bin
ln -sf dash /bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs shm /dev/shm
ln -s /proc/self/fd /dev/fd
ifconfig lo 127.0.0.1 up
mount -t cgroup2 none /sys/fs/cgroup
mkdir /sys/fs/cgroup/init
for process in $(cat /sys/fs/cgroup/cgroup.procs); do echo $process > /sys/fs/cgroup/init/cgroup.procs 2>/dev/null; done
for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do echo +$controller > /sys/fs/cgroup/cgroup.subtree_control; done
for module in $(cat /modules/order); do insmod /modules/$module; done
mkdir /quota
mount -t ext4 -o loop,prjquota /modules/quota.ext4 /quota && export CHAPADA_TEST_PROJECT_QUOTA=/quota
for program in /tests/*; do
  echo \"== $program\"
  (cd /tmp && $program --test-threads=2)
  echo \"RC $program $?\"
done
poweroff -f
";

/// Builds the tests and the machine, runs it, and reads the outcome from its console.
///
/// # Errors
/// When one of the programs fails, or does not report at all.
pub(crate) fn test() -> Result<()> {
    install::packages(&PACKAGES)?;
    let folder = root().join("target/cgroup2");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let kernel = kernel(&folder)?;
    let programs = programs()?;
    let image = image(&folder, &kernel, &programs)?;
    let started = Instant::now();
    eprintln!("xtask: isolation on cgroup v2 alone, in a virtual machine");
    judge(&boot(&folder, &kernel.join("vmlinuz"), &image)?, &programs)?;
    eprintln!("xtask: isolation on cgroup v2: {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// A folder with `vmlinuz` and the modules beside it. Unpacked, never installed.
fn kernel(folder: &Path) -> Result<PathBuf> {
    let done = folder.join("kernel");
    let mut parts = MODULES.iter().filter_map(|module| module.rsplit('/').next()).chain(["vmlinuz"]);
    if parts.all(|part| done.join(part).is_file()) {
        return Ok(done);
    }
    if done.exists() {
        fs::remove_dir_all(&done).with_context(|| format!("cannot clear {}", done.display()))?;
    }
    let fresh = folder.join("kernel.new");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).with_context(|| format!("cannot clear {}", fresh.display()))?;
    }
    fs::create_dir_all(&fresh).with_context(|| format!("cannot make {}", fresh.display()))?;
    let depends = Command::new("apt-cache").args(["depends", KERNEL]).output().context("apt-cache")?;
    let depends = String::from_utf8_lossy(&depends.stdout).into_owned();
    let package = depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "))
        .with_context(|| format!("apt-cache knows no {KERNEL}: {depends}"))?
        .to_owned();
    run("fetch a kernel", Command::new("apt-get").args(["download", "-qq", &package]).current_dir(&fresh))?;
    let archive = only(&fresh, |name| name.ends_with(".deb"))?;
    run("unpack the kernel", Command::new("dpkg-deb").arg("-x").arg(&archive).arg(fresh.join("x")))?;
    let boot = only(&fresh.join("x/boot"), |name| name.starts_with("vmlinuz"))?;
    let modules = only(&fresh.join("x/lib/modules"), |_| true)?.join("kernel");
    copy(&boot, &fresh.join("vmlinuz"))?;
    for module in MODULES {
        copy(&modules.join(module), &fresh.join(name_of(Path::new(module))?))?;
    }
    fs::remove_dir_all(fresh.join("x")).context("cannot remove the unpacked kernel")?;
    fs::remove_file(&archive).context("cannot remove the kernel's archive")?;
    fs::rename(&fresh, &done).context("cannot name the kernel's folder")?;
    Ok(done)
}

/// The test programs, static, as (name, path).
fn programs() -> Result<Vec<(String, PathBuf)>> {
    let mut build = cargo(&[
        "test",
        "--no-run",
        "--quiet",
        "--target",
        TARGET,
        "--message-format",
        "json-render-diagnostics",
    ]);
    for name in CRATES {
        build.args(["--package", name]);
    }
    let flags = "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS";
    let mut building = build
        .env(flags, "-Ctarget-feature=+crt-static")
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo to build the tests")?;
    let output = building.stdout.take().context("cargo has no output")?;
    let mut programs = Vec::new();
    for message in Message::parse_stream(BufReader::new(output)) {
        let Message::CompilerArtifact(artifact) = message.context("what cargo says")? else { continue };
        if let Some(path) = artifact.executable.filter(|_| artifact.profile.test) {
            let owner = artifact.package_id.repr.rsplit(['/', '#']).nth(1).unwrap_or_default();
            programs.push((format!("{owner}-{}", artifact.target.name), path.into_std_path_buf()));
        }
    }
    let status = building.wait().context("cargo")?;
    ensure!(status.success(), "building static tests failed ({status})");
    ensure!(programs.len() >= CRATES.len(), "cargo built {} test programs only", programs.len());
    Ok(programs)
}

/// Packs busybox, the modules and the programs into an initial file system.
fn image(folder: &Path, kernel: &Path, programs: &[(String, PathBuf)]) -> Result<PathBuf> {
    let tree = folder.join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("cannot clear {}", tree.display()))?;
    }
    for directory in ["bin", "etc", "lib/x86_64-linux-gnu", "lib64", "modules", "tests"] {
        fs::create_dir_all(tree.join(directory))
            .with_context(|| format!("cannot fill {}", tree.display()))?;
    }
    copy(Path::new("/bin/busybox"), &tree.join("bin/busybox"))?;
    for path in SHELL {
        copy(Path::new(path), &tree.join(path.trim_start_matches('/')))?;
    }
    let mut order = String::new();
    for module in MODULES {
        let name = name_of(Path::new(module))?;
        copy(&kernel.join(&name), &tree.join("modules").join(&name))?;
        order.push_str(&name);
        order.push('\n');
    }
    write(&tree.join("modules/order"), &order)?;
    let make = ["-q", "-O", "quota,project", "-E", "quotatype=prjquota"];
    let disk = tree.join("modules").join(QUOTA);
    run("make a file system with project quota", Command::new("mkfs.ext4").args(make).arg(&disk).arg("32M"))?;
    for (name, path) in programs {
        copy(path, &tree.join("tests").join(name))?;
    }
    write(&tree.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")?;
    write(&tree.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n")?;
    write(&tree.join("init"), INIT)?;
    write(&tree.join("stage2"), STAGE_2)?;
    let image = folder.join("initramfs.gz");
    let pack = format!(
        "chmod 755 init stage2 && find . | cpio -o -H newc --quiet | gzip -1 > '{}'",
        image.display()
    );
    run("pack the machine's files", Command::new("sh").args(["-ec", &pack]).current_dir(&tree))?;
    Ok(image)
}

/// Boots the machine and gives what its console said until it turned itself off.
fn boot(folder: &Path, kernel: &Path, image: &Path) -> Result<String> {
    let path = folder.join("console.log");
    let console = fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let ended = Command::new("timeout")
        .args([PATIENCE_SECONDS, "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max"])
        .args(["-m", "1024", "-smp", "2", "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio"])
        .args(["-append", "console=ttyS0 quiet panic=-1 cgroup_no_v1=all psi=1", "-kernel"])
        .arg(kernel)
        .arg("-initrd")
        .arg(image)
        .stdin(Stdio::null())
        .stdout(console)
        .status()
        .context("cannot start timeout, of coreutils")?;
    let said = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(
        ended.success(),
        "qemu failed or took {PATIENCE_SECONDS} s ({ended}); its console: {}",
        path.display()
    );
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// Every program must have ended well, and have run at least one test between them all.
fn judge(console: &str, programs: &[(String, PathBuf)]) -> Result<()> {
    let silent = |name: &str| !console.lines().any(|line| line.trim_end() == format!("RC /tests/{name} 0"));
    let failed: Vec<&str> =
        programs.iter().map(|(name, _)| name.as_str()).filter(|name| silent(name)).collect();
    let passed: usize = console
        .lines()
        .filter_map(|line| line.strip_prefix("test result: ok. ")?.split(' ').next()?.parse::<usize>().ok())
        .sum();
    if !failed.is_empty() {
        eprintln!("{console}");
        bail!("on cgroup v2 these did not pass: {}", failed.join(", "));
    }
    ensure!(passed > 0, "no test ran on cgroup v2:\n{console}");
    eprintln!("xtask: {passed} tests passed on cgroup v2");
    Ok(())
}

/// The one entry of a directory whose name is right.
fn only(directory: &Path, wanted: impl Fn(&str) -> bool) -> Result<PathBuf> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {}", directory.display()))?.path();
        if wanted(&name_of(&path)?) {
            return Ok(path);
        }
    }
    bail!("{} lacks what a kernel package has", directory.display())
}

fn name_of(path: &Path) -> Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    Ok(name.with_context(|| format!("{} has no plain name", path.display()))?.to_owned())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
