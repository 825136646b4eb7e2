//! What query strings say.

use chapada_listener::Query;

use crate::render::apps::Embed;

/// Whether `name` is true, in any case; `default` when it is not there.
pub(crate) fn flag(query: &Query, name: &str, default: bool) -> bool {
    query.get(name).map_or(default, |value| value.eq_ignore_ascii_case("true"))
}

/// What is to be embedded, beyond `always`.
pub(crate) fn embed(query: &Query, always: Embed) -> Embed {
    let mut embed = always;
    for value in query.all("embed") {
        embed.add(value);
    }
    embed
}
