//! What a task's description says of its checks, as what to ask. When to ask is `chapada_agent_log::watch_of`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use chapada_agent_core::Purpose;
use chapada_wire::v1;
use chapada_wire::v1::{check_info, health_check};

/// What to ask a task.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Question {
    /// Whether it takes a connection there.
    Tcp(SocketAddr),
    /// What it answers to a GET of this path.
    Http { address: SocketAddr, tls: bool, path: String },
    /// How this command ends in its container.
    Command(Box<v1::CommandInfo>),
}

/// What this check of a task asks; `None` when it makes no sense.
pub(super) fn question(info: &v1::TaskInfo, purpose: Purpose) -> Option<Question> {
    use v1::network_info::Protocol::IPv4;
    match purpose {
        Purpose::Check => {
            let check = info.check.as_ref()?;
            match check.r#type() {
                check_info::Type::Unknown => None,
                check_info::Type::Command => {
                    let command = check.command.as_ref()?.command.clone()?;
                    Some(Question::Command(Box::new(command)))
                }
                check_info::Type::Tcp => Some(Question::Tcp(address(IPv4, check.tcp.as_ref()?.port)?)),
                check_info::Type::Http => {
                    let http = check.http.as_ref()?;
                    let address = address(IPv4, http.port)?;
                    Some(Question::Http { address, tls: false, path: path(http.path.as_deref()) })
                }
            }
        }
        Purpose::Health => {
            let check = info.health_check.as_ref()?;
            match check.r#type() {
                health_check::Type::Unknown => None,
                health_check::Type::Command => Some(Question::Command(Box::new(check.command.clone()?))),
                health_check::Type::Tcp => {
                    let tcp = check.tcp.as_ref()?;
                    Some(Question::Tcp(address(tcp.protocol(), tcp.port)?))
                }
                health_check::Type::Http => {
                    let http = check.http.as_ref()?;
                    let (address, tls) = (address(http.protocol(), http.port)?, http.scheme() == "https");
                    Some(Question::Http { address, tls, path: path(http.path.as_deref()) })
                }
            }
        }
    }
}

/// A task is asked at its own loopback.
fn address(protocol: v1::network_info::Protocol, port: Option<u32>) -> Option<SocketAddr> {
    let ip = match protocol {
        v1::network_info::Protocol::IPv4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
        v1::network_info::Protocol::IPv6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    Some(SocketAddr::new(ip, u16::try_from(port?).ok()?))
}

fn path(path: Option<&str>) -> String {
    let path = path.unwrap_or_default();
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_alone_is_asked_at_the_loopback() {
        let health = v1::HealthCheck {
            r#type: Some(health_check::Type::Http as i32),
            http: Some(health_check::HttpCheckInfo { port: Some(80), ..Default::default() }),
            ..v1::HealthCheck::default()
        };
        let check = v1::CheckInfo {
            r#type: Some(check_info::Type::Tcp as i32),
            tcp: Some(check_info::Tcp { port: Some(81) }),
            ..v1::CheckInfo::default()
        };
        let info = v1::TaskInfo { health_check: Some(health), check: Some(check), ..v1::TaskInfo::default() };
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let http = Question::Http { address, tls: false, path: "/".to_owned() };
        assert_eq!(question(&info, Purpose::Health), Some(http));
        let tcp = Question::Tcp(SocketAddr::from(([127, 0, 0, 1], 81)));
        assert_eq!(question(&info, Purpose::Check), Some(tcp));
    }
}
