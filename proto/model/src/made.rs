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

    /// The resources of an agent that is configured with these and has `made` of them, and what of `made` these do not suffice
    /// for. What is `in_use` comes first, then volumes, which stand whole or not at all; of a reservation as much stands
    /// as there is.
    ///
    /// # Errors
    /// [`ResourceError::Conflict`] when `made` has a thing twice.
    pub fn with_made(&self, made: &Self, in_use: &Self) -> Result<(Self, Self), ResourceError> {
        let used = made.intersection(in_use);
        let rest = made.checked_sub(&used)?;
        let (mut free, mut stands, mut absent) = (self.clone(), Self::EMPTY, Self::EMPTY);
        for part in [&used, &rest] {
            for one in [part.filter(Resource::is_volume), part.filter(|resource| !resource.is_volume())] {
                for resource in &one {
                    let (kept, left) = free.take_for(resource)?;
                    stands.add(&kept)?;
                    absent.add(&left)?;
                }
            }
        }
        free.add(&stands)?;
        Ok((free, absent))
    }

    /// Takes out what this resource was made of, as far as it is there; gives the part that it suffices for, and the rest.
    fn take_for(&mut self, resource: &Resource) -> Result<(Self, Self), ResourceError> {
        let whole = Self::from_list([resource.clone()])?;
        let plain = Self::from_list([resource.configured()])?;
        let there = if resource.is_volume() && !self.contains(&plain) {
            Self::EMPTY
        } else {
            self.intersection(&plain)
        };
        let kept = there.iter().map(|part| Resource { value: part.value.clone(), ..resource.clone() });
        let kept = Self::from_list(kept)?;
        self.sub(&there)?;
        let left = whole.checked_sub(&kept)?;
        Ok((kept, left))
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
        let (all, absent) = configured.with_made(&made, &Resources::EMPTY).unwrap();
        assert_eq!((all.made(), absent), (made, Resources::EMPTY));
        assert_eq!(all.scalar("disk"), configured.scalar("disk"));
        assert!(all.contains(&"disk:50;disk(web):6".parse().unwrap()));
        assert_eq!(volume("v", 30).without_volume(), reserved("ops", 30));
    }

    #[test]
    fn what_there_is_not_enough_for_is_absent() {
        let list = |list: &[Resource]| Resources::from_list(list.to_vec()).unwrap();
        let made = list(&[reserved("ops", 20), volume("v", 30), volume("w", 30)]);
        let with = |configured: &str, in_use: &Resources| {
            configured.parse::<Resources>().unwrap().with_made(&made, in_use).unwrap()
        };
        let nothing = Resources::EMPTY;
        assert_eq!(with("disk:80", &nothing), (made.clone(), nothing.clone()));
        let (all, absent) = with("cpus:1;disk:70", &nothing);
        assert_eq!(absent, list(&[reserved("ops", 10)]), "volumes first");
        assert_eq!(all.checked_add(&absent).unwrap(), made.checked_add(&"cpus:1".parse().unwrap()).unwrap());
        let in_use = list(&[volume("w", 30), reserved("ops", 5)]);
        let (all, absent) = with("disk:45", &in_use);
        assert_eq!(all, list(&[volume("w", 30), reserved("ops", 15)]), "what is used before the rest");
        assert_eq!(absent, list(&[volume("v", 30), reserved("ops", 5)]));
        assert_eq!(with("disk:4", &in_use).0, list(&[reserved("ops", 4)]), "a volume is whole or not there");
        assert_eq!(with("cpus:1", &in_use), ("cpus:1".parse().unwrap(), made.clone()));
    }

    #[test]
    fn a_shared_volume_stands_once_for_all_its_users() {
        let mut shared = volume("v", 30);
        shared.shared = true;
        let made = Resources::from_list([shared.clone()]).unwrap();
        let in_use = Resources::from_list([shared.clone(), shared.clone()]).unwrap();
        let configured: Resources = "disk:30".parse().unwrap();
        assert_eq!(configured.with_made(&made, &in_use).unwrap(), (made.clone(), Resources::EMPTY));
        let smaller: Resources = "disk:29".parse().unwrap();
        assert_eq!(smaller.with_made(&made, &in_use).unwrap(), (smaller, made));
    }
}
