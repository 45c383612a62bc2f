//! Names that would do harm, wherever a name is shown.

use hopwatch::model::{Kind, Outcome, Phase};

use crate::browser::Stage;
use crate::runs::{Hop, goes_on, hand_over, run};
use crate::sidecar::Sidecar;

/// What whoever names a run, a dependency, an operation or a model might try.
fn names() -> [String; 6] {
    [
        "<script>globalThis.harmed='script'</script>".to_owned(),
        "\"><img src=x onerror=\"globalThis.harmed='image'\"><svg onload=globalThis.harmed=1>".to_owned(),
        "user\u{202e}cod.exe\u{2066}\u{2069}\u{200f} ends here".to_owned(),
        format!("long-{}", "x".repeat(10_000)),
        "two\nlines\r\n\ttab \\ \"double\" 'single' `back` ${globalThis.harmed=1} {{7*7}} &lt;b&gt; \u{1b}[31m".to_owned(),
        "__proto__".to_owned(),
    ]
}

#[test]
fn names_that_want_to_be_more_than_names_do_no_harm() {
    let Some(stage) = Stage::find() else { return };
    let sidecar = Sidecar::start("");
    let mut going = Vec::new();
    for (number, name) in names().iter().enumerate() {
        let named = |outcome, from| Hop {
            operation: name.as_str().into(),
            model: Some(name.as_str().into()),
            outcome,
            ..Hop::new(Kind::Llm, name, from, &[(Phase::Connect, 2), (Phase::Wait, 4_000)])
        };
        let late = run(name, &[named(Some(Outcome::Timeout), 10)], 4_100, Some(4_000));
        hand_over(&sidecar.admin, &format!("late-{number}"), late);
        going.push(goes_on(&sidecar.admin, &format!("open-{number}"), name, &[named(None, 10)]));
    }
    stage.play("hostile", &sidecar.admin).ends();
}
