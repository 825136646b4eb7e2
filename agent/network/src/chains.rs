//! What the plugin `portmap` leaves in the machine's packet filter after the last port is unmapped: chains that all its
//! mappings share. They are taken away when nobody has a mapping in them, in one transaction.

use std::fs::File;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

/// The chain that has a rule for each container with mapped ports, of whoever runs the plugin.
const MAPPINGS: &str = "CNI-HOSTPORT-DNAT";
/// How its chains are called.
const OURS: &str = "CNI-HOSTPORT-";
/// How all chains of plugins are called.
const ANY: &str = "CNI-";
const TABLES: [&str; 2] = ["iptables", "ip6tables"];
/// How long the packet filter may take: other programs may hold its lock.
const LIMIT: Duration = Duration::from_secs(10);
/// Between two tries for the lock.
const PAUSE: Duration = Duration::from_millis(10);

/// Whose packet filter it is: locked by every agent in it while it maps ports, and by one alone while it takes chains away.
const LOCK: &str = "/proc/thread-self/ns/net";

/// Keeps agents from taking the chains away for as long as what is returned lives.
pub(crate) async fn in_use() -> Option<File> {
    let locked = spawn_blocking(|| {
        let file = File::open(LOCK)?;
        file.lock_shared()?;
        Ok::<_, io::Error>(file)
    });
    match locked.await {
        Ok(Ok(file)) => Some(file),
        Ok(Err(error)) => {
            tracing::warn!(%error, LOCK, "cannot be locked: another agent may disturb the mapping of ports");
            None
        }
        Err(_ended) => None,
    }
}

/// Takes the chains away, if nobody has a mapping in them. Who maps ports for longer than that takes them away later.
pub(crate) async fn clear() {
    let Ok(file) = File::open(LOCK) else { return };
    let deadline = Instant::now() + LIMIT;
    // Another may be taking chains away that were in use when it looked.
    while file.try_lock().is_err() {
        if Instant::now() >= deadline {
            return;
        }
        sleep(PAUSE).await;
    }
    for tables in TABLES {
        if let Err(error) = remove(tables, removal_of_unused).await {
            tracing::warn!(%error, tables, "empty chains of mapped ports stay");
        }
    }
}

/// Takes away the chains that plugins made for this container alone. They find them by its addresses, and when its namespace
/// is gone before they are asked, they do not.
pub(crate) async fn remove_of(container: &str) {
    for tables in TABLES {
        if let Err(error) = remove(tables, |saved| removal_of(saved, container)).await {
            tracing::warn!(%error, tables, container, "rules of a container's addresses stay");
        }
    }
}

/// Changes a table by the transaction that is made of what is in it. Without such programs nothing is in it.
async fn remove(tables: &str, transaction: impl Fn(&str) -> Option<String>) -> io::Result<()> {
    let saved = match run(&format!("{tables}-save"), &["-t", "nat"], "").await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        saved => saved?,
    };
    match transaction(&saved) {
        Some(script) => run(&format!("{tables}-restore"), &["--noflush", "-w"], &script).await.map(drop),
        None => Ok(()),
    }
}

/// The transaction that takes away the shared chains; `None` when they are in use, or not there. A mapping that comes in between
/// makes it fail as a whole, because a chain with rules cannot be deleted.
fn removal_of_unused(saved: &str) -> Option<String> {
    let chains = saved.lines().filter_map(|line| line.strip_prefix(':')?.split(' ').next());
    let chains: Vec<&str> = chains.filter(|chain| chain.starts_with(OURS)).collect();
    let is_used = rules(saved).any(|rule| rule.split(' ').next() == Some(MAPPINGS));
    if is_used { None } else { removal(saved, &chains) }
}

/// The same for what plugins made for one container: their rules say whose they are in a comment.
fn removal_of(saved: &str, container: &str) -> Option<String> {
    let comment = format!("id: \\\"{container}\\\"");
    let leads =
        rules(saved).filter(|rule| rule.contains(&comment)).filter_map(|rule| rule.split(" -j ").nth(1));
    let mut chains: Vec<&str> = leads.filter(|chain| chain.starts_with(ANY)).collect();
    chains.sort_unstable();
    chains.dedup();
    removal(saved, &chains)
}

fn rules(saved: &str) -> impl Iterator<Item = &str> {
    saved.lines().filter_map(|line| line.strip_prefix("-A "))
}

/// Takes away chains with every rule that is in them or leads to them.
fn removal(saved: &str, chains: &[&str]) -> Option<String> {
    if chains.is_empty() {
        return None;
    }
    let leads = |rule: &&str| chains.iter().any(|chain| rule.split(' ').any(|word| word == *chain));
    let mut script = vec!["*nat".to_owned()];
    script.extend(rules(saved).filter(leads).map(|rule| format!("-D {rule}")));
    script.extend(chains.iter().map(|chain| format!("-X {chain}")));
    script.push("COMMIT\n".to_owned());
    Some(script.join("\n"))
}

async fn run(program: &str, arguments: &[&str], input: &str) -> io::Result<String> {
    let work = async {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let output = timeout(LIMIT, work).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(io::Error::other(format!("{program}: {said}")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &str = "\
*nat
:PREROUTING ACCEPT [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
:CNI-HOSTPORT-MASQ - [0:0]
:CNI-HOSTPORT-SETMARK - [0:0]
:OTHER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A PREROUTING -j OTHER
-A POSTROUTING -m comment --comment \"CNI portfwd requiring masquerade\" -j CNI-HOSTPORT-MASQ
-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE
COMMIT
";

    #[test]
    fn unused_chains_go_in_one_transaction() {
        let script = removal_of_unused(SAVED).unwrap();
        let expected = "*nat
-D PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-D POSTROUTING -m comment --comment \"CNI portfwd requiring masquerade\" -j CNI-HOSTPORT-MASQ
-D CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE
-X CNI-HOSTPORT-DNAT
-X CNI-HOSTPORT-MASQ
-X CNI-HOSTPORT-SETMARK
COMMIT
";
        assert_eq!(script, expected);
    }

    #[test]
    fn chains_in_use_stay() {
        let used = SAVED.replace("COMMIT", "-A CNI-HOSTPORT-DNAT -p tcp -j CNI-DN-1\nCOMMIT");
        assert_eq!(removal_of_unused(&used), None);
        assert_eq!(removal_of_unused("*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n"), None);
    }

    #[test]
    fn rules_of_one_container_go_with_their_chains() {
        let rule = |chain: &str, id: &str, to: &str| {
            format!("-A {chain} -m comment --comment \"name: \\\"n\\\" id: \\\"{id}\\\"\" -j {to}\n")
        };
        let mine = rule("POSTROUTING", "c1", "CNI-a1") + &rule("CNI-a1", "c1", "ACCEPT");
        let other = rule("POSTROUTING", "c10", "CNI-a2") + &rule("CNI-a2", "c10", "ACCEPT");
        let script = removal_of(&format!("*nat\n:CNI-a1 - [0:0]\n{mine}{other}COMMIT\n"), "c1").unwrap();
        assert_eq!(script, format!("*nat\n{}-X CNI-a1\nCOMMIT\n", mine.replace("-A ", "-D ")));
        assert_eq!(removal_of(&other, "c1"), None);
    }
}
