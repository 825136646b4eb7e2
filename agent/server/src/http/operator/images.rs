//! PRUNE_IMAGES: images that nothing uses are removed now, however empty the disk is.

use std::sync::Arc;

use chapada_images::Reference;
use chapada_listener::{HttpResponse, empty};
use chapada_wire::v1::agent::Call;
use http::StatusCode;
use tokio::task::spawn_blocking;

use super::{Api, Refusal, invalid, refusal};

pub(super) async fn prune(api: &Arc<Api>, asked: &Call) -> Result<HttpResponse, Refusal> {
    let images = asked.prune_images.iter().flat_map(|prune| &prune.excluded_images);
    let names = images.filter_map(|image| image.docker.as_ref()?.name.as_deref());
    let excluded = names.map(|name| name.parse::<Reference>().map_err(|error| invalid(&error.to_string())));
    let excluded = excluded.collect::<Result<Vec<_>, _>>()?;
    let Some(images) = api.means.supplies.images.opened().cloned() else {
        return Ok(empty(StatusCode::OK));
    };
    match spawn_blocking(move || images.prune(&excluded)).await {
        Ok(Ok(collected)) => {
            tracing::info!(images = collected.images, layers = collected.layers, "removed unused images");
            Ok(empty(StatusCode::OK))
        }
        Ok(Err(error)) => Err(refusal(StatusCode::INTERNAL_SERVER_ERROR, error.chain())),
        Err(error) => Err(refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}
