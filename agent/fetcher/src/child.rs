//! The process that fetches. Whoever starts it does so in a container: with a root that has the sandbox and little else, with
//! the limits of the task, and with no more than [`CAPABILITIES`].

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::Path;
use std::thread;
use std::time::Duration;

use chapada_isolation::privileges::{self, Privileges};
use chapada_isolation::user::User;
use chapada_isolation::{IsolationError, beneath, landlock, rlimits, seccomp};

use crate::addresses::Denied;
use crate::archive::{kind_of, unpack};
use crate::checksum::Sum;
use crate::download::download;
use crate::error::FetchError;
use crate::meter::Meter;
use crate::order::{AllowedPath, Item, Job, Order, Report};
use crate::place::Place;
use crate::source::{Source, shown};

/// What stands before the report, on the line that has it.
pub const REPORT: &str = "chapada-fetched: ";
/// Memory that this process may have beyond what its allocator keeps in reserve from the start: archives say how much is
/// needed to unpack them, and may lie.
const MOST_MEMORY_BYTES: u64 = 1 << 30;
/// An order is no longer than this.
pub const MAX_ORDER_BYTES: u64 = 4 << 20;
/// What the process needs to open what is the agent's and to become the task's user: CHOWN, DAC_OVERRIDE, SETGID, SETUID and
/// SETPCAP.
pub const CAPABILITIES: [u32; 5] = [0, DAC_OVERRIDE, 6, 7, 8];
const DAC_OVERRIDE: u32 = 1;

/// Does the order in this file, and reports. The process is the task's user afterwards, for good, so there is nothing else
/// that it could do.
pub fn run(order: &Path) {
    let report = match read_order(order).and_then(|order| fetch(&order)) {
        Ok(()) => Report::Done,
        Err(error) => Report::Failed(error.to_string()),
    };
    let json = serde_json::to_string(&report).unwrap_or_default();
    if let Err(error) = writeln!(io::stdout(), "{REPORT}{json}") {
        // Nobody reads it any more.
        let _ = writeln!(io::stderr(), "{error}");
    }
}

fn read_order(path: &Path) -> Result<Order, FetchError> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_ORDER_BYTES).read_to_string(&mut text));
    read.map_err(FetchError::io("cannot read the order"))?;
    serde_json::from_str(&text).map_err(|error| FetchError::Order(error.to_string()))
}

/// Ends this process after a while: whoever waits for it may be gone.
fn bound_time(most: Duration) {
    thread::spawn(move || {
        thread::sleep(most);
        std::process::exit(1);
    });
}

/// An item, and where it comes from and goes to.
struct Fetch<'a> {
    item: &'a Item,
    /// The agent's copy.
    cached: Option<File>,
}

fn fetch(order: &Order) -> Result<(), FetchError> {
    let user = order.user.as_deref().map(User::find).transpose().map_err(FetchError::User)?;
    if order.never_root && user.as_ref().map_or_else(|| User::current().uid, |user| user.uid) == 0 {
        let name = order.user.as_deref().unwrap_or("0");
        let reason = "it is root of this machine: name another user, give the container an image, or have an operator \
                      start the agent with --allow-host-root";
        return Err(FetchError::User(IsolationError::invalid("fetch as user", name, reason)));
    }
    // What only the agent may open is opened before this process is anybody else.
    let ground = Ground::open(order, user.as_ref())?;
    confine(order, user.unwrap_or_else(User::current), &ground)?;
    // Threads are as confined as the one that starts them.
    bound_time(Duration::from_secs(order.limits.seconds));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(FetchError::io("cannot start"))?;
    let mut meter = Meter::new(order.limits);
    match ground.target {
        Target::Sandbox(place, fetches) => fetches.iter().try_for_each(|fetch| {
            let placed = runtime.block_on(put(fetch, &place, &ground.origins, &mut meter));
            placed.map_err(|error| {
                FetchError::Order(format!("cannot fetch {}: {error}", shown(&fetch.item.uri)))
            })
        }),
        Target::Cache(item, mut file) => runtime
            .block_on(get(item, &mut file, &ground.origins, &mut meter))
            .map_err(|error| FetchError::Order(format!("cannot fetch {}: {error}", shown(&item.uri)))),
    }
}

/// What was opened as the agent.
struct Ground<'a> {
    target: Target<'a>,
    origins: Origins<'a>,
}

/// Where things may come from.
struct Origins<'a> {
    /// Directories from which files may come, with their paths.
    allowed: Vec<(&'a Path, File)>,
    /// What is not connected to.
    denied: &'a Denied,
}

enum Target<'a> {
    Sandbox(Place, Vec<Fetch<'a>>),
    Cache(&'a Item, File),
}

impl<'a> Ground<'a> {
    fn open(order: &'a Order, user: Option<&User>) -> Result<Self, FetchError> {
        let target = match &order.job {
            Job::Place { sandbox, items } => {
                let failed = || FetchError::io("cannot open the sandbox");
                let directory = open_directory(sandbox).map_err(failed())?;
                if let Some(user) = user {
                    fchown(&directory, Some(user.uid), Some(user.gid)).map_err(failed())?;
                }
                let open = |item: &'a Item| {
                    let cached = item.cached.as_ref().map(File::open).transpose();
                    Ok(Fetch {
                        item,
                        cached: cached.map_err(FetchError::io("cannot open the agent's copy"))?,
                    })
                };
                let fetches = items.iter().map(open).collect::<Result<_, FetchError>>()?;
                Target::Sandbox(Place::new(directory), fetches)
            }
            Job::Store { item, file } => {
                let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
                Target::Cache(item, made.map_err(FetchError::io("cannot make a file in the cache"))?)
            }
        };
        let open =
            |allowed: &'a AllowedPath| Some((allowed.path.as_path(), open_directory(&allowed.at).ok()?));
        let allowed = order.allowed_paths.iter().filter_map(open).collect();
        Ok(Self { target, origins: Origins { allowed, denied: &order.denied } })
    }
}

fn open_directory(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(nix::libc::O_DIRECTORY | nix::libc::O_NOFOLLOW).open(path)
}

/// From here on this process is the user, and can do little.
fn confine(order: &Order, user: User, ground: &Ground<'_>) -> Result<(), FetchError> {
    let limit =
        |name: &str, most: u64| rlimits::Rlimit { name: name.to_owned(), soft: Some(most), hard: Some(most) };
    let limits = [
        limit("core", 0),
        limit("nofile", 256),
        limit("data", reserved_bytes()?.saturating_add(MOST_MEMORY_BYTES)),
        limit("fsize", order.limits.bytes.max(1)),
    ];
    rlimits::apply(&limits).map_err(FetchError::User)?;
    // Root of the machine may read what it is allowed to fetch, whosever it is.
    let bounding = if user.uid == 0 { vec![DAC_OVERRIDE] } else { Vec::new() };
    let privileges = Privileges { bounding: Some(bounding), ..Privileges::default() };
    privileges::become_user(&user, &privileges).map_err(FetchError::User)?;
    let written = match &ground.target {
        Target::Sandbox(place, _) => Some(place.as_fd()),
        Target::Cache(..) => None,
    };
    let root = open_directory(Path::new("/")).map_err(FetchError::io("cannot open /"))?;
    landlock::confine(&[root.as_fd()], written.as_slice()).map_err(FetchError::User)?;
    seccomp::Filter::standard().install().map_err(FetchError::User)
}

/// Writable memory of this process, whether it is used or not.
fn reserved_bytes() -> Result<u64, FetchError> {
    let failed = || FetchError::io("cannot read /proc/self/status");
    let status = std::fs::read_to_string("/proc/self/status").map_err(failed())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    let kib = kib.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData)).map_err(failed())?;
    Ok(kib.saturating_mul(1024))
}

/// One item, into the sandbox.
async fn put(
    fetch: &Fetch<'_>,
    place: &Place,
    origins: &Origins<'_>,
    meter: &mut Meter,
) -> Result<(), FetchError> {
    let item = fetch.item;
    let archive = if item.extract && !item.executable { kind_of(&item.name) } else { None };
    if let (Some(cached), Some((kind, stem))) = (&fetch.cached, archive) {
        return unpack(cached, kind, stem, place, meter);
    }
    let mode = if item.executable { 0o755 } else { 0o644 };
    let mut file = place.file(Path::new(&item.name), mode)?;
    match &fetch.cached {
        Some(cached) => meter.copy(&mut &*cached, &mut file, |_| {})?,
        None => get(item, &mut file, origins, meter).await?,
    }
    let Some((kind, stem)) = archive else { return Ok(()) };
    io::Seek::rewind(&mut file).map_err(FetchError::io("cannot read it"))?;
    unpack(&file, kind, stem, place, meter)
}

/// The bytes of one item, checked.
async fn get(item: &Item, to: &mut File, origins: &Origins<'_>, meter: &mut Meter) -> Result<(), FetchError> {
    let mut sum = Sum::new(item.checksum.as_ref());
    match Source::parse(&item.uri).map_err(|error| FetchError::Order(error.to_string()))? {
        Source::Web(url) => download(&url, origins.denied, to, &mut sum, meter).await?,
        Source::File(path) => {
            let mut from = open_allowed(&path, &origins.allowed)?;
            meter.copy(&mut from, to, |bytes| sum.add(bytes))?;
        }
        Source::Artifact(_) => {
            return Err(FetchError::Order("it is an artifact, and the agent did not bring it".to_owned()));
        }
    }
    sum.check()
}

/// Opens a plain file beneath one of these directories, as the user that this process is by now.
fn open_allowed(path: &Path, allowed: &[(&Path, File)]) -> Result<File, FetchError> {
    let refused = || FetchError::Order("the agent's operator allows no files from there".to_owned());
    let (rest, root) = allowed
        .iter()
        .find_map(|(above, root)| Some((path.strip_prefix(above).ok()?, root)))
        .ok_or_else(refused)?;
    let flags = nix::libc::O_RDONLY | nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
    let file = beneath::open(root, rest, flags, 0).map_err(FetchError::io("cannot open it"))?;
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(file),
        Ok(_) => Err(FetchError::Order("it is no plain file".to_owned())),
        Err(error) => Err(FetchError::io("cannot look at it")(error)),
    }
}
