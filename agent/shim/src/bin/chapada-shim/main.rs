//! The program beside a container: makes it, waits for its end, writes that down, and tells the agent. It has one thread,
//! reads its order from standard input, and speaks over standard output, a socket, and `shim.sock`. It begins as the zygote
//! that divides itself for each order.

mod child;
mod clients;
mod complain;
mod container;
mod detach;
mod enter;
mod filesystem;
mod init;
mod log;
mod pump;
mod readers;
mod ready;
mod serve;
mod sessions;
mod terminal;
mod volumes;
mod zygote;

use std::io::{self, Read};
use std::process::ExitCode;

use chapada_shim::{LaunchOrder, PROTOCOL_VERSION};

use ready::Ready;

fn main() -> ExitCode {
    match detach::leave_agent().and_then(|()| zygote::divide()).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain::complain(format_args!("{message}"));
            ExitCode::FAILURE
        }
    }
}

fn run(ready: Option<Ready>) -> Result<(), String> {
    let Some(ready) = ready else { return Ok(()) };
    serve::serve(&read_order()?, ready)
}

fn read_order() -> Result<LaunchOrder, String> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes).map_err(|error| format!("cannot read the order: {error}"))?;
    let order: LaunchOrder = match serde_json::from_slice(&bytes) {
        Ok(order) => order,
        Err(error) => {
            return Err(format!(
                "cannot understand the order: {error}; agent and shim must be of one version"
            ));
        }
    };
    if order.version != PROTOCOL_VERSION {
        return Err(format!(
            "the order has version {}, this shim speaks version {PROTOCOL_VERSION}",
            order.version
        ));
    }
    order.spec.validate().map_err(|error| error.to_string())?;
    Ok(order)
}
