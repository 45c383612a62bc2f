//! The class name of the exception whose traceback a process writes to its standard error.

/// Longest class name that is kept.
const NAME_MAX: usize = 120;
/// Bytes looked at from the end of a write.
const LINE_MAX: usize = 4096;
/// Ends that make a name without a dot one of an exception.
const ENDS: [&[u8]; 4] = [b"Error", b"Exception", b"Timeout", b"Interrupt"];

/// The beginning of the line that a thread is writing: interpreters write a traceback's last line in several pieces.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Line {
    len: u32,
    /// The line cannot be the one looked for, or was told already.
    over: bool,
    bytes: [u8; NAME_MAX],
}

impl Line {
    /// An empty line.
    #[cfg(test)]
    pub(crate) const NEW: Self = Self { len: 0, over: false, bytes: [0; NAME_MAX] };

    fn restart(&mut self, over: bool) {
        self.len = 0;
        self.over = over;
    }

    /// Takes what was written next. Gives the length of the class name in [`Line::name`] when the last line with
    /// anything on it has the form of a traceback's last: `package.Name: message`, or `Name`, in the first column.
    ///
    /// # Safety
    /// `text` must be readable for `len` bytes.
    pub(crate) unsafe fn feed(&mut self, text: *const u8, len: usize) -> Option<usize> {
        // SAFETY: called within `len`.
        let byte = |at: usize| unsafe { *text.add(at) };
        let least = len.saturating_sub(LINE_MAX);
        let mut end = len;
        while end > least && matches!(byte(end - 1), b'\n' | b'\r') {
            end -= 1;
        }
        let complete = end < len;
        let mut start = end;
        while start > least && byte(start - 1) != b'\n' {
            start -= 1;
        }
        if start > 0 && start < end {
            self.restart(start == least);
        }
        let mut found = None;
        let mut at = start;
        while at < end && !self.over {
            match byte(at) {
                // A terminal's colour.
                0x1b => {
                    while at < end && byte(at) != b'm' {
                        at += 1;
                    }
                }
                b':' => {
                    if at + 1 == end || byte(at + 1) == b' ' {
                        found = self.class_name();
                    }
                    self.over = true;
                }
                name @ (b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.') => match self.bytes.get_mut(self.len as usize) {
                    Some(place) => {
                        *place = name;
                        self.len += 1;
                    }
                    None => self.over = true,
                },
                _ => self.over = true,
            }
            at += 1;
        }
        if complete {
            if !self.over {
                found = self.class_name();
            }
            self.restart(false);
        }
        found
    }

    /// Where the name that [`Line::feed`] found begins.
    pub(crate) fn name(&self) -> *const u8 {
        self.bytes.as_ptr()
    }

    /// The length of the name, if it is that of an exception's class.
    fn class_name(&self) -> Option<usize> {
        let len = self.len as usize;
        let name = self.bytes.get(..len)?;
        if !name.first()?.is_ascii_alphabetic() || *name.last()? == b'.' {
            return None;
        }
        let mut last = 0;
        for (at, pair) in name.windows(2).enumerate() {
            if let [b'.', next] = pair {
                // No component is empty.
                if *next == b'.' {
                    return None;
                }
                last = at + 1;
            }
        }
        let error = last > 0 || ENDS.iter().any(|end| name.ends_with(end));
        // `socket.gaierror`, `zlib.error`.
        let class = name.get(last)?.is_ascii_uppercase() || (last > 0 && name.ends_with(b"error"));
        (class && error && !name.ends_with(b"Warning")).then_some(len)
    }
}

#[cfg(test)]
mod tests;
