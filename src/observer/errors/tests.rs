use super::Line;

/// The names found when the pieces are written one after the other.
fn names(pieces: &[&str]) -> Vec<String> {
    let mut line = Line::NEW;
    let mut names = Vec::new();
    for piece in pieces {
        // SAFETY: the piece is readable for its length; the name lies within the line.
        unsafe {
            if let Some(len) = line.feed(piece.as_ptr(), piece.len()) {
                names.push(String::from_utf8_lossy(std::slice::from_raw_parts(line.name(), len)).into_owned());
            }
        }
    }
    names
}

#[test]
fn a_traceback_in_one_write_names_its_class() {
    let text = "Traceback (most recent call last):\n  File \"a.py\", line 3, in <module>\nopenai.APITimeoutError: Request timed out.\n";
    assert_eq!(names(&[text]), ["openai.APITimeoutError"]);
}

#[test]
fn a_line_in_pieces_names_its_class_once() {
    assert_eq!(names(&["  File \"a.py\"\n", "httpx", ".", "ReadTimeout", ": ", "too late", "\n"]), ["httpx.ReadTimeout"]);
    assert_eq!(names(&["httpx", ".ReadTimeout", "\n", "\n"]), ["httpx.ReadTimeout"]);
}

#[test]
fn a_terminals_colours_are_skipped() {
    assert_eq!(names(&["\x1b[1;35mhttpx.ReadTimeout\x1b[0m: \x1b[35mlate\x1b[0m\n"]), ["httpx.ReadTimeout"]);
}

#[test]
fn bare_names_must_look_like_exceptions() {
    for name in ["TimeoutError", "KeyboardInterrupt", "Exception", "socket.gaierror", "asyncio.exceptions.CancelledError"] {
        assert_eq!(names(&[&format!("{name}\n")]), [name]);
    }
    for text in ["Done\n", "INFO: started\n", "a.b\n", "DeprecationWarning: old\n", "..Error\n", "a..BError\n", "ValueError.\n"] {
        assert!(names(&[text]).is_empty(), "{text}");
    }
}

#[test]
fn other_lines_tell_nothing() {
    for text in ["  ValueError: indented\n", "a ValueError: x\n", "Server.Start:8080\n", "ValueError:x\n", "\n", "", "€Error\n"] {
        assert!(names(&[text]).is_empty(), "{text}");
    }
}

#[test]
fn the_message_is_never_kept() {
    let mut line = Line::NEW;
    let text = "ValueError: secret\n";
    // SAFETY: the text is readable for its length.
    let len = unsafe { line.feed(text.as_ptr(), text.len()) };
    assert_eq!(len, Some("ValueError".len()));
    assert!(!String::from_utf8_lossy(&line.bytes).contains("secret"));
}

#[test]
fn long_names_and_long_lines_are_left_out() {
    let long = format!("{}Error: x\n", "a".repeat(200));
    assert!(names(&[&long]).is_empty());
    let far = format!("ValueError: {}\n", "x".repeat(5000));
    assert!(names(&[&far]).is_empty());
}
