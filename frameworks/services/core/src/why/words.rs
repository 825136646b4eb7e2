//! Amounts and lists as people write them.

use std::time::Duration;

use chapada_model::Milli;

const GIB: u64 = 1_024_000;

/// `4 GiB of memory`, `1 CPU`.
pub(super) fn amount(resource: &str, amount: Milli) -> String {
    match resource {
        "mem" => format!("{} of memory", size(amount)),
        "disk" => format!("{} of disk", size(amount)),
        _ => bare(resource, amount),
    }
}

/// `4 GiB`, `1 CPU`.
pub(super) fn bare(resource: &str, amount: Milli) -> String {
    match resource {
        "mem" | "disk" => size(amount),
        name => {
            let unit = name.trim_end_matches('s').to_uppercase();
            format!("{amount} {unit}{}", if amount == Milli::whole(1) { "" } else { "s" })
        }
    }
}

/// Two amounts of one resource that differ, so that they read differently too.
pub(super) fn both(resource: &str, wanted: Milli, offered: Milli) -> (String, String) {
    let texts = (amount(resource, wanted), bare(resource, offered));
    if bare(resource, wanted) != texts.1 {
        return texts;
    }
    let of = if resource == "mem" { "memory" } else { resource };
    (format!("{wanted} MiB of {of}"), format!("{offered} MiB"))
}

/// MiB, from one GiB on in GiB; what has no short form is rounded down.
fn size(mib: Milli) -> String {
    if mib.0 < GIB {
        return format!("{mib} MiB");
    }
    let hundredths = u128::from(mib.0) * 100 / u128::from(GIB);
    let exact = hundredths * u128::from(GIB) == u128::from(mib.0) * 100;
    let hundredths = if exact { hundredths } else { hundredths / 10 * 10 };
    format!("{} GiB", Milli(u64::try_from(hundredths * 10).unwrap_or(u64::MAX)))
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn and(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `1 agent`, `2 agents`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Whole seconds, minutes from two of them on, hours from two of them on; never less than was asked for.
pub(crate) fn seconds(time: Duration) -> String {
    let seconds = time.as_millis().div_ceil(1_000);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h", seconds.div_ceil(3_600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_people_write_them() {
        for (resource, thousandths, text) in [
            ("mem", 512_000, "512 MiB of memory"),
            ("mem", 4 * GIB, "4 GiB of memory"),
            ("mem", 4_250 * GIB / 1_000, "4.25 GiB of memory"),
            ("disk", 3_174_000, "3 GiB of disk"),
            ("disk", 3_175_000, "3.1 GiB of disk"),
            ("cpus", 1_000, "1 CPU"),
            ("cpus", 500, "0.5 CPUs"),
            ("gpus", 2_000, "2 GPUs"),
        ] {
            assert_eq!(amount(resource, Milli(thousandths)), text);
        }
        let close = both("mem", Milli(4 * GIB), Milli(4 * GIB + 1_000));
        assert_eq!(close, ("4096 MiB of memory".to_owned(), "4097 MiB".to_owned()));
    }

    #[test]
    fn times_are_never_said_shorter_than_they_are() {
        for (millis, text) in
            [(0, "0 s"), (1, "1 s"), (119_000, "119 s"), (121_000, "3 min"), (7_200_000, "2 h")]
        {
            assert_eq!(seconds(Duration::from_millis(millis)), text);
        }
    }
}
