//! Mass removal: how many agents may be given up, when a new leader begins to, and what an operator can say.

use std::time::Duration;

use chapada_master_core::{
    AgentCall, AgentRecord, AgentState, MAX_GONE_AGENTS, Master, RateLimit, Settings, Standing,
};
use chapada_model::{Mono, Now, Wall};

use crate::world::World;

fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

fn unreachable(world: &World) -> usize {
    let is_away = |state: &AgentState| matches!(state, AgentState::Unreachable { .. });
    world.books().agents.values().filter(|agent| is_away(&agent.state)).count()
}

/// So many agents, all silent.
fn silent(count: usize, settings: Settings) -> World {
    let mut world = World::with_settings(settings);
    for _ in 0..count {
        world.add_agent("cpus:1;mem:128");
    }
    for index in 0..count {
        world.break_link(index);
    }
    world
}

#[test]
fn of_many_silent_agents_five_in_a_hundred_are_given_up_in_ten_minutes_and_three_at_least() {
    for (agents, most) in [(2, 2), (10, 3), (59, 3), (80, 4), (140, 7), (390, 19)] {
        let mut world = silent(agents, Settings::new("m1"));
        world.pass(minutes(2));
        assert_eq!(unreachable(&world), most, "of {agents}");
        let brake = world.books().brake;
        assert_eq!((brake.held, brake.sentence().is_some()), (agents - most, agents > most));
        world.pass(minutes(9));
        assert_eq!(unreachable(&world), most, "of {agents}");
        world.pass(minutes(1));
        let left = agents - most;
        assert_eq!(unreachable(&world), most + (left * 5 / 100).max(3).min(left), "of {agents}");
    }
}

#[test]
fn one_sentence_says_what_is_held_back_and_how_to_go_on() {
    let mut world = silent(10, Settings::new("m1"));
    world.pass(minutes(2));
    assert_eq!(world.warned.len(), 1, "once: {:?}", world.warned);
    let said = world.books().brake.sentence().expect("some are held back");
    for words in ["7 agents do not answer", "at most 3 are within 600 s", "chapada agents allow-removals"] {
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn an_agent_that_comes_back_is_not_given_up_and_not_counted() {
    let mut world = silent(10, Settings::new("m1"));
    world.pass(minutes(2));
    for index in 0..10 {
        world.connect(index);
    }
    assert_eq!((world.books().brake.held, unreachable(&world)), (0, 0));
    world.pass(minutes(20));
    assert_eq!(unreachable(&world), 0);
}

#[test]
fn an_operator_has_all_of_them_given_up_and_can_take_that_back() {
    let mut world = silent(20, Settings::new("m1"));
    world.pass(minutes(2));
    world.agent_call(AgentCall::AllowRemovals { time: minutes(5) }).expect("taken");
    assert_eq!(unreachable(&world), 20);
    assert!(world.books().brake.allowed_until.is_some());
    for index in 0..20 {
        world.connect(index);
    }
    let too_long = world.agent_call(AgentCall::AllowRemovals { time: minutes(24 * 60 + 1) });
    assert!(too_long.is_err_and(|why| why.to_string().contains("a day at most")));
    assert!(world.books().brake.allowed_until.is_some(), "nothing is changed");
    world.agent_call(AgentCall::AllowRemovals { time: Duration::ZERO }).expect("taken");
    world.pass(minutes(11));
    for index in 0..20 {
        world.break_link(index);
    }
    world.pass(minutes(2));
    assert_eq!(unreachable(&world), 3);
}

#[test]
fn a_new_leader_gives_none_up_before_agents_had_their_time() {
    let mut world = World::new();
    for _ in 0..4 {
        world.add_agent("cpus:1;mem:128");
    }
    world.fail_over();
    world.connect(0);
    world.connect(1);
    world.break_link(0);
    world.pass(Duration::from_secs(599));
    assert_eq!(unreachable(&world), 0);
    assert!(world.books().brake.sentence().is_some_and(|said| said.contains("this leader is new")));
    world.pass(Duration::from_secs(2));
    assert_eq!(unreachable(&world), 3, "one was there and went, two never came");
}

/// Of a leader that waits for agents only for 45 s.
fn hasty(name: &str) -> Settings {
    Settings { agent_reregister_timeout: Duration::from_secs(45), ..Settings::new(name) }
}

/// Another process leads, whose own clock has just begun and whose wall clock is so far ahead, or behind.
fn hasty_leader(world: &mut World, ahead: Duration, behind: Duration) {
    let wall = (world.now.wall + ahead).0 - u64::try_from(behind.as_nanos()).expect("it is short");
    world.now = Now { mono: Mono(1), wall: Wall(wall) };
    world.fail_over_with(hasty("m2"));
}

#[test]
fn what_former_leaders_gave_up_counts_for_the_next_as_long_as_it_would_have_for_them() {
    let mut world = silent(40, hasty("m1"));
    world.pass(minutes(2));
    assert_eq!(unreachable(&world), 3);
    // They were given up after 75 s, and 10 min later there is room again.
    hasty_leader(&mut world, Duration::ZERO, Duration::ZERO);
    world.pass(Duration::from_secs(75 + 600 - 120 - 1));
    assert_eq!(unreachable(&world), 3);
    let next = world.books().brake.next.expect("it is known");
    assert_eq!(next, world.now.wall + Duration::from_secs(1));
    world.pass(Duration::from_secs(2));
    assert_eq!(unreachable(&world), 6);
    hasty_leader(&mut world, Duration::ZERO, Duration::ZERO);
    world.pass(minutes(9));
    assert_eq!(unreachable(&world), 6);
}

#[test]
fn an_agent_that_came_back_counts_for_the_next_leader_and_one_that_is_gone_does_not() {
    let mut world = silent(40, hasty("m1"));
    world.pass(minutes(2));
    let given_up: Vec<usize> = (0..40)
        .filter(|index| {
            let agent = &world.books().agents[&world.agent_id(*index)];
            matches!(agent.state, AgentState::Unreachable { .. })
        })
        .collect();
    world.connect(given_up[0]);
    world.agent_call(AgentCall::MarkGone { agent: world.agent_id(given_up[1]) }).expect("taken");
    hasty_leader(&mut world, Duration::ZERO, Duration::ZERO);
    world.connect(given_up[0]);
    world.pass(minutes(5));
    assert_eq!(unreachable(&world), 2, "one is away and one was; there is room for one");
}

#[test]
fn a_wall_clock_that_is_behind_holds_agents_for_one_window_at_most() {
    let mut world = silent(40, hasty("m1"));
    world.pass(minutes(2));
    hasty_leader(&mut world, Duration::ZERO, minutes(30 * 24 * 60));
    world.pass(Duration::from_secs(599));
    assert_eq!(unreachable(&world), 3);
    world.pass(Duration::from_secs(2));
    assert_eq!(unreachable(&world), 6);
}

#[test]
fn agents_that_are_long_gone_make_no_share_of_those_there_are_by_a_wall_clock_that_is_behind() {
    let mut world = silent(20, hasty("m1"));
    let (_, admitted) = world.registry.agents.first_key_value().expect("registered");
    let old = AgentRecord { standing: Standing::Unreachable { since: world.now.wall }, ..admitted.clone() };
    for number in 0..400 {
        world.registry.agents.insert(format!("old-S{number}").parse().expect("an id"), old.clone());
    }
    hasty_leader(&mut world, Duration::ZERO, minutes(24 * 60));
    world.pass(Duration::from_secs(599));
    assert_eq!(unreachable(&world), 400);
    world.pass(Duration::from_secs(2));
    assert_eq!((unreachable(&world), world.books().brake.most), (403, 3), "of 20, not of 420");
}

#[test]
fn an_old_removal_is_none_for_the_next_leader() {
    let mut world = silent(3, hasty("m1"));
    for _ in 0..20 {
        world.add_agent("cpus:1;mem:128");
    }
    world.pass(minutes(12));
    assert_eq!(unreachable(&world), 3);
    hasty_leader(&mut world, Duration::ZERO, Duration::ZERO);
    world.pass(minutes(1));
    assert_eq!(unreachable(&world), 6);
}

#[test]
fn an_operators_word_is_for_one_leader_and_what_it_had_given_up_counts_for_the_next() {
    let mut world = silent(20, hasty("m1"));
    world.agent_call(AgentCall::AllowRemovals { time: minutes(60) }).expect("taken");
    for _ in 0..20 {
        world.add_agent("cpus:1;mem:128");
    }
    world.pass(minutes(2));
    assert_eq!(unreachable(&world), 20);
    hasty_leader(&mut world, Duration::ZERO, Duration::ZERO);
    assert_eq!(world.books().brake.allowed_until, None);
    world.pass(minutes(2));
    assert_eq!((unreachable(&world), world.books().brake.held), (20, 20), "nobody has asked this leader");
    world.agent_call(AgentCall::AllowRemovals { time: minutes(1) }).expect("taken");
    assert_eq!(unreachable(&world), 40);
}

#[test]
fn a_rate_counts_what_former_leaders_gave_up_within_its_own_window() {
    let limit = RateLimit { count: 1, window: minutes(5) };
    let settings = |brake| Settings { agent_removal_rate_limit: Some(limit), brake, ..hasty("m1") };
    for brake in [None, Settings::new("m1").brake] {
        let mut world = silent(5, settings(brake));
        world.pass(Duration::from_secs(80));
        assert_eq!(unreachable(&world), 1);
        world.now.mono = Mono(1);
        world.fail_over_with(settings(brake));
        world.pass(Duration::from_secs(75 + 300 - 80 - 1));
        assert_eq!(unreachable(&world), 1, "{brake:?}");
        world.pass(Duration::from_secs(2));
        assert_eq!(unreachable(&world), 2, "{brake:?}");
    }
}

#[test]
fn an_operator_sets_another_rate() {
    let limit = RateLimit { count: 1, window: minutes(1) };
    let settings = Settings { agent_removal_rate_limit: Some(limit), brake: None, ..Settings::new("m1") };
    let mut world = silent(5, settings);
    world.pass(Duration::from_secs(80));
    assert_eq!(unreachable(&world), 1);
    world.pass(minutes(2));
    assert_eq!(unreachable(&world), 3);
}

#[test]
fn records_of_agents_that_are_long_gone_are_forgotten() {
    let mut world = silent(1, Settings::new("m1"));
    world.add_agent("cpus:1;mem:128");
    let gone = world.agent_id(1);
    world.agent_call(AgentCall::MarkGone { agent: gone.clone() }).expect("taken");
    let day = minutes(24 * 60);
    world.pass(13 * day);
    assert_eq!((unreachable(&world), world.registry.agents.len()), (1, 2));
    world.pass(2 * day);
    assert!(world.books().agents.is_empty() && world.registry.agents.is_empty());

    let few = Settings { registry_max_agent_count: 2, brake: None, ..Settings::new("m1") };
    let mut world = silent(5, few);
    world.pass(minutes(20));
    assert_eq!((unreachable(&world), world.registry.agents.len()), (2, 2));
}

#[test]
fn as_many_agents_that_are_gone_are_remembered_as_the_operator_wants() {
    let mut world = World::new();
    let agents = [world.add_agent("cpus:1"), world.add_agent("cpus:1")];
    let (_, admitted) = world.registry.agents.first_key_value().expect("registered");
    let since = Wall(world.now.wall.0 - 1);
    let gone = AgentRecord { standing: Standing::Gone { since }, ..admitted.clone() };
    for number in 0..MAX_GONE_AGENTS {
        let id = format!("old-S{number}").parse().expect("an id");
        world.registry.agents.insert(id, gone.clone());
    }
    let settings = Settings { registry_max_agent_count: MAX_GONE_AGENTS + 1, ..Settings::new("m2") };
    world.master = Master::recover(world.now, settings, world.registry.clone());
    let count = |world: &World| {
        let gone = |record: &&AgentRecord| matches!(record.standing, Standing::Gone { .. });
        world.registry.agents.values().filter(gone).count()
    };
    for agent in agents {
        let agent = world.agent_id(agent);
        world.agent_call(AgentCall::MarkGone { agent }).expect("taken");
        assert_eq!(count(&world), MAX_GONE_AGENTS + 1);
    }
}

#[test]
fn no_leader_forgets_an_agent_because_its_clock_is_wrong() {
    let day = minutes(24 * 60);
    let is_known = |world: &World, id| world.registry.agents.contains_key(id);
    let gone = || {
        let mut world = World::new();
        world.add_agent("cpus:1");
        let agent = world.agent_id(0);
        world.agent_call(AgentCall::MarkGone { agent: agent.clone() }).expect("taken");
        (world, agent)
    };
    // A clock that is set while it leads.
    let (mut world, agent) = gone();
    world.now.wall = world.now.wall + 30 * day;
    world.pass(13 * day);
    assert!(is_known(&world, &agent), "it is gone for thirteen days");
    world.pass(2 * day);
    assert!(!is_known(&world, &agent));
    // The clock of the next leader.
    let (mut world, agent) = gone();
    world.now.wall = world.now.wall + 30 * day;
    world.fail_over();
    world.pass(day - minutes(1));
    assert!(is_known(&world, &agent), "somebody has a day to notice");
    world.pass(minutes(30));
    assert!(!is_known(&world, &agent));
}
