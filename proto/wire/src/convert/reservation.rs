//! Reservations, in the format before refinement (`role`, `reservation`) and the one since (`reservations`).

use chapada_model::{Reservation, ReservationKind, Role};

use super::error::{each, text};
use super::{InvalidField, labels};
use crate::v1;
use crate::v1::resource::ReservationInfo;
use crate::v1::resource::reservation_info::Type;

/// How reservations are written for a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReservationFormat {
    /// `role` and `reservation`, for frameworks without the capability RESERVATION_REFINEMENT. What is reserved more
    /// than once cannot be said in it and is written as [`Stacked`](Self::Stacked); do not offer it to them.
    Single,
    /// `reservations`, for frameworks with the capability.
    Stacked,
    /// Both, as the operator APIs show resources.
    Both,
}

impl ReservationFormat {
    /// The format for a framework.
    #[must_use]
    pub fn of(framework: &chapada_model::FrameworkDescription) -> Self {
        if framework.can(chapada_model::FrameworkCapability::ReservationRefinement) {
            Self::Stacked
        } else {
            Self::Single
        }
    }
}

/// Reads either format; both at once must agree, as they do in what the operator APIs wrote.
pub(super) fn from_wire(resource: &v1::Resource) -> Result<Vec<Reservation>, InvalidField> {
    let role = match resource.role.as_deref() {
        None | Some("*") => None,
        Some(role) => Some(parse_role("role", role)?),
    };
    if !resource.reservations.is_empty() {
        let stack = each("reservations", &resource.reservations, stacked)?;
        return match (&role, stack.last()) {
            (Some(role), Some(last)) if *role != last.role => {
                Err(InvalidField::new("role", "contradicts `reservations`; leave one of them out"))
            }
            _ => in_order(stack),
        };
    }
    match (role, &resource.reservation) {
        (None, None) => Ok(Vec::new()),
        (None, Some(_)) => Err(InvalidField::new("reservation", "needs a `role` that is not '*'")),
        (Some(role), None) => Ok(vec![Reservation::fixed(role)]),
        (Some(role), Some(info)) => Ok(vec![
            with_kind(info, ReservationKind::Dynamic, role).map_err(|error| error.within("reservation"))?,
        ]),
    }
}

fn stacked(info: &ReservationInfo) -> Result<Reservation, InvalidField> {
    let kind = match info.r#type() {
        Type::Static => ReservationKind::Static,
        Type::Dynamic => ReservationKind::Dynamic,
        Type::Unknown => return Err(InvalidField::new("type", "must be STATIC or DYNAMIC")),
    };
    let role = info.role.as_deref().ok_or_else(|| InvalidField::missing("role"))?;
    let role = parse_role("role", role)?;
    if role.is_star() {
        return Err(InvalidField::new("role", "nothing can be reserved for '*'"));
    }
    with_kind(info, kind, role)
}

fn with_kind(info: &ReservationInfo, kind: ReservationKind, role: Role) -> Result<Reservation, InvalidField> {
    let labels = labels::from_wire("labels", info.labels.as_ref())?;
    Ok(Reservation { kind, role, principal: text(info.principal.as_ref()), labels })
}

/// Each entry must refine the one before, and only the first may be static.
fn in_order(stack: Vec<Reservation>) -> Result<Vec<Reservation>, InvalidField> {
    for (index, pair) in stack.windows(2).enumerate() {
        let [outer, inner] = pair else { continue };
        let place = format!("reservations[{}]", index + 1);
        if inner.kind == ReservationKind::Static {
            return Err(InvalidField::new(place, "only the first reservation may be STATIC"));
        }
        if inner.role == outer.role || !inner.role.is_within(&outer.role) {
            let problem = format!("role '{}' is not below '{}'", inner.role, outer.role);
            return Err(InvalidField::new(place, problem));
        }
    }
    Ok(stack)
}

pub(super) fn parse_role(field: &str, role: &str) -> Result<Role, InvalidField> {
    match role {
        // Of which there is one text.
        "*" => Ok(Role::star()),
        _ => Role::new(role).map_err(|error| InvalidField::new(field, error)),
    }
}

/// Writes the reservations of a resource.
pub(super) fn to_wire(stack: &[Reservation], format: ReservationFormat, wire: &mut v1::Resource) {
    let single = match format {
        ReservationFormat::Single | ReservationFormat::Both => stack.len() < 2,
        ReservationFormat::Stacked => false,
    };
    if single {
        match stack.first() {
            None => wire.role = Some("*".to_owned()),
            Some(only) => {
                wire.role = Some(only.role.to_string());
                if only.kind == ReservationKind::Dynamic {
                    wire.reservation = Some(unnamed(only));
                }
            }
        }
    }
    if !single || format == ReservationFormat::Both {
        wire.reservations = stack.iter().map(named).collect();
    }
}

fn unnamed(reservation: &Reservation) -> ReservationInfo {
    ReservationInfo {
        principal: reservation.principal.as_ref().map(ToString::to_string),
        labels: labels::to_wire(&reservation.labels),
        ..ReservationInfo::default()
    }
}

fn named(reservation: &Reservation) -> ReservationInfo {
    let mut info = unnamed(reservation);
    info.role = Some(reservation.role.to_string());
    info.set_type(match reservation.kind {
        ReservationKind::Static => Type::Static,
        ReservationKind::Dynamic => Type::Dynamic,
    });
    info
}
