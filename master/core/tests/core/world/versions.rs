//! What builds of each version of the registry read of what is there, told apart from what the registry says of itself: a field
//! that is missing here does not compile.

use chapada_master_core::{
    AgentRecord, Drain, FrameworkRecord, REGISTRY_VERSION, RegistryChange, RegistryState, Removal,
};

/// What a build of a version makes of a registry, as far as it matters to whoever leads next.
fn read_by(version: u32, state: &RegistryState) -> RegistryState {
    let mut read = state.clone();
    let RegistryState { epoch: _, agents, frameworks, weights: _, quotas, machines, drains, unconfirmed } =
        &mut read;
    agents.values_mut().for_each(|record| pass_over_of_agent(version, record));
    frameworks.values_mut().for_each(|record| pass_over_of_framework(version, record));
    if version < 2 {
        quotas.clear();
    }
    if version < 3 {
        machines.clear();
    }
    if version < 4 {
        drains.clear();
    }
    if version < 5 {
        unconfirmed.clear();
    }
    read
}

/// That it `returned` is news for frameworks, which hear it otherwise, too.
fn pass_over_of_agent(version: u32, record: &mut AgentRecord) {
    let AgentRecord { description: _, standing: _, registered: _, deactivated, drain, returned: _ } = record;
    if version < 4 {
        (*deactivated, *drain) = (false, None);
    }
    let Some(drain) = drain else { return };
    let Drain { order: _, since: _, is_drained: _, part_of: _, is_notice_over, killed_before } = drain;
    if version < 5 {
        *is_notice_over = false;
    }
    if version < 6 {
        *killed_before = None;
    }
}

fn pass_over_of_framework(version: u32, record: &mut FrameworkRecord) {
    let FrameworkRecord { description: _, registered: _, disconnected: _, removed } = record;
    let Some(Removal { at: _, unconfirmed: _, absent }) = removed else { return };
    if version < 3 {
        *absent = false;
    }
}

/// What a change puts, and what is there, is said to be of the oldest version whose builds read it as it is meant.
pub(super) fn check(change: &RegistryChange, state: &RegistryState) {
    let mut alone = RegistryState::default();
    alone.apply(change.clone());
    let oldest = oldest(&alone);
    assert_eq!((change.version(), alone.version()), (oldest, oldest), "{change:?}");
    assert!(read_by(state.version(), state) == *state, "{} is too low for {state:?}", state.version());
}

fn oldest(state: &RegistryState) -> u32 {
    let mut versions = 1..=REGISTRY_VERSION;
    versions.find(|version| read_by(*version, state) == *state).expect("this build reads all")
}
