//! Deals the resources of an instance out to its executor and containers.

use chapada_model::{Milli, Resource, ResourceValue, Resources};

use super::Amounts;

/// What is left of the resources of an instance.
pub(super) struct Pool(Vec<Resource>);

impl Pool {
    pub(super) fn new(resources: Resources) -> Self {
        Self(resources.iter().cloned().collect())
    }

    /// Takes so much of it, and nothing of volumes. `None` when it is not there.
    pub(super) fn take(&mut self, amounts: Amounts) -> Option<Resources> {
        let mut taken = Vec::new();
        for (name, amount) in [
            ("cpus", amounts.cpus),
            ("mem", amounts.mem),
            ("disk", amounts.disk),
            ("gpus", Milli::whole(amounts.gpus.into())),
        ] {
            self.take_scalar(name, amount, &mut taken)?;
        }
        Resources::from_list(taken).ok()
    }

    fn take_scalar(&mut self, name: &str, mut amount: Milli, taken: &mut Vec<Resource>) -> Option<()> {
        let is_plain = |resource: &&mut Resource| &*resource.name == name && !resource.is_volume();
        for resource in self.0.iter_mut().filter(is_plain) {
            let ResourceValue::Scalar(there) = resource.value else { continue };
            let part = there.min(amount);
            if !part.is_zero() {
                taken.push(Resource { value: ResourceValue::Scalar(part), ..resource.clone() });
                resource.value = ResourceValue::Scalar(there.checked_sub(part)?);
                amount = amount.checked_sub(part)?;
            }
        }
        amount.is_zero().then_some(())
    }

    /// What nobody took; the volumes are among it.
    pub(super) fn rest(self) -> Resources {
        let is_there = |resource: &Resource| match &resource.value {
            ResourceValue::Scalar(amount) => !amount.is_zero(),
            ResourceValue::Ranges(_) | ResourceValue::Set(_) => true,
        };
        let rest = self.0.into_iter().filter(is_there);
        Resources::from_list(rest).unwrap_or(Resources::EMPTY)
    }
}

#[cfg(test)]
mod tests {
    use chapada_model::{Disk, Persistence};

    use super::*;

    #[test]
    fn a_volume_is_nobodys_share_of_the_disk() {
        let persistence = Some(Persistence { id: "v".into(), principal: None });
        let disk = Some(Disk { persistence, ..Disk::default() });
        let volume = Resource { disk, ..Resource::scalar("disk", Milli::whole(100)) };
        let all = [Resource::scalar("disk", Milli::whole(10)), volume.clone()];
        let pool = || Pool::new(Resources::from_list(all.clone()).unwrap());
        let disk = |mib| Amounts { cpus: Milli(0), mem: Milli(0), disk: Milli::whole(mib), gpus: 0 };
        assert_eq!(pool().take(disk(11)), None);
        let mut pool = pool();
        assert!(pool.take(disk(10)).is_some());
        assert_eq!(pool.rest(), Resources::from_list([volume]).unwrap());
    }
}
