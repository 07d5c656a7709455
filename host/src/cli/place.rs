//! Where a message stands, as it is typed and shown: TOPIC/PARTITION/OFFSET.

use crate::api::Place;

/// Reads it.
///
/// # Errors
///
/// What would be right.
pub(super) fn read(text: &str) -> Result<Place, String> {
    let mut parts = text.split('/');
    let (topic, partition, offset) = (parts.next(), parts.next(), parts.next());
    let place = topic.filter(|topic| !topic.is_empty()).and_then(|topic| {
        Some(Place {
            topic: topic.to_owned(),
            partition: partition?.parse().ok()?,
            offset: offset?.parse().ok()?,
        })
    });
    place
        .filter(|place| place.partition >= 0 && place.offset >= 0 && parts.next().is_none())
        .ok_or_else(|| "expected TOPIC/PARTITION/OFFSET, such as `orders/0/17`".to_owned())
}

/// Shows it.
pub(super) fn show(Place { topic, partition, offset }: &Place) -> String {
    format!("{topic}/{partition}/{offset}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_shown() {
        assert_eq!(read("or.ders-1/0/17").map(|place| show(&place)).as_deref(), Ok("or.ders-1/0/17"));
        for wrong in [
            "",
            "0/17",
            "in/0",
            "/0/17",
            "in/-1/17",
            "in/0/-1",
            "in/0/17/1",
            "in/x/17",
            "in/0/9223372036854775808",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
