//! The ports of a container, as text.

use super::Port;
use crate::stencil::Stencil;

pub(super) fn text(ports: &[Port]) -> String {
    let mut out = Stencil::with_room_for(ports.len() * 96 + 2);
    for (at, Port { name, number, udp, on_host }) in ports.iter().enumerate() {
        out.raw(if at == 0 { "[" } else { "," });
        out.raw("{\"containerPort\":");
        out.number(*number);
        if *on_host {
            out.raw(",\"hostPort\":");
            out.number(*number);
        }
        out.raw(",\"name\":");
        out.string(name);
        out.raw(if *udp { ",\"protocol\":\"UDP\"}" } else { ",\"protocol\":\"TCP\"}" });
    }
    out.raw(if out.is_empty() { "[]" } else { "]" });
    out.into_text()
}
