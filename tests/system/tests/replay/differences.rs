//! Where we mean to differ from what was recorded. Never in a status code, and in no more than ten ways.

/// One way in which we differ.
#[derive(Debug)]
pub(crate) struct Difference {
    /// Why it is right so.
    pub(crate) reason: &'static str,
    /// Parts of how it reads in a finding. One that is found nowhere fails the test.
    pub(crate) parts: &'static [&'static str],
}

/// All of them.
pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        reason: "what can be done is listed when it is there, and when published clients know its name: one stops at QUOTA_V2",
        parts: &[": QUOTA_V2", ": AGENT_DRAINING", ": RESOURCE_PROVIDER"],
    },
    Difference {
        reason: "a task is said to start before its first process does: no executor runs beside it that would have a pid",
        parts: &["container_status.executor_pid"],
    },
    Difference {
        reason: "a framework that is there was not unregistered; Mesos says that it was in 1970",
        parts: &[".unregistered_time"],
    },
    Difference {
        reason: "nothing is said of the machine that built it, so that builds can be repeated; releases are told apart by version",
        parts: &[".git_", ".build_"],
    },
    Difference {
        reason: "deprecated, and not part of the v1 message: there is no agent that does not checkpoint",
        parts: &["info.checkpoint"],
    },
    Difference {
        reason: "flags are our own: they have Mesos' names where they do the same, and no others",
        parts: &[".flags.", "v1_GET_FLAGS lacks .get_flags.flags[].value"],
    },
    Difference {
        reason: "a metric is told when it can be told truthfully; these are of the runtime of Mesos or not counted",
        parts: &[
            "lacks .allocator/",
            "lacks .frameworks/",
            "lacks .master/frameworks/",
            "lacks .master/operations/",
            "lacks .master/messages_",
            "lacks .master/event_queue_",
            "lacks .master/task_",
            "lacks .master/slave_",
            "lacks .master/recovery_slave_removals",
            "lacks .master/valid_",
            "lacks .master/invalid_",
            "lacks .master/dropped_messages",
            "lacks .master/http_cache_hits",
            "lacks .registrar/",
        ],
    },
    Difference {
        reason: "a master writes its log to standard error and keeps no file of it",
        parts: &[".log_dir: ", "./master/log"],
    },
    Difference {
        reason: "a framework whose stream ends is told why, in words and by a code",
        parts: &[".error.code", "event too many: {\"error\":{\"code\":\"FRAMEWORK_REMOVED\""],
    },
    Difference {
        reason: "an operation that is done says what it has made, so that nobody needs to wait for the next offer to know",
        parts: &[".update_operation_status.status.converted_resources"],
    },
];

#[test]
fn at_most_ten_differences_each_with_its_reason() {
    assert!(DIFFERENCES.len() <= 10);
    assert!(DIFFERENCES.iter().all(|one| one.reason.len() > 20 && !one.parts.is_empty()));
}
