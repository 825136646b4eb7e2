//! Quotas and weights: GET_QUOTA, UPDATE_QUOTA, SET_QUOTA, REMOVE_QUOTA, GET_WEIGHTS, UPDATE_WEIGHTS.

use std::collections::BTreeMap;

use chapada_listener::{HttpResponse, empty, text};
use chapada_master_core::{Quota, RoleCall, Snapshot, largest_amount};
use chapada_model::{Milli, Quantities, Role, Text};
use chapada_wire::v1::master::call::Type;
use chapada_wire::v1::master::{Call, response};
use chapada_wire::v1::quota::{QuotaConfig, QuotaInfo, QuotaRequest, QuotaStatus};
use chapada_wire::v1::{self, value::Scalar};
use http::StatusCode;

use super::calls::invalid;
use super::operate::refusal;
use crate::shell::Led;

/// Whether this is a change of quotas or weights.
pub(crate) fn is_change(kind: Type) -> bool {
    matches!(kind, Type::UpdateQuota | Type::SetQuota | Type::RemoveQuota | Type::UpdateWeights)
}

/// Carries a change out; answers when it is durable.
pub(super) async fn change(led: &Led, kind: Type, asked: Call) -> Result<HttpResponse, HttpResponse> {
    carry_out(led, read(kind, asked)?).await
}

/// Reads a change; the error is the answer.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
pub(crate) fn read(kind: Type, asked: Call) -> Result<RoleCall, HttpResponse> {
    let missing = |field: &str| invalid(&format!("Expecting '{field}' to be present"));
    Ok(match kind {
        Type::UpdateQuota => {
            let update = asked.update_quota.ok_or_else(|| missing("update_quota"))?;
            let quotas = update.quota_configs.iter().map(quota_config).collect::<Result<_, _>>();
            let quotas = quotas.map_err(|why| bad_request(format!("Invalid QuotaConfig: {why}")))?;
            RoleCall::UpdateQuota { quotas, force: update.force.unwrap_or_default() }
        }
        Type::SetQuota => {
            let set = asked.set_quota.ok_or_else(|| missing("set_quota"))?;
            set_quota(&set.quota_request.ok_or_else(|| missing("set_quota.quota_request"))?)?
        }
        Type::RemoveQuota => {
            let remove = asked.remove_quota.ok_or_else(|| missing("remove_quota"))?;
            remove_quota(&remove.role.unwrap_or_default())?
        }
        _ => {
            let update = asked.update_weights.ok_or_else(|| missing("update_weights"))?;
            update_weights(&update.weight_infos)?
        }
    })
}

/// Hands a call to the books and waits until what it changes is durable.
pub(crate) async fn carry_out(led: &Led, call: RoleCall) -> Result<HttpResponse, HttpResponse> {
    match led.core.role_call(call).await {
        Ok(Ok(())) => Ok(empty(StatusCode::OK)),
        Ok(Err(refused)) => Err(refusal(refused)),
        Err(stopped) => Err(text(StatusCode::SERVICE_UNAVAILABLE, stopped.to_string())),
    }
}

fn bad_request(why: String) -> HttpResponse {
    text(StatusCode::BAD_REQUEST, why)
}

/// SET_QUOTA and `POST /quota`: a guarantee in the form before limits.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
pub(crate) fn set_quota(request: &QuotaRequest) -> Result<RoleCall, HttpResponse> {
    let read = || -> Result<RoleCall, String> {
        let role = role("role", request.role.as_deref())?;
        let mut guarantee = Quantities::default();
        for resource in &request.guarantee {
            let (name, amount) = plain_scalar(resource)?;
            if guarantee.0.insert(name.clone(), amount).is_some() {
                return Err(format!("'guarantee' names {name} twice"));
            }
        }
        Ok(RoleCall::SetQuota { role, guarantee, force: request.force.unwrap_or_default() })
    };
    read().map_err(|why| bad_request(format!("Failed to validate set quota request: {why}")))
}

/// REMOVE_QUOTA and `DELETE /quota/role`.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
pub(crate) fn remove_quota(name: &str) -> Result<RoleCall, HttpResponse> {
    let role = role("role", Some(name));
    let role = role.map_err(|why| bad_request(format!("Failed to remove quota: {why}")))?;
    Ok(RoleCall::RemoveQuota { role })
}

/// UPDATE_WEIGHTS and `PUT /weights`.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
pub(crate) fn update_weights(infos: &[v1::WeightInfo]) -> Result<RoleCall, HttpResponse> {
    let weight = |info: &v1::WeightInfo| -> Result<(Role, Milli), String> {
        // Source: Mesos passes over blanks around the name.
        let role = role("role", info.role.as_deref().map(str::trim))?;
        let weight = info.weight.and_then(Milli::from_f64).filter(|weight| !weight.is_zero());
        let said = info.weight.unwrap_or_default();
        let wrong =
            || format!("Invalid weight '{said}' for role '{role}': Weights must be positive, 0.001 at least");
        Ok((role.clone(), weight.ok_or_else(wrong)?))
    };
    let weights = infos.iter().map(weight).collect::<Result<_, _>>();
    let weights = weights
        .map_err(|why| bad_request(format!("Failed to validate update weights request JSON: {why}")))?;
    Ok(RoleCall::UpdateWeights { weights })
}

fn role(field: &str, name: Option<&str>) -> Result<Role, String> {
    let name = name.ok_or_else(|| format!("'{field}' must be set"))?;
    Role::new(name).map_err(|why| format!("Invalid '{field}': {why}"))
}

fn quota_config(config: &QuotaConfig) -> Result<(Role, Quota), String> {
    let role = role("QuotaConfig.role", config.role.as_deref())?;
    let guarantee = Quantities(amounts("guarantees", &config.guarantees)?);
    Ok((role, Quota { guarantee, limit: amounts("limits", &config.limits)? }))
}

fn amounts(field: &str, said: &BTreeMap<String, Scalar>) -> Result<BTreeMap<Text, Milli>, String> {
    let amount = |(name, scalar): (&String, &Scalar)| {
        let amount =
            amount(name, scalar.value).map_err(|why| format!("Invalid 'QuotaConfig.{field}': {why}"))?;
        Ok((name.as_str().into(), amount))
    };
    said.iter().map(amount).collect()
}

/// An amount that can be counted (MESOS-10008).
fn amount(name: &str, said: Option<f64>) -> Result<Milli, String> {
    let said = said.unwrap_or_default();
    let largest = largest_amount(name);
    if said > largest.to_f64() {
        return Err(format!("{name}:{said} is more than the largest amount, {largest}"));
    }
    Milli::from_f64(said)
        .ok_or_else(|| format!("{name}:{said} is no amount: a number from 0 to {largest} is"))
}

/// An amount of anybody's: what a guarantee of old consists of.
fn plain_scalar(resource: &v1::Resource) -> Result<(Text, Milli), String> {
    let name = resource.name.as_deref().unwrap_or_default();
    if resource.r#type() != v1::value::Type::Scalar {
        return Err(format!("'guarantee' has {name}, which is no scalar"));
    }
    let said = [
        ("ReservationInfo", !resource.reservations.is_empty() || resource.reservation.is_some()),
        ("DiskInfo", resource.disk.is_some()),
        ("RevocableInfo", resource.revocable.is_some()),
    ];
    if let Some((what, _)) = said.iter().find(|(_, is_there)| *is_there) {
        return Err(format!("'guarantee' must not contain any {what}: {name} does"));
    }
    let value = resource.scalar.as_ref().and_then(|scalar| scalar.value);
    Ok((name.into(), amount(name, value)?))
}

/// GET_QUOTA.
pub(super) fn quota(books: &Snapshot) -> response::GetQuota {
    response::GetQuota { status: Some(quota_status(books)) }
}

/// All quotas, also in the form before limits.
pub(crate) fn quota_status(books: &Snapshot) -> QuotaStatus {
    let scalar = |amount: Milli| Scalar { value: Some(amount.to_f64()) };
    let mut status = QuotaStatus::default();
    for (role, quota) in &books.quotas {
        let resource = |(name, amount): (&Text, Milli)| v1::Resource {
            name: Some(name.to_string()),
            r#type: Some(v1::value::Type::Scalar.into()),
            scalar: Some(scalar(amount)),
            ..v1::Resource::default()
        };
        status.infos.push(QuotaInfo {
            role: Some(role.to_string()),
            principal: None,
            guarantee: quota.guarantee.iter().map(resource).collect(),
        });
        status.configs.push(QuotaConfig {
            role: Some(role.to_string()),
            guarantees: quota
                .guarantee
                .iter()
                .map(|(name, amount)| (name.to_string(), scalar(amount)))
                .collect(),
            limits: quota.limit.iter().map(|(name, amount)| (name.to_string(), scalar(*amount))).collect(),
        });
    }
    status
}

/// GET_WEIGHTS; Mesos leaves it out when there are none.
pub(super) fn weights(books: &Snapshot) -> Option<response::GetWeights> {
    let weight_infos = weight_infos(books);
    (!weight_infos.is_empty()).then_some(response::GetWeights { weight_infos })
}

/// All weights that were set.
pub(crate) fn weight_infos(books: &Snapshot) -> Vec<v1::WeightInfo> {
    let info = |(role, weight): (&Role, &Milli)| v1::WeightInfo {
        role: Some(role.to_string()),
        weight: Some(weight.to_f64()),
    };
    books.weights.iter().map(info).collect()
}
