//! What a command writes, on our own standard output and error.

use anyhow::{Context, Result};
use chapada_wire::Media;
use chapada_wire::recordio::Decoder;
use chapada_wire::v1::agent::ProcessIo;
use chapada_wire::v1::agent::process_io::data::Type;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Far above what an agent puts into one record.
const MAX_RECORD: usize = 1 << 20;
const BROKE_OFF: &str = "the connection broke before the command ended, which it does with its connection";

/// Writes everything until the command has ended.
pub(super) async fn write_out(mut body: Incoming) -> Result<()> {
    let (mut stdout, mut stderr) = (tokio::io::stdout(), tokio::io::stderr());
    let mut records = Decoder::new(MAX_RECORD);
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.context(BROKE_OFF)?.into_data() else { continue };
        records.push(&piece);
        while let Some(record) = records.next_record()? {
            let said: ProcessIo = Media::Protobuf.decode(&record, "ProcessIO")?;
            // The rest is heartbeats.
            let Some(data) = said.data else { continue };
            let bytes = data.data.as_deref().unwrap_or_default();
            match data.r#type() {
                Type::Stderr => write(&mut stderr, bytes).await?,
                _ => write(&mut stdout, bytes).await?,
            }
        }
    }
    records.finish().context(BROKE_OFF)
}

async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}
