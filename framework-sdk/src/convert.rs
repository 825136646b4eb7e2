//! Wire messages into what schedulers see.

use chapada_model::{Attribute, Domain, OperationStatus, Role, TaskStatus, Text, Unavailability, Wall};
use chapada_sdk_core::Offer;
use chapada_wire::convert::{InvalidField, resources_from_wire};
use chapada_wire::v1;
use chapada_wire::v1::scheduler as api;

use crate::event::{Event, ExecutorMessage, Failure, InverseOffer};

/// An event of the master that the scheduler hears of; the connection handles the others itself.
///
/// Offers that cannot be understood are left out, each with its reason, so that they can be declined.
pub(crate) struct Converted {
    pub(crate) event: Option<Event>,
    pub(crate) refused: Vec<(Option<v1::OfferId>, InvalidField)>,
}

pub(crate) fn event(event: api::Event) -> Result<Converted, InvalidField> {
    use api::event::Type;
    let mut refused = Vec::new();
    let event = match event.r#type() {
        Type::Offers => {
            let mut offers = Vec::new();
            for wire in event.offers.unwrap_or_default().offers {
                match offer(&wire) {
                    Ok(offer) => offers.push(offer),
                    Err(error) => refused.push((wire.id, error)),
                }
            }
            (!offers.is_empty()).then_some(Event::Offers(offers))
        }
        Type::Rescind => {
            let rescind = event.rescind.unwrap_or_default();
            Some(Event::Rescinded(id("offer_id", rescind.offer_id.as_ref())?))
        }
        Type::InverseOffers => {
            let wire = event.inverse_offers.unwrap_or_default().inverse_offers;
            let offers = wire.iter().map(inverse_offer).collect::<Result<Vec<_>, _>>()?;
            Some(Event::InverseOffers(offers))
        }
        Type::RescindInverseOffer => {
            let rescind = event.rescind_inverse_offer.unwrap_or_default();
            Some(Event::InverseOfferRescinded(id("inverse_offer_id", rescind.inverse_offer_id.as_ref())?))
        }
        Type::Update => {
            let status = event.update.unwrap_or_default().status.unwrap_or_default();
            Some(Event::Update(TaskStatus::try_from(status)?))
        }
        Type::Message => {
            let message = event.message.unwrap_or_default();
            Some(Event::Message(ExecutorMessage {
                agent: id("agent_id", message.agent_id.as_ref())?,
                executor: id("executor_id", message.executor_id.as_ref())?,
                data: message.data.unwrap_or_default(),
            }))
        }
        Type::Failure => {
            let failure = event.failure.unwrap_or_default();
            Some(Event::Failure(Failure {
                agent: failure.agent_id.as_ref().map(TryInto::try_into).transpose()?,
                executor: failure.executor_id.as_ref().map(TryInto::try_into).transpose()?,
                status: failure.status,
            }))
        }
        Type::UpdateOperationStatus => {
            let status = event.update_operation_status.unwrap_or_default().status.unwrap_or_default();
            Some(Event::Operation(OperationStatus::try_from(&status)?))
        }
        Type::Subscribed | Type::Heartbeat | Type::Error | Type::Unknown => None,
    };
    Ok(Converted { event, refused })
}

fn offer(wire: &v1::Offer) -> Result<Offer, InvalidField> {
    let address = wire.url.as_ref().and_then(|url| url.address.as_ref());
    let address = address.and_then(|address| Some(format!("{}:{}", address.ip.as_ref()?, address.port?)));
    let role = wire.allocation_info.as_ref().and_then(|info| info.role.as_deref()).unwrap_or("*");
    Ok(Offer {
        id: id("id", wire.id.as_ref())?,
        agent: id("agent_id", wire.agent_id.as_ref())?,
        hostname: wire.hostname.as_deref().ok_or_else(|| InvalidField::missing("hostname"))?.into(),
        address: Text::from(address.unwrap_or_default()),
        role: Role::new(role).map_err(|error| InvalidField::new("allocation_info.role", error))?,
        resources: resources_from_wire("resources", &wire.resources)?,
        attributes: wire.attributes.iter().map(Attribute::try_from).collect::<Result<_, _>>()?,
        domain: wire.domain.as_ref().and_then(domain),
        executors: wire.executor_ids.iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        unavailability: wire.unavailability.as_ref().and_then(unavailability),
    })
}

fn inverse_offer(wire: &v1::InverseOffer) -> Result<InverseOffer, InvalidField> {
    let away = wire.unavailability.as_ref().and_then(unavailability);
    Ok(InverseOffer {
        id: id("id", wire.id.as_ref())?,
        agent: wire.agent_id.as_ref().map(TryInto::try_into).transpose()?,
        start: away.map(|away| away.start),
        duration: away.and_then(|away| away.duration),
    })
}

fn unavailability(wire: &v1::Unavailability) -> Option<Unavailability> {
    let nanoseconds = |value: i64| u64::try_from(value).unwrap_or_default();
    let start = wire.start.as_ref()?.nanoseconds?;
    let duration = wire.duration.as_ref().and_then(|duration| duration.nanoseconds);
    Some(Unavailability {
        start: Wall(nanoseconds(start)),
        duration: duration.map(|duration| std::time::Duration::from_nanos(nanoseconds(duration))),
    })
}

fn domain(wire: &v1::DomainInfo) -> Option<Domain> {
    let fault = wire.fault_domain.as_ref()?;
    let name = |name: Option<&String>| name.map(|name| Text::from(name.as_str()));
    Some(Domain {
        region: name(fault.region.as_ref().and_then(|region| region.name.as_ref()))?,
        zone: name(fault.zone.as_ref().and_then(|zone| zone.name.as_ref()))?,
    })
}

pub(crate) fn id<'a, W, M>(field: &'static str, wire: Option<&'a W>) -> Result<M, InvalidField>
where
    M: TryFrom<&'a W, Error = InvalidField>,
{
    wire.ok_or_else(|| InvalidField::missing(field))?.try_into()
}
