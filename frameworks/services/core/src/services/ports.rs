//! Service ports: numbers for load balancers, unique among all apps. The cluster knows nothing of them.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::Services;
use crate::definition::AppDefinition;

/// The service ports that one change gives to apps.
#[derive(Debug)]
pub(super) struct GivenPorts {
    given: BTreeSet<u16>,
    /// None below is free. A change frees none, so that the apps of a large one do not each begin at the first.
    from: u16,
    /// The last that there is.
    last: u16,
}

impl GivenPorts {
    /// Of these, none is given yet.
    pub(super) fn none_of(ports: &RangeInclusive<u16>) -> Self {
        Self { given: BTreeSet::new(), from: *ports.start(), last: *ports.end() }
    }

    /// The lowest port that is left.
    fn lowest(&mut self, is_free: impl Fn(&u16) -> bool) -> Option<u16> {
        let found = (self.from..=self.last).find(|port| is_free(port) && !self.given.contains(port));
        self.from = found.unwrap_or(self.last).saturating_add(1);
        found
    }
}

impl Services {
    /// Gives each port without a number one: that of `previous` at the same place, else a free one, which joins those
    /// `given` in the same change. Required ports keep 0,
    /// which means any host port.
    pub(super) fn assign_service_ports(
        &self,
        app: &mut AppDefinition,
        previous: Option<&AppDefinition>,
        given: &mut GivenPorts,
    ) {
        if app.require_ports && app.port_definitions.is_some() {
            return;
        }
        let before: Vec<u16> =
            previous.map(|app| app.ports().map(|port| port.service).collect()).unwrap_or_default();
        let mut own: BTreeSet<u16> = app.ports().map(|port| port.service).collect();
        for (index, port) in app.service_ports_mut().enumerate().filter(|(_, port)| **port == 0) {
            let kept = before.get(index).copied().filter(|kept| *kept != 0 && !own.contains(kept));
            let is_free = |port: &u16| !self.is_held(*port) && !own.contains(port);
            *port = kept.or_else(|| given.lowest(is_free)).unwrap_or(0);
            own.insert(*port);
            given.given.insert(*port);
        }
    }

    fn is_held(&self, port: u16) -> bool {
        self.service_ports.contains_key(&port)
    }

    pub(super) fn hold_service_ports(&mut self, app: &AppDefinition) {
        for port in app.ports().map(|port| port.service).filter(|port| *port != 0) {
            *self.service_ports.entry(port).or_default() += 1;
        }
    }

    pub(super) fn free_service_ports(&mut self, app: &AppDefinition) {
        for port in app.ports().map(|port| port.service).filter(|port| *port != 0) {
            match self.service_ports.get_mut(&port) {
                Some(holders) if *holders > 1 => *holders -= 1,
                Some(_) => {
                    self.service_ports.remove(&port);
                }
                None => {}
            }
        }
    }
}
