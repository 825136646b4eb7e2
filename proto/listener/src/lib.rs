//! One port for HTTP/1.1, HTTP/2 and gRPC, and the one place where a call is allowed or denied.
//!
//! A daemon declares [`Routes`] (HTTP) and [`GrpcRoutes`] (gRPC), each entry with the [`Action`] it stands for, binds
//! a [`Listener`] and calls [`Listener::serve`]. Before a handler sees a call, its `Host`, `Origin` and content type
//! were checked and [`Policy::authorise`] allowed it. Start reading at [`Listener`], then [`Routes`].
#![forbid(unsafe_code)]

mod admission;
mod arriving;
mod authority;
mod bind;
mod body;
mod call;
mod config;
mod connection;
mod credentials;
mod dispatch;
mod error;
mod grpc;
mod guard;
mod head;
mod local;
mod logging;
mod machine;
mod negotiate;
mod pattern;
mod query;
mod refused;
mod reply;
mod routes;
mod shares;
mod socket;
mod tunnel;

pub use admission::Admission;
pub use authority::{Action, Caller, Decision, Grant, Object, Policy, Principal};
pub use bind::{Entrance, Listener};
pub use body::{BodyError, RequestBody};
pub use call::{Call, HangUp, Peer};
pub use config::{DEFAULT_MAX_BODY, ListenConfig};
pub use credentials::{Credentials, CredentialsError};
pub use error::ListenError;
pub use grpc::GrpcRoutes;
pub use guard::{ContentRule, Guard};
pub use local::LocalListener;
pub use logging::{Logging, SetLevel};
pub use machine::machine_stats;
pub use negotiate::{form_accepted, form_of_body};
pub use query::Query;
pub use reply::{HttpResponse, bytes, empty, json, stream, text};
pub use routes::{Next, RouteEntry, Routes};
pub use shares::{Share, Shares};
pub use tunnel::{Piece, Tunnel, TunnelError, tunnel};
