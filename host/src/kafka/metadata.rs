//! The metadata of a commit as bytes: the wrapper takes it for UTF-8 and panics when another tool wrote something else.
//! What the bytes mean is decided by who reads them.

#![allow(
    unsafe_code,
    reason = "reads what librdkafka has put beside an offset, with the argument why it is sound"
)]

use rdkafka::TopicPartitionList;

/// The metadata that came with the offset at `index` of `list`; none when there is none, or no such offset.
pub(super) fn commit_metadata(list: &TopicPartitionList, index: usize) -> Option<Vec<u8>> {
    // SAFETY: the list is alive and not changed while it is borrowed. It holds `cnt` elements; the metadata of one is
    // null or `metadata_size` bytes that belong to the element.
    unsafe {
        let raw = &*list.ptr();
        let count = usize::try_from(raw.cnt).ok()?;
        let element = (index < count).then(|| &*raw.elems.add(index))?;
        let metadata = element.metadata.cast::<u8>();
        (!metadata.is_null()).then(|| std::slice::from_raw_parts(metadata, element.metadata_size).to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read_as_it_was_set_and_only_where_there_is_some() {
        let mut list = TopicPartitionList::new();
        list.add_partition("orders", 0).set_metadata("gm1");
        list.add_partition("orders", 1);
        assert_eq!(commit_metadata(&list, 0), Some(b"gm1".to_vec()));
        assert_eq!(commit_metadata(&list, 1), None);
        assert_eq!(commit_metadata(&list, 2), None);
    }
}
