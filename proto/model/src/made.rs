//! What operations have made of an agent's resources: dynamic reservations and volumes. An agent keeps these and puts
//! them in place of what it is configured with.

use crate::{ReservationKind, Resource, ResourceError, Resources};

impl Resource {
    /// Whether its last reservation was made at run time.
    pub fn is_dynamically_reserved(&self) -> bool {
        self.reservations.last().is_some_and(|last| last.kind == ReservationKind::Dynamic)
    }

    /// Whether it is a persistent volume.
    pub fn is_volume(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.persistence.is_some())
    }

    /// The same without its last reservation.
    #[must_use]
    pub fn unreserved_once(&self) -> Self {
        let mut outer = self.clone();
        outer.reservations.pop();
        outer
    }

    /// The same disk without the volume on it.
    #[must_use]
    pub fn without_volume(&self) -> Self {
        let mut plain = self.clone();
        plain.shared = false;
        if let Some(disk) = &mut plain.disk {
            disk.persistence = None;
            disk.volume = None;
        }
        plain.disk = plain.disk.filter(|disk| disk.source.is_some());
        plain
    }

    /// What the agent was configured with before operations made this of it.
    #[must_use]
    pub fn configured(&self) -> Self {
        let mut plain = self.without_volume();
        plain.reservations.retain(|reservation| reservation.kind == ReservationKind::Static);
        plain
    }
}

impl Resources {
    /// What operations have made: dynamically reserved resources and volumes.
    #[must_use]
    pub fn made(&self) -> Self {
        self.filter(|resource| resource.is_dynamically_reserved() || resource.is_volume())
    }

    /// What these together have of what operations have made, allocated to nobody. What is shared is there once.
    ///
    /// # Errors
    /// [`ResourceError`] when two have the same that is not shared.
    pub fn made_together<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Result<Self, ResourceError> {
        let mut all = Self::EMPTY;
        for part in parts {
            let made = part.unallocated().made();
            all.add(&made.unshared())?;
            all.share(&made)?;
        }
        Ok(all)
    }

    /// The resources of an agent that is configured with these and has `made` of them.
    ///
    /// # Errors
    /// [`ResourceError::Short`] when this does not have what they were made of.
    pub fn with_made(&self, made: &Self) -> Result<Self, ResourceError> {
        let mut plain = Self::EMPTY;
        for resource in made {
            plain.add(&Self::from_list([resource.configured()])?)?;
        }
        let mut all = self.checked_sub(&plain)?;
        all.add(made)?;
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Disk, DiskVolume, Milli, Persistence, Reservation};

    fn reserved(role: &str, mib: u64) -> Resource {
        let mut disk = Resource::scalar("disk", Milli::whole(mib));
        disk.reservations.push(Reservation {
            kind: ReservationKind::Dynamic,
            role: role.parse().unwrap(),
            principal: None,
            labels: Vec::new(),
        });
        disk
    }

    fn volume(id: &str, mib: u64) -> Resource {
        let mut volume = reserved("ops", mib);
        volume.disk = Some(Disk {
            persistence: Some(Persistence { id: id.into(), principal: None }),
            volume: Some(DiskVolume { container_path: "data".into(), host_path: None, read_only: false }),
            source: None,
        });
        volume
    }

    #[test]
    fn what_was_made_takes_the_place_of_what_it_was_made_of() {
        let configured: Resources = "cpus:2;disk:100;disk(web):10".parse().unwrap();
        let mut refined = reserved("web/a", 4);
        refined.reservations.insert(0, Reservation::fixed("web".parse().unwrap()));
        let made = Resources::from_list([reserved("ops", 20), volume("v", 30), refined]).unwrap();
        let all = configured.with_made(&made).unwrap();
        assert_eq!(all.made(), made);
        assert_eq!(all.scalar("disk"), configured.scalar("disk"));
        assert!(all.contains(&"disk:50;disk(web):6".parse().unwrap()));
        assert_eq!(volume("v", 30).without_volume(), reserved("ops", 30));
    }

    #[test]
    fn what_it_was_made_of_must_be_there() {
        let configured: Resources = "disk:40".parse().unwrap();
        let made = Resources::from_list([reserved("ops", 20), volume("v", 30)]).unwrap();
        assert!(matches!(configured.with_made(&made), Err(ResourceError::Short { .. })));
    }
}
