//! What a client saw of an exchange, and when two of them saw the same.

use crate::http1::Fields;
use crate::scene::{Fault, Framing, How, Place, Point, Scene, Way};

/// What a client saw.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Status and fields.
    pub(crate) head: Option<(u16, Fields)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Fields,
    pub(crate) end: End,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All of the answer is there.
    Whole,
    /// The other end closed.
    Closed,
    /// The other end reset the connection, or the stream.
    Reset,
    /// What came is no HTTP.
    Garbage,
    /// There was no connection.
    Refused,
    /// The client left.
    Left,
}

impl Seen {
    /// Nothing but this.
    pub(crate) fn nothing(end: End) -> Self {
        Self { head: None, body: Vec::new(), trailers: Fields::default(), end }
    }

    /// Whether its connection takes another request.
    pub(crate) fn stays(&self) -> bool {
        self.head.as_ref().is_none_or(|(_, fields)| fields.get("connection") != Some(b"close"))
    }

    fn status(&self) -> Option<u16> {
        self.head.as_ref().map(|(status, _)| *status)
    }

    fn fields(&self) -> Vec<&(String, Vec<u8>)> {
        self.head.as_ref().map(|(_, fields)| fields.end_to_end()).unwrap_or_default()
    }

    /// Whether who asked through the gateway saw what who asked directly saw.
    pub(crate) fn is_as(&self, direct: &Self, scene: &Scene) -> bool {
        if scene.leaves_at(Point::Asking) || scene.leaves_at(Point::Uploading) || scene.leaves_at(Point::BodyUnread) {
            return (self.end, direct.end) == (End::Left, End::Left) && self.head.is_none();
        }
        let is_carried = matches!(scene.way, Way::Route | Way::Absolute | Way::Streams);
        let bad_gateway = || {
            let text = String::from_utf8_lossy(&self.body);
            self.status() == Some(502) && (scene.method == "HEAD" || text.contains("no HTTP")) && self.end == End::Whole
        };
        match scene.fault {
            // The gateway is asked for HTTP, and says that there is none.
            Some(Fault { at: Point::Unanswered, how: How::Garbage }) if is_carried => {
                return direct.end == End::Garbage && bad_gateway();
            }
            _ => {}
        }
        // A stream that is reset may lose what was on its way, its head too.
        if scene.way == Way::Streams && self.end == End::Reset && self.head.is_none() {
            return self.same_end(direct, scene, is_carried);
        }
        self.same_end(direct, scene, is_carried)
            && self.status() == direct.status()
            && self.fields() == direct.fields()
            && self.same_length(direct)
            && self.same_body(direct, scene)
            && self.trailers.end_to_end() == direct.trailers.end_to_end()
    }

    fn same_end(&self, direct: &Self, scene: &Scene, is_carried: bool) -> bool {
        use End::{Closed, Garbage, Refused, Reset};
        let is_broken = matches!(self.end, Closed | Reset);
        match (direct.end, self.end) {
            // It has a connection, but no answer.
            (Refused, _) if scene.place == Place::Refused => is_broken || self.end == Refused,
            // A stream has no other end than a reset.
            (Closed | Reset, Reset) if scene.way == Way::Streams => true,
            // What was not read turns a close into a reset, at either end and for whoever is quick to see it.
            (Closed | Reset, _) if scene.fault.is_some_and(|fault| fault.at == Point::BodyUnread) => is_broken,
            // Chunks are the connection's own: a broken one does not pass.
            (Garbage, _) if is_carried => is_broken && direct.head.is_some(),
            (direct, through) => direct == through,
        }
    }

    fn same_body(&self, direct: &Self, scene: &Scene) -> bool {
        // A stream that is reset may lose what was on its way.
        if scene.way == Way::Streams && self.end == End::Reset {
            direct.body.starts_with(&self.body)
        } else {
            self.body == direct.body
        }
    }

    /// A length that is said is said by both.
    fn same_length(&self, direct: &Self) -> bool {
        let length = |seen: &Self| seen.head.as_ref().and_then(|(_, fields)| fields.get("content-length").map(<[u8]>::to_vec));
        length(self) == length(direct)
    }

    /// Whether it is what the scene is to come to, as far as that is known without having asked.
    pub(crate) fn fits(&self, scene: &Scene) -> bool {
        if scene.place == Place::Refused {
            return self.end == End::Refused;
        }
        let expected = match scene.fault {
            _ if matches!(scene.place, Place::Silent | Place::Mute) => End::Left,
            None => End::Whole,
            Some(Fault { how: How::Stall, .. }) => End::Left,
            Some(Fault { how: How::Garbage, .. }) => End::Garbage,
            Some(Fault { how: How::Reset, .. }) => End::Reset,
            // What was not read turns a close into a reset.
            Some(Fault { at: Point::BodyUnread, .. }) => return matches!(self.end, End::Closed | End::Reset),
            // That is its end.
            Some(Fault { how: How::Close, at: Point::Head | Point::HalfBody }) if scene.framing == Framing::ToEnd => End::Whole,
            Some(Fault { how: How::Close, .. }) => End::Closed,
        };
        self.end == expected
    }
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body[..self.body.len().min(200)]).into_owned();
        write!(f, "{:?}, {:?}; {} bytes {body:?}; ", self.end, self.status(), self.body.len())?;
        for (name, value) in self.head.iter().flat_map(|(_, fields)| &fields.0).chain(&self.trailers.0) {
            write!(f, " {name}: {}", String::from_utf8_lossy(value))?;
        }
        Ok(())
    }
}
