//! What a container of an image runs: the image's wishes and the task's, put together as Mesos and Docker do. Pure.

use crate::manifest::ImageConfig;

/// What programs are found by when neither image nor task says it.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whose rules put image and task together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// A container of type MESOS: the task's program replaces the image's. Source: Mesos' `docker/runtime` isolator.
    Mesos,
    /// A container of type DOCKER: what the task says goes to the image's entrypoint. Source: `docker run`, as Mesos calls it.
    Docker,
}

/// What a task asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wishes {
    /// Whose rules hold.
    pub rules: Rules,
    /// Whether `value` is a line for `/bin/sh`.
    pub shell: bool,
    /// A line or a program.
    pub value: Option<String>,
    /// For a program.
    pub arguments: Vec<String>,
    /// Wins over the image's; the last of a name counts.
    pub environment: Vec<(String, String)>,
    /// Wins over the image's; `user[:group]`.
    pub user: Option<String>,
    /// Where the sandbox is in the container.
    pub sandbox: String,
}

/// What is run in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// `argv`, never empty; its first element is the program too, unless `program` differs.
    pub argv: Vec<String>,
    /// The file to run, by path or looked up in `PATH`.
    pub program: String,
    /// No name twice.
    pub environment: Vec<(String, String)>,
    /// The working directory, absolute.
    pub directory: String,
    /// `user[:group]`, names or numbers of the image's own; `None` is its root.
    pub user: Option<String>,
    /// Absolute directories that get storage of their own.
    pub volumes: Vec<String>,
    /// What is sent first to end it; `None` is SIGTERM.
    pub stop_signal: Option<i32>,
}

/// Why nothing can be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NothingToRun {
    /// Neither has a program.
    #[error("neither the task nor its image says what to run")]
    Nothing,
    /// A shell without a line.
    #[error("command.value is required when command.shell is set")]
    NoLine,
    /// The image's configuration has something that cannot be.
    #[error("the image's configuration has an impossible {field}: {value:?}")]
    Impossible {
        /// Which field.
        field: &'static str,
        /// Its value.
        value: String,
    },
}

/// Puts the two together.
///
/// # Errors
/// [`NothingToRun`].
pub fn process(image: &ImageConfig, wishes: &Wishes) -> Result<Process, NothingToRun> {
    let argv = argv(image, wishes)?;
    // With Mesos' rules the arguments of a named program start at `argv[0]`.
    let (program, argv) = match argv {
        Argv::Whole(argv) => (argv.first().cloned().ok_or(NothingToRun::Nothing)?, argv),
        Argv::Apart(program, argv) => (program, argv),
    };
    if program.is_empty() {
        return Err(NothingToRun::Nothing);
    }
    let set = |text: &&String| !text.is_empty();
    Ok(Process {
        argv,
        program,
        environment: environment_of(image, &wishes.environment),
        directory: directory(image, wishes)?,
        user: wishes.user.as_ref().filter(set).or(image.user.as_ref().filter(set)).cloned(),
        volumes: volumes(image)?,
        stop_signal: image.stop_signal.as_ref().filter(set).map(|text| stop_signal(text)).transpose()?,
    })
}

/// What ends a container of this image first, if it says so and that can be.
pub fn stop_signal_of(image: &ImageConfig) -> Option<i32> {
    image.stop_signal.as_deref().and_then(|text| stop_signal(text).ok())
}

enum Argv {
    Whole(Vec<String>),
    Apart(String, Vec<String>),
}

fn argv(image: &ImageConfig, wishes: &Wishes) -> Result<Argv, NothingToRun> {
    let entrypoint = image.entrypoint.as_deref().unwrap_or_default();
    let cmd = image.cmd.as_deref().unwrap_or_default();
    let value = wishes.value.as_ref().filter(|value| !value.is_empty());
    if wishes.shell {
        let line = value.ok_or(NothingToRun::NoLine)?;
        return Ok(Argv::Apart("/bin/sh".into(), vec!["sh".into(), "-c".into(), line.clone()]));
    }
    let join = |first: &[String], second: &[String]| Ok(Argv::Whole([first, second].concat()));
    let arguments = wishes.arguments.as_slice();
    match (wishes.rules, value) {
        (Rules::Mesos, Some(program)) if arguments.is_empty() => join(std::slice::from_ref(program), &[]),
        (Rules::Mesos, Some(program)) => Ok(Argv::Apart(program.clone(), arguments.to_vec())),
        (Rules::Docker, Some(value)) => join(entrypoint, &[std::slice::from_ref(value), arguments].concat()),
        // Only what is given as arguments replaces the image's.
        (_, None) if entrypoint.is_empty() && !arguments.is_empty() && wishes.rules == Rules::Mesos => {
            let program = cmd.first().ok_or(NothingToRun::Nothing)?;
            join(std::slice::from_ref(program), arguments)
        }
        (_, None) if arguments.is_empty() => join(entrypoint, cmd),
        (_, None) => join(entrypoint, arguments),
    }
}

/// The environment of an image with these variables, which win; no name twice.
pub fn environment_of(image: &ImageConfig, own: &[(String, String)]) -> Vec<(String, String)> {
    let of_image = image.env.iter().flatten().filter_map(|variable| variable.split_once('='));
    let of_image = of_image.filter(|(name, _)| !name.is_empty());
    let of_image = of_image.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut environment: Vec<(String, String)> = vec![("PATH".to_owned(), PATH.to_owned())];
    for (name, value) in of_image.chain(own.iter().cloned()) {
        match environment.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => environment.push((name, value)),
        }
    }
    environment
}

fn directory(image: &ImageConfig, wishes: &Wishes) -> Result<String, NothingToRun> {
    let own = image.working_dir.as_deref().unwrap_or_default();
    match own {
        "" if wishes.rules == Rules::Docker => Ok("/".to_owned()),
        "" => Ok(wishes.sandbox.clone()),
        // Docker takes a relative one from the root.
        own if is_clean(own) => Ok(format!("/{}", own.trim_start_matches('/'))),
        own => Err(NothingToRun::Impossible { field: "WorkingDir", value: own.to_owned() }),
    }
}

fn volumes(image: &ImageConfig) -> Result<Vec<String>, NothingToRun> {
    let paths = image.volumes.iter().flat_map(|volumes| volumes.keys());
    let checked = paths.map(|path| match path.trim_matches('/') {
        inner if !inner.is_empty() && is_clean(inner) => Ok(format!("/{inner}")),
        _ => Err(NothingToRun::Impossible { field: "Volumes", value: path.clone() }),
    });
    checked.collect()
}

/// Whether a path stays where it says: no `..`, no zero byte.
fn is_clean(path: &str) -> bool {
    !path.contains('\0') && path.split('/').all(|part| part != "..")
}

/// A number, or a name with or without `SIG`.
fn stop_signal(text: &str) -> Result<i32, NothingToRun> {
    const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
        "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
        "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    let name = text.strip_prefix("SIG").unwrap_or(text);
    let by_name = || NAMES.iter().zip(1..).find(|(known, _)| **known == name).map(|(_, number)| number);
    let offset =
        |prefix| name.strip_prefix(prefix)?.parse::<i32>().ok().filter(|offset| (0..=30).contains(offset));
    let real_time = || match name {
        "RTMIN" => Some(*REAL_TIME.start()),
        "RTMAX" => Some(*REAL_TIME.end()),
        _ => (offset("RTMIN+").map(|n| REAL_TIME.start() + n))
            .or(offset("RTMAX-").map(|n| REAL_TIME.end() - n)),
    };
    let by_number = || text.parse::<i32>().ok().filter(|number| (1..=64).contains(number));
    by_number()
        .or_else(by_name)
        .or_else(real_time)
        .ok_or_else(|| NothingToRun::Impossible { field: "StopSignal", value: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn image(entrypoint: &str, cmd: &str) -> ImageConfig {
        ImageConfig {
            entrypoint: Some(words(entrypoint)),
            cmd: Some(words(cmd)),
            env: Some(vec![
                "A=image".into(),
                "B=image".into(),
                "PATH=/image".into(),
                "=x".into(),
                "y".into(),
            ]),
            ..ImageConfig::default()
        }
    }

    fn wishes(rules: Rules, value: &str, arguments: &str) -> Wishes {
        Wishes {
            rules,
            shell: false,
            value: Some(value.to_owned()).filter(|value| !value.is_empty()),
            arguments: words(arguments),
            environment: vec![("B".into(), "task".into()), ("C".into(), "task".into())],
            user: None,
            sandbox: "/mnt/mesos/sandbox".to_owned(),
        }
    }

    fn run(rules: Rules, (entrypoint, cmd): (&str, &str), value: &str, arguments: &str) -> String {
        match process(&image(entrypoint, cmd), &wishes(rules, value, arguments)) {
            Ok(process) => format!("{}: {}", process.program, process.argv.join(" ")),
            Err(error) => format!("{error:?}"),
        }
    }

    /// The table of Mesos' documentation of the `docker/runtime` isolator.
    #[test]
    fn a_program_is_put_together_by_mesos_table() {
        let (none, cmd, entry, both) = (("", ""), ("", "c d"), ("e f", ""), ("e f", "c d"));
        for (of_image, value, arguments, expected) in [
            (none, "", "", "Nothing"),
            (cmd, "", "", "c: c d"),
            (entry, "", "", "e: e f"),
            (both, "", "", "e: e f c d"),
            (none, "", "x y", "Nothing"),
            (cmd, "", "x y", "c: c x y"),
            (entry, "", "x y", "e: e f x y"),
            (both, "", "x y", "e: e f x y"),
            (both, "v", "", "v: v"),
            (both, "/bin/v", "v y", "/bin/v: v y"),
        ] {
            assert_eq!(
                run(Rules::Mesos, of_image, value, arguments),
                expected,
                "{of_image:?} {value} {arguments}"
            );
        }
    }

    #[test]
    fn with_docker_the_task_speaks_to_the_entrypoint() {
        let (none, both) = (("", ""), ("e f", "c d"));
        for (of_image, value, arguments, expected) in [
            (none, "", "", "Nothing"),
            (both, "", "", "e: e f c d"),
            (both, "", "x y", "e: e f x y"),
            (both, "v", "x", "e: e f v x"),
            (none, "v", "x", "v: v x"),
            (("", "c d"), "", "x", "x: x"),
        ] {
            assert_eq!(
                run(Rules::Docker, of_image, value, arguments),
                expected,
                "{of_image:?} {value} {arguments}"
            );
        }
    }

    #[test]
    fn a_line_is_for_the_shell_whatever_the_image_has() {
        for rules in [Rules::Mesos, Rules::Docker] {
            let mut line = wishes(rules, "echo a; exit 3", "ignored");
            line.shell = true;
            let process = process(&image("e", "c"), &line).unwrap();
            assert_eq!(
                (process.program.as_str(), process.argv),
                ("/bin/sh", words_of(["sh", "-c", "echo a; exit 3"]))
            );
            line.value = None;
            assert_eq!(super::process(&image("e", "c"), &line), Err(NothingToRun::NoLine));
        }
    }

    fn words_of<const N: usize>(words: [&str; N]) -> Vec<String> {
        words.map(str::to_owned).to_vec()
    }

    #[test]
    fn the_task_wins_over_the_image_and_the_image_over_the_default() {
        let mut config = image("e", "");
        config.user = Some("www".into());
        config.working_dir = Some("srv/app".into());
        let mut asked = wishes(Rules::Mesos, "", "");
        let found = process(&config, &asked).unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = vec![pair("PATH", "/image"), pair("A", "image"), pair("B", "task"), pair("C", "task")];
        assert_eq!(found.environment, expected);
        assert_eq!((found.user.as_deref(), found.directory.as_str()), (Some("www"), "/srv/app"));
        asked.user = Some("1000".into());
        config.working_dir = None;
        let found = process(&config, &asked).unwrap();
        assert_eq!((found.user.as_deref(), found.directory.as_str()), (Some("1000"), "/mnt/mesos/sandbox"));
        asked.rules = Rules::Docker;
        config.env = None;
        let found = process(&config, &asked).unwrap();
        assert_eq!((found.directory.as_str(), found.environment[0].1.as_str()), ("/", PATH));
    }

    #[test]
    fn signals_and_paths_are_checked() {
        let with = |change: fn(&mut ImageConfig)| {
            let mut config = image("e", "");
            change(&mut config);
            process(&config, &wishes(Rules::Mesos, "", ""))
        };
        let signals =
            [("SIGQUIT", 3), ("QUIT", 3), ("15", 15), ("SIGRTMIN+3", 37), ("RTMAX-1", 63), ("SIGSYS", 31)];
        for (text, number) in signals {
            assert_eq!(stop_signal(text), Ok(number));
        }
        assert!(with(|config| config.stop_signal = Some("SIGNONE".into())).is_err());
        assert!(with(|config| config.stop_signal = Some("0".into())).is_err());
        assert!(with(|config| config.working_dir = Some("/a/../../b".into())).is_err());
        let volume =
            |path: &str| std::collections::BTreeMap::from([(path.to_owned(), serde_json::Value::Null)]);
        let mut config = image("e", "");
        for (path, expected) in [("/data/", Some("/data")), ("/", None), ("/a/../b", None), ("", None)] {
            config.volumes = Some(volume(path));
            let found = process(&config, &wishes(Rules::Mesos, "", ""));
            assert_eq!(
                found.ok().map(|found| found.volumes),
                expected.map(|path| vec![path.to_owned()]),
                "{path}"
            );
        }
    }
}
