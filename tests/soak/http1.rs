//! HTTP/1.1 as it lies on the wire: heads and bodies, read piece by piece.

/// Fields of a head, in their order, names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(pub(crate) Vec<(String, Vec<u8>)>);

/// Of one connection alone, or of how a body is framed in it.
const OF_THE_CONNECTION: [&str; 5] = ["connection", "keep-alive", "transfer-encoding", "host", "content-length"];

impl Fields {
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_slice())
    }

    /// Those that mean the same on every way, by their names: only fields of one name have an order (RFC 9110, 5.3).
    pub(crate) fn end_to_end(&self) -> Vec<&(String, Vec<u8>)> {
        let mut fields: Vec<_> = self.0.iter().filter(|(name, _)| !OF_THE_CONNECTION.contains(&name.as_str())).collect();
        fields.sort_by_key(|(name, _)| name);
        fields
    }
}

/// A head at the beginning of these bytes: first line, fields, and its length; `None` = it is not all there.
pub(crate) fn head(bytes: &[u8]) -> Option<(String, Fields, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = text.split("\r\n");
    let start = lines.next().unwrap_or_default().to_owned();
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().as_bytes().to_vec()))
    };
    Some((start, Fields(lines.filter_map(field).collect()), end + 4))
}

/// Reads a body.
#[derive(Debug)]
pub(crate) struct Body {
    state: State,
    pub(crate) trailers: Fields,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes are to come.
    Length(usize),
    /// The line with a chunk's size is to come.
    Size,
    /// So many bytes of a chunk are to come, and its end.
    Chunk(usize),
    /// Trailers, or the empty line.
    Trailers,
    ToEnd,
    Over,
    /// It is no body.
    Broken,
}

impl Body {
    pub(crate) fn of_request(fields: &Fields) -> Self {
        Self::framed(fields, State::Length(0))
    }

    pub(crate) fn of_answer(fields: &Fields, is_bodiless: bool) -> Self {
        if is_bodiless { Self::new(State::Length(0)) } else { Self::framed(fields, State::ToEnd) }
    }

    fn framed(fields: &Fields, otherwise: State) -> Self {
        let length = || std::str::from_utf8(fields.get("content-length")?).ok()?.parse().ok();
        match fields.get("transfer-encoding") {
            Some(_) => Self::new(State::Size),
            None => Self::new(length().map_or(otherwise, State::Length)),
        }
    }

    fn new(state: State) -> Self {
        let state = if state == State::Length(0) { State::Over } else { state };
        Self { state, trailers: Fields::default() }
    }

    /// Whether it ends with its connection.
    pub(crate) fn is_to_end(&self) -> bool {
        self.state == State::ToEnd
    }

    /// Whether it came to its end (`true`) or cannot (`false`); `None` = more is to come.
    pub(crate) fn is_over(&self) -> Option<bool> {
        match self.state {
            State::Over => Some(true),
            State::Broken => Some(false),
            _ => None,
        }
    }

    /// Reads on; how many bytes were taken.
    pub(crate) fn feed(&mut self, bytes: &[u8], body: &mut Vec<u8>) -> usize {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            match self.state {
                State::Over | State::Broken => return at,
                State::ToEnd => {
                    body.extend_from_slice(rest);
                    return bytes.len();
                }
                State::Length(length) => {
                    let taken = length.min(rest.len());
                    body.extend_from_slice(&rest[..taken]);
                    at += taken;
                    self.state = if taken == length { State::Over } else { State::Length(length - taken) };
                    if taken < length {
                        return at;
                    }
                }
                State::Chunk(length) if length > 0 => {
                    let taken = length.min(rest.len());
                    body.extend_from_slice(&rest[..taken]);
                    at += taken;
                    self.state = State::Chunk(length - taken);
                    if taken < length {
                        return at;
                    }
                }
                State::Chunk(_) => match rest {
                    [b'\r', b'\n', ..] => {
                        at += 2;
                        self.state = State::Size;
                    }
                    [] | [b'\r'] => return at,
                    _ => self.state = State::Broken,
                },
                State::Size => {
                    let Some(end) = rest.windows(2).position(|window| window == b"\r\n") else { return at };
                    let size = std::str::from_utf8(&rest[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
                    at += end + 2;
                    self.state = size.map_or(State::Broken, |size| if size == 0 { State::Trailers } else { State::Chunk(size) });
                }
                State::Trailers if rest.starts_with(b"\r\n") => {
                    at += 2;
                    self.state = State::Over;
                }
                State::Trailers => {
                    let Some(end) = rest.windows(2).position(|window| window == b"\r\n") else { return at };
                    if let Some((_, fields, _)) = head(&[b"\r\n", &rest[..end], b"\r\n\r\n"].concat()) {
                        self.trailers.0.extend(fields.0);
                    }
                    at += end + 2;
                }
            }
        }
    }
}
