//! Server-sent events: the items do not depend on how the bytes are cut, and an event is as long as its data.

#![no_main]

use hopwatch::wire::sse::{Item, Parser};
use hopwatch_fuzz::{Input, parts};
use libfuzzer_sys::fuzz_target;

/// Longest name of an event that is kept, in bytes.
const NAME_LIMIT: usize = 64;

/// An event: its name, its data, and whether bytes of it were missing.
type Event = (Vec<u8>, Vec<u8>, bool);

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let lengths = input.counted(false);
    let gap = input.byte();
    let (first, second) = match gap {
        0 => (input.0, &[][..]),
        gap => (input.counted(gap & 1 == 0), input.0),
    };
    let whole = read(&[first, second], gap > 0, &[]);
    assert_eq!(whole, read(&[first, second], gap > 0, lengths));
    assert_eq!(whole, read(&[first, second], gap > 0, &[1]));
    assert!(gap > 0 || whole.iter().all(|(_, _, cut)| !cut));
});

/// The events of a stream of which bytes are missing between the two.
fn read(both: &[&[u8]; 2], gap: bool, lengths: &[u8]) -> Vec<Event> {
    let mut parser = Parser::default();
    let mut events = Vec::new();
    let mut data = Vec::new();
    for (place, bytes) in both.iter().enumerate() {
        if place > 0 && gap {
            parser.gap();
        }
        for part in parts(bytes, lengths) {
            parser.feed(part, &mut |item| match item {
                Item::Data(piece) => data.extend_from_slice(piece),
                Item::Event(event) => {
                    let data = std::mem::take(&mut data);
                    assert!(event.bytes == data.len() as u64 && event.name.len() <= NAME_LIMIT);
                    events.push((event.name.to_vec(), data, event.cut));
                }
            });
        }
    }
    events
}
