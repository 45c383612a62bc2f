//! What is asked and what becomes of it: all of it follows from a number, so that client and upstream know it alike.

use std::io::Write;
use std::sync::LazyLock;

/// Deals numbers out (SplitMix64, Steele et al. 2014).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// One of these, by their weights.
    pub(crate) fn one<T: Copy>(&mut self, of: &[(usize, T)]) -> T {
        let mut at = self.below(of.iter().map(|(weight, _)| weight).sum());
        let found = of.iter().find(|(weight, _)| {
            let is_here = at < *weight;
            at = at.wrapping_sub(*weight);
            is_here
        });
        found.unwrap().1
    }

    /// A length: mostly short, seldom longer than what sockets hold.
    fn length(&mut self, longest: usize) -> usize {
        let most = self.one(&[(4, 1), (40, 300), (40, 4_000), (12, 30_000), (4, longest)]);
        self.below(most.min(longest))
    }
}

/// The way that a request takes through the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    /// By a route, over HTTP/1.1.
    Route,
    /// In absolute form, over HTTP/1.1.
    Absolute,
    /// By a route, over HTTP/2.
    Streams,
    /// Inside of a tunnel.
    Tunnel,
    /// By a TCP route.
    Tcp,
}

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// Who does what the scene says.
    Upstream,
    /// The same, but it closes or resets its connection after some answers without saying so before.
    Hasty,
    /// Nobody listens.
    Refused,
    /// The connect is not answered.
    Silent,
    /// The connect is accepted, and the handshake of TLS not answered.
    Mute,
}

/// A request and what becomes of it.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) number: u64,
    pub(crate) way: Way,
    pub(crate) place: Place,
    pub(crate) method: &'static str,
    pub(crate) upload: Upload,
    pub(crate) status: u16,
    pub(crate) framing: Framing,
    /// Of the answer's body, before it is compressed.
    length: usize,
    is_gzip: bool,
    pub(crate) fault: Option<Fault>,
    /// What a hasty upstream does after the answer.
    pub(crate) parting: Option<How>,
}

/// A request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upload {
    None,
    Sized(usize),
    Chunked(usize),
}

/// How an answer's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// It has none: HEAD, 204, 304.
    Bodiless,
    Length,
    Chunked,
    /// Chunked, with trailers.
    Trailers,
    /// Chunked, one server-sent event a chunk.
    Events,
    /// It ends with its connection.
    ToEnd,
}

/// What goes wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: Point,
    pub(crate) how: How,
}

/// A point of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Point {
    /// Half of the request's head was sent: the client alone can fail here.
    Asking,
    /// Half of the request's body was sent: likewise.
    Uploading,
    /// The request's head was read, and nothing of its body.
    BodyUnread,
    /// All of the request was read.
    Unanswered,
    /// Half of the answer's head was sent.
    HalfHead,
    /// The answer's head was sent.
    Head,
    /// Half of the answer's body was sent.
    HalfBody,
}

/// How it goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The upstream closes.
    Close,
    /// The upstream resets.
    Reset,
    /// Nothing more comes, and the client leaves.
    Stall,
    /// What comes is no HTTP.
    Garbage,
}

/// The longest bodies: beyond what sockets hold on their way.
const LONGEST: usize = 300_000;
/// The longest that is sent before a reset: all of it fits into sockets, so that none of it is lost.
const BEFORE_RESET: usize = 16_000;

impl Scene {
    pub(crate) fn of(number: u64) -> Self {
        let mut dice = Dice::new(number.wrapping_mul(0xd134_2543_de82_ef95));
        use Place::{Hasty, Mute, Refused, Silent, Upstream};
        let way = dice.one(&[(45, Way::Route), (10, Way::Absolute), (25, Way::Streams), (10, Way::Tunnel), (10, Way::Tcp)]);
        let place = dice.one(&[(960, Upstream), (25, Hasty), (12, Refused), (2, Silent), (1, Mute)]);
        let place = match way {
            Way::Tunnel | Way::Tcp if matches!(place, Hasty | Mute) => Upstream,
            Way::Tcp if place == Silent => Upstream,
            Way::Absolute if place == Mute => Upstream,
            _ => place,
        };
        let method = dice.one(&[(60, "GET"), (25, "POST"), (5, "PUT"), (4, "DELETE"), (6, "HEAD")]);
        let upload = match method {
            "POST" | "PUT" if dice.below(2) == 0 => Upload::Chunked(dice.length(LONGEST)),
            "POST" | "PUT" => Upload::Sized(dice.length(LONGEST)),
            _ => Upload::None,
        };
        let upload = if place == Upstream { upload } else { Upload::None };
        let method = if place != Upstream && method != "HEAD" { "GET" } else { method };
        let status = dice.one(&[(80, 200), (4, 201), (3, 204), (3, 304), (2, 404), (3, 429), (3, 500), (2, 503)]);
        let framing = match status {
            204 | 304 => Framing::Bodiless,
            _ if method == "HEAD" => Framing::Bodiless,
            _ => {
                use Framing::{Chunked, Events, Length, ToEnd, Trailers};
                dice.one(&[(55, Length), (20, Chunked), (5, Trailers), (18, Events), (2, ToEnd)])
            }
        };
        let mut length = dice.length(LONGEST);
        let is_gzip = framing != Framing::Events && dice.below(10) == 0;
        let fault = (place == Upstream && dice.below(100) < 12).then(|| Self::fault(&mut dice, upload, framing)).flatten();
        if fault.is_some_and(|fault| fault.how == How::Reset) {
            length = length.min(BEFORE_RESET);
        }
        if fault.is_some() {
            // There is something to miss.
            length = length.max(1);
        }
        let parting = (place == Hasty && framing != Framing::ToEnd)
            .then(|| dice.one(&[(2, None), (1, Some(How::Close)), (1, Some(How::Reset))]))
            .flatten();
        Self { number, way, place, method, upload, status, framing, length, is_gzip, fault, parting }
    }

    fn fault(dice: &mut Dice, upload: Upload, framing: Framing) -> Option<Fault> {
        use How::{Close, Garbage, Reset, Stall};
        use Point::{Asking, BodyUnread, HalfBody, HalfHead, Head, Unanswered, Uploading};
        let at =
            dice.one(&[(1, Asking), (2, Uploading), (2, BodyUnread), (3, Unanswered), (2, HalfHead), (2, Head), (4, HalfBody)]);
        let has_body = !matches!(upload, Upload::None | Upload::Sized(..2) | Upload::Chunked(..2));
        let how = match at {
            Asking => Stall,
            Uploading if has_body => Stall,
            Uploading | BodyUnread if !has_body => return None,
            Unanswered => dice.one(&[(3, Close), (3, Reset), (3, Stall), (1, Garbage)]),
            Head | HalfBody if framing == Framing::Bodiless => return None,
            HalfBody if matches!(framing, Framing::Chunked | Framing::Trailers | Framing::Events) => {
                dice.one(&[(3, Close), (3, Reset), (3, Stall), (1, Garbage)])
            }
            _ => dice.one(&[(1, Close), (1, Reset), (1, Stall)]),
        };
        Some(Fault { at, how })
    }

    /// Whether the client leaves at this point.
    pub(crate) fn leaves_at(&self, at: Point) -> bool {
        self.fault == Some(Fault { at, how: How::Stall })
    }

    /// Whether it goes wrong before the answer's head is there.
    pub(crate) fn fails_before_head(&self) -> bool {
        self.fault.is_some_and(|fault| fault.at < Point::Head)
    }

    pub(crate) fn target(&self) -> String {
        format!("/calls/{}?key=s3cret", self.number)
    }

    /// Fields of its head, beside those of its connection and those of its framing.
    pub(crate) fn request_fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("x-number", self.number.to_string()),
            ("accept", "*/*".to_owned()),
            ("te", "trailers".to_owned()),
            ("x-many", "1".to_owned()),
            ("x-many", "2".to_owned()),
        ];
        if self.upload != Upload::None {
            fields.push(("content-type", "application/json".to_owned()));
        }
        fields
    }

    /// Bytes of the request's body.
    pub(crate) fn request_body(&self) -> Vec<u8> {
        let (Upload::Sized(length) | Upload::Chunked(length)) = self.upload else { return Vec::new() };
        let start = format!("{{\"model\":\"gpt-test\",\"stream\":{},\"text\":\"", self.number.is_multiple_of(2));
        text(start.as_bytes(), self.number, length)
    }

    /// Fields of the answer's head, beside those of its connection and those of its framing.
    pub(crate) fn answer_fields(&self, asked: u64) -> Vec<(&'static str, String)> {
        let content_type = match self.framing {
            Framing::Events => "text/event-stream",
            _ if self.number.is_multiple_of(3) => "application/json",
            _ => "text/plain",
        };
        let mut fields = vec![
            ("x-number", self.number.to_string()),
            ("x-asked", format!("{asked:016x}")),
            ("content-type", content_type.to_owned()),
        ];
        fields.extend([("set-cookie", "a=1".to_owned()), ("x-other", String::new()), ("set-cookie", "b=2".to_owned())]);
        if self.is_gzip && self.framing != Framing::Bodiless {
            fields.push(("content-encoding", "gzip".to_owned()));
        }
        if self.framing == Framing::Trailers {
            fields.push(("trailer", "x-trailer".to_owned()));
        }
        if self.status == 429 {
            fields.push(("retry-after", "1".to_owned()));
        }
        fields
    }

    /// The pieces of the answer's body.
    pub(crate) fn answer_body(&self) -> Vec<Vec<u8>> {
        if self.framing == Framing::Events {
            return self.events();
        }
        let mut body = text(b"{\"model\":\"gpt-test\",\"usage\":{\"prompt_tokens\":3},\"text\":\"", self.number, self.length);
        if self.is_gzip {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&body).unwrap();
            body = encoder.finish().unwrap();
        }
        let piece = Dice::new(self.number).below(8_000) + 200;
        body.chunks(piece).map(<[u8]>::to_vec).collect()
    }

    fn events(&self) -> Vec<Vec<u8>> {
        let count = 1 + self.length.min(6_000) / 100;
        let word = |index: usize| {
            let content = String::from_utf8(text(b"", self.number.wrapping_add(index as u64), 40)).unwrap();
            format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{content}\"}}}}]}}\n\n").into_bytes()
        };
        (0..count).map(word).chain([b"data: [DONE]\n\n".to_vec()]).collect()
    }

    /// How many pieces of the answer's body are sent before something goes wrong.
    pub(crate) fn pieces_sent(&self, count: usize) -> usize {
        match self.fault {
            Some(Fault { at: Point::HalfBody, .. }) => count / 2,
            Some(Fault { at: Point::Head, .. }) => 0,
            _ => count,
        }
    }

    /// How many bytes of the answer's body come before the client leaves.
    pub(crate) fn seen_before_leaving(&self) -> usize {
        let pieces = self.answer_body();
        pieces[..self.pieces_sent(pieces.len())].iter().map(Vec::len).sum()
    }
}

/// So many bytes that belong to this number and begin so.
fn text(start: &[u8], number: u64, length: usize) -> Vec<u8> {
    static TEXT: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut dice = Dice::new(0);
        (0..LONGEST / 8).flat_map(|_| format!("{:016x} and so on, ", dice.next()).into_bytes()).collect()
    });
    let from = Dice::new(number).below(TEXT.len() - LONGEST);
    let mut bytes = start.to_vec();
    bytes.extend_from_slice(&TEXT[from..from + length.saturating_sub(start.len())]);
    bytes.truncate(length);
    bytes
}
