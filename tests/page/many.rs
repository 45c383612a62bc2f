//! As many runs as an agent is told to keep.

use hopwatch::model::{Kind, Phase};

use crate::browser::Stage;
use crate::runs::{Hop, hand_over, run};
use crate::sidecar::{Sidecar, hopwatch};

const RUNS: usize = 5_000;

#[test]
fn five_thousand_runs_scroll_smoothly() {
    let Some(stage) = Stage::find() else { return };
    let file = format!("[agent]\nadmin = \"127.0.0.1:0\"\nkeep_runs = {RUNS}\n[gateway]\nlisten = \"127.0.0.1:0\"\n");
    let mut command = hopwatch();
    command.arg("agent");
    let mut sidecar = Sidecar::begun(&file, command);
    sidecar.is_ready();
    let of = |number: usize, name: &str| {
        let late = number.is_multiple_of(7);
        let dependency = format!("host-{}", number % 12);
        let wait = if late { 7_900 } else { 300 };
        let hops = [
            Hop::new(Kind::Retrieval, &dependency, 20, &[(Phase::Connect, 3), (Phase::Wait, wait)]),
            Hop::new(
                Kind::Llm,
                "openai",
                wait + 40,
                &[(Phase::Send, 1), (Phase::Wait, 90), (Phase::FirstToken, 300), (Phase::Stream, 700)],
            ),
        ];
        hand_over(
            &sidecar.admin,
            &format!("{name}-{number}"),
            run(&format!("{name}-{number}"), &hops, wait + 1_200, late.then_some(8_000)),
        );
    };
    (0..RUNS).for_each(|number| of(number, "run"));
    let mut scene = stage.play("many", &sidecar.admin);
    scene.step("one more", || of(RUNS, "one-more"));
    let told = scene.ends();
    println!("{told}");
}
