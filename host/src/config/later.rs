//! Words of the config whose behaviour is still to come: they are read and checked like all others, and then refused,
//! so that nobody runs without what they asked for. Whoever brings a behaviour takes its line out of `refuse`.

use super::file::{self, Protocol};
use super::names;
use super::problem::{Place, Report};
use super::tree::Field;

/// Checks what is still to come of one plugin, and refuses it.
pub(super) fn check(written: &file::Plugin, report: &mut Report) {
    let http = written.allow.value().and_then(|allow| allow.http.value());
    http.into_iter().flatten().for_each(|origin| names::check_origin(origin, report));
    refuse(written, report);
}

fn refuse(written: &file::Plugin, report: &mut Report) {
    let allow = written.allow.value();
    let refusals = [word(&written.protocol, Protocol::Component), allow.and_then(|allow| place(&allow.http))];
    for place in refusals.into_iter().flatten() {
        let name = place.key.rsplit('.').next().unwrap_or(&place.key);
        report.problem(place, format!("`{name}` is not supported yet")).hint("remove it");
    }
}

/// The place of a table that nothing of is supported.
fn place<T>(field: &Field<T>) -> Option<&Place> {
    field.given().map(|at| &at.place)
}

/// The place of a word unless it is the one that is supported.
fn word<T: PartialEq>(field: &Field<T>, supported: T) -> Option<&Place> {
    field.given().filter(|at| at.value != supported).map(|at| &at.place)
}
