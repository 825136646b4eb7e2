//! The reason why offers do not fit.

use chapada_model::Milli;
use chapada_sdk_core::{Constraint, Mismatch, MismatchKind, PortWish, Request};

use super::held::Held;
use super::words::{amount, and, both, counted};
use super::{Cause, Inquiry, Reason, constraint, suggestion, volume};

pub(super) fn reason(held: &Held<'_>) -> Reason {
    let (inquiry, funnel) = (held.inquiry, &held.funnel);
    let suggestions = match funnel.fitting() {
        0 => suggestion::all(held),
        _ => Vec::new(),
    };
    let (cause, sentence) = match funnel.stopped_at() {
        Some(kind) => (Cause::Mismatch(kind), Stopped::new(held, kind).sentence()),
        None if funnel.offers() == 0 => (Cause::NoOffers, no_offers(inquiry)),
        None => {
            let fits = format!("It fits on {} of {}", funnel.fitting(), counted(held.offers.len(), "agent"));
            (Cause::Placing, format!("{fits}, as last offered, and starts with the next offer"))
        }
    };
    Reason { cause, count: inquiry.seeking, sentence, suggestions }
}

fn agents(count: usize) -> String {
    match count {
        1 => "only agent offered".to_owned(),
        count => format!("{count} agents offered"),
    }
}

fn no_offers(inquiry: &Inquiry) -> String {
    let role = &inquiry.role;
    match inquiry.absent {
        0 => format!(
            "The master offers nothing to the role {role}: no agent is there, all are in use, or the role's quota is used up"
        ),
        absent => format!(
            "Nothing is offered to the role {role} any more: the {} known from before {} full, held by others or gone",
            counted(absent, "agent"),
            if absent == 1 { "is" } else { "are" }
        ),
    }
}

/// The offers that came to the last step of the funnel that stopped any.
struct Stopped<'a> {
    held: &'a Held<'a>,
    kind: MismatchKind,
    /// The numbers of the offers that came so far.
    here: Vec<usize>,
}

impl<'a> Stopped<'a> {
    fn new(held: &'a Held<'a>, kind: MismatchKind) -> Self {
        let stopped = Self { held, kind, here: Vec::new() };
        let here = stopped.first_at(kind).collect();
        Self { here, ..stopped }
    }

    /// What stopped them.
    fn mismatches(&self) -> impl Iterator<Item = (usize, &Mismatch)> {
        let of = |number: &usize| {
            let number = *number;
            let all = self.held.mismatches()[number].iter();
            all.filter(|mismatch| mismatch.kind() == self.kind).map(move |mismatch| (number, mismatch))
        };
        self.here.iter().flat_map(of)
    }

    fn sentence(&self) -> String {
        let count = self.here.len();
        match self.kind {
            MismatchKind::UnfulfilledRole => {
                let roles = self.request().accepted_roles.iter();
                let accepted = and(&roles.map(ToString::to_string).collect::<Vec<_>>());
                let of = if accepted.is_empty() { String::new() } else { format!(" of the role {accepted}") };
                format!("Needs resources{of}; the {} {} none", agents(count), has(count))
            }
            MismatchKind::UnfulfilledConstraint => self.constraints(),
            MismatchKind::NoCorrespondingReservationFound => self.reservations(),
            MismatchKind::AgentMaintenance => {
                let such = if self.is_all() { "" } else { " that would suit" };
                format!("The {}{such} {} to be left for maintenance", agents(count), are(count))
            }
            MismatchKind::InsufficientPorts => self.ports(),
            MismatchKind::DeclinedScarceResources => {
                let such = if self.is_all() { "" } else { " that would suit" };
                format!(
                    "The {}{such} {} GPUs, which are left to those who need some",
                    agents(count),
                    has(count)
                )
            }
            MismatchKind::InsufficientDisk => {
                volume::sentence(self.held, &self.here, &self.such(), &agents(count))
                    .unwrap_or_else(|| self.amounts())
            }
            MismatchKind::InsufficientCpus
            | MismatchKind::InsufficientMemory
            | MismatchKind::InsufficientGpus => self.amounts(),
        }
    }

    fn request(&self) -> &'a Request {
        &self.held.inquiry.request
    }

    fn is_all(&self) -> bool {
        self.here.len() == self.held.offers.len()
    }

    fn constraints(&self) -> String {
        let wanted: Vec<String> =
            self.violated(self.here.iter().copied()).iter().map(constraint::wanted).collect();
        let found = constraint::found(self.mismatches().map(|(_, mismatch)| mismatch));
        let (count, wanted) = (agents(self.here.len()), and(&wanted));
        let none = if self.here.len() == 1 {
            format!("the {count} has not")
        } else {
            format!("none of the {count} has")
        };
        format!("Needs an agent with {wanted}; {none} ({found})")
    }

    /// The constraints that do not hold on any of these offers, each once, in the order of the request.
    fn violated(&self, offers: impl Iterator<Item = usize>) -> Vec<Constraint> {
        let mut found: Vec<&Constraint> = Vec::new();
        for mismatch in offers.flat_map(|number| &self.held.mismatches()[number]) {
            match mismatch {
                Mismatch::Constraint { constraint, .. } if !found.contains(&constraint) => {
                    found.push(constraint)
                }
                _ => {}
            }
        }
        let all = self.request().constraints.iter();
        all.filter(|constraint| found.contains(constraint)).cloned().collect()
    }

    fn reservations(&self) -> String {
        let volume = self.mismatches().find_map(|(_, mismatch)| match mismatch {
            Mismatch::NoVolume(id) => Some(id),
            _ => None,
        });
        match volume {
            Some(volume) => format!(
                "Needs its volume {volume}, which no agent offers: the agent that has it is full of others, out of reach or gone"
            ),
            None => "Needs what is reserved for it, which no agent offers".to_owned(),
        }
    }

    fn ports(&self) -> String {
        let fixed = |wish: &PortWish| match wish {
            PortWish::Exactly(port) => Some(*port),
            PortWish::Any => None,
        };
        let wishes = &self.request().ports;
        let missing = self.mismatches().any(|(_, mismatch)| matches!(mismatch, Mismatch::PortNotOffered(_)));
        let (such, count) = (self.such(), agents(self.here.len()));
        if missing {
            let ports: Vec<String> = wishes.iter().filter_map(fixed).map(|port| port.to_string()).collect();
            let (noun, them) = if ports.len() == 1 { ("port", "it") } else { ("ports", "all of them") };
            let has = match self.here.len() {
                1 => format!("the {count} has not {them} free"),
                _ => format!("none of the {count} has {them} free"),
            };
            return format!("Needs {noun} {}{such}; {has}", and(&ports));
        }
        let most = self.mismatches().filter_map(|(_, mismatch)| match mismatch {
            Mismatch::FewPorts { offered, .. } => Some(*offered),
            _ => None,
        });
        let most = most.max().unwrap_or(0);
        let needs = counted(wishes.len(), "port");
        let any = if self.here.len() == 1 { "" } else { "most that any of the " };
        let has =
            if self.here.len() == 1 { format!("has {most} free") } else { format!("has free is {most}") };
        format!("Needs {needs} on one agent{such}; the {any}{count} {has}")
    }

    fn amounts(&self) -> String {
        let most = self.mismatches().filter_map(|(number, mismatch)| match mismatch {
            Mismatch::Short { resource, wanted, offered } => {
                Some((*offered, std::cmp::Reverse(number), *resource, *wanted))
            }
            _ => None,
        });
        let (offered, number, resource, wanted) =
            most.max().unwrap_or((Milli::ZERO, std::cmp::Reverse(0), "mem", Milli::ZERO));
        let host = self.held.offers.get(number.0).map_or("", |offer| &offer.hostname);
        let (needs, has) = both(resource, wanted, offered);
        let such = self.such();
        let largest = match (such.is_empty(), self.here.len()) {
            (true, 1) => "the only agent offered".to_owned(),
            (true, count) => format!("the largest of the {}", agents(count)),
            (false, 1) => "the only such agent".to_owned(),
            (false, _) => "the largest such agent".to_owned(),
        };
        format!("Needs {needs} on an agent{such}; {largest} has {has} free ({host})")
    }

    /// What stopped others before: ` with rack=r2 and 2 CPUs free`.
    fn such(&self) -> String {
        let constraints = self.violated(self.first_at(MismatchKind::UnfulfilledConstraint));
        let mut conditions: Vec<String> = constraints.iter().map(constraint::wanted).collect();
        let request = self.request();
        for (kind, resource, wanted) in [
            (MismatchKind::InsufficientCpus, "cpus", request.cpus),
            (MismatchKind::InsufficientMemory, "mem", request.mem),
            (MismatchKind::InsufficientDisk, "disk", request.disk),
            (MismatchKind::InsufficientGpus, "gpus", request.gpus),
        ] {
            if kind < self.kind && self.first_at(kind).next().is_some() {
                conditions.push(format!("{} free", amount(resource, wanted)));
            }
        }
        match conditions.is_empty() {
            true => String::new(),
            false => format!(" with {}", and(&conditions)),
        }
    }

    /// The numbers of the offers that this step stopped.
    fn first_at(&self, kind: MismatchKind) -> impl Iterator<Item = usize> {
        let stopped =
            move |mismatches: &Vec<Mismatch>| mismatches.first().is_some_and(|first| first.kind() == kind);
        let numbered = self.held.mismatches().iter().enumerate();
        numbered.filter(move |(_, mismatches)| stopped(mismatches)).map(|(number, _)| number)
    }
}

fn are(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

fn has(count: usize) -> &'static str {
    if count == 1 { "has" } else { "have" }
}
