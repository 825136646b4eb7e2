//! Maintenance: GET_MAINTENANCE_SCHEDULE, UPDATE_MAINTENANCE_SCHEDULE, GET_MAINTENANCE_STATUS, START_MAINTENANCE,
//! STOP_MAINTENANCE.

use std::collections::BTreeMap;

use chapada_listener::{HttpResponse, empty, text};
use chapada_master_core::{InverseAnswer, MaintenanceCall, MaintenanceWindow, Snapshot, machine_of};
use chapada_model::{FrameworkId, MachineId, Unavailability};
use chapada_wire::convert::wall_to_wire;
use chapada_wire::v1::allocator::{InverseOfferStatus, inverse_offer_status::Status};
use chapada_wire::v1::maintenance::cluster_status::DrainingMachine;
use chapada_wire::v1::maintenance::{ClusterStatus, Schedule, Window};
use chapada_wire::v1::master::Call;
use chapada_wire::v1::master::call::Type;
use chapada_wire::v1::{self};
use http::StatusCode;

use super::calls::invalid;
use super::operate::refusal;
use crate::shell::Led;

/// Whether this is a change of maintenance.
pub(crate) fn is_change(kind: Type) -> bool {
    matches!(kind, Type::UpdateMaintenanceSchedule | Type::StartMaintenance | Type::StopMaintenance)
}

/// Carries a change out; answers when it is durable.
pub(super) async fn change(led: &Led, kind: Type, asked: Call) -> Result<HttpResponse, HttpResponse> {
    carry_out(led, read(kind, asked)?).await
}

#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
pub(super) fn read(kind: Type, asked: Call) -> Result<MaintenanceCall, HttpResponse> {
    let missing = |field: &str| invalid(&format!("Expecting '{field}' to be present"));
    match kind {
        Type::UpdateMaintenanceSchedule => {
            let field = "update_maintenance_schedule";
            let update = asked.update_maintenance_schedule.ok_or_else(|| missing(field))?;
            update_schedule(&update.schedule.ok_or_else(|| missing("update_maintenance_schedule.schedule"))?)
        }
        Type::StartMaintenance => {
            start(&asked.start_maintenance.ok_or_else(|| missing("start_maintenance"))?.machines)
        }
        _ => stop(&asked.stop_maintenance.ok_or_else(|| missing("stop_maintenance"))?.machines),
    }
}

/// Hands a call to the books and waits until what it changes is durable.
pub(crate) async fn carry_out(led: &Led, call: MaintenanceCall) -> Result<HttpResponse, HttpResponse> {
    match led.core.maintenance(call).await {
        Ok(Ok(())) => Ok(empty(StatusCode::OK)),
        Ok(Err(refused)) => Err(refusal(refused)),
        Err(stopped) => Err(text(StatusCode::SERVICE_UNAVAILABLE, stopped.to_string())),
    }
}

/// UPDATE_MAINTENANCE_SCHEDULE and `POST /maintenance/schedule`.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
pub(crate) fn update_schedule(schedule: &Schedule) -> Result<MaintenanceCall, HttpResponse> {
    let window = |(index, window): (usize, &Window)| {
        let times = window.unavailability.as_ref();
        let times = times.ok_or_else(|| bad(format!("windows[{index}].unavailability is required")))?;
        let unavailability = times.try_into();
        let unavailability =
            unavailability.map_err(|why| bad(format!("windows[{index}].unavailability.{why}")))?;
        Ok(MaintenanceWindow { machines: machines(&window.machine_ids)?, unavailability })
    };
    let windows = schedule.windows.iter().enumerate().map(window).collect::<Result<_, _>>()?;
    Ok(MaintenanceCall::UpdateSchedule { windows })
}

/// START_MAINTENANCE and `POST /machine/down`.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
pub(crate) fn start(named: &[v1::MachineId]) -> Result<MaintenanceCall, HttpResponse> {
    Ok(MaintenanceCall::Start { machines: machines(named)? })
}

/// STOP_MAINTENANCE and `POST /machine/up`.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
pub(crate) fn stop(named: &[v1::MachineId]) -> Result<MaintenanceCall, HttpResponse> {
    Ok(MaintenanceCall::Stop { machines: machines(named)? })
}

#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
fn machines(named: &[v1::MachineId]) -> Result<Vec<MachineId>, HttpResponse> {
    let machine = |id: &v1::MachineId| MachineId::new(id.hostname(), id.ip());
    named.iter().map(|id| machine(id).map_err(|why| bad(why.to_string()))).collect()
}

fn bad(why: String) -> HttpResponse {
    text(StatusCode::BAD_REQUEST, why)
}

/// GET_MAINTENANCE_SCHEDULE. Machines that are away at the same times are one window, the first to go first.
pub(crate) fn schedule(books: &Snapshot) -> Schedule {
    let mut windows: BTreeMap<Unavailability, Vec<v1::MachineId>> = BTreeMap::new();
    for (id, machine) in &books.machines {
        windows.entry(machine.unavailability).or_default().push(id.into());
    }
    let window = |(times, machine_ids): (Unavailability, Vec<v1::MachineId>)| Window {
        machine_ids,
        unavailability: Some((&times).into()),
    };
    Schedule { windows: windows.into_iter().map(window).collect() }
}

/// GET_MAINTENANCE_STATUS.
pub(crate) fn status(books: &Snapshot) -> ClusterStatus {
    let mut said: BTreeMap<MachineId, Vec<InverseOfferStatus>> = BTreeMap::new();
    for (agent, answers) in &books.inverse_answers {
        let agent = books.agents.get(agent);
        if let Some((id, _)) = agent.and_then(|agent| machine_of(&books.machines, &agent.description)) {
            said.entry(id).or_default().extend(answers.iter().map(answer));
        }
    }
    let mut status = ClusterStatus::default();
    for (id, machine) in &books.machines {
        match machine.is_down {
            true => status.down_machines.push(id.into()),
            false => status
                .draining_machines
                .push(DrainingMachine { id: Some(id.into()), statuses: said.remove(id).unwrap_or_default() }),
        }
    }
    status
}

fn answer((framework, answer): (&FrameworkId, &InverseAnswer)) -> InverseOfferStatus {
    let status = if answer.will_leave { Status::Accept } else { Status::Decline };
    InverseOfferStatus {
        status: Some(status.into()),
        framework_id: Some(framework.into()),
        timestamp: Some(wall_to_wire(answer.at)),
    }
}
