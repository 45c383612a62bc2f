use super::*;
use crate::model::{Phase, palette};

fn asset_named(name: &str) -> &'static str {
    ASSETS.iter().find(|(known, ..)| *known == name).unwrap().2
}

#[test]
fn everything_that_the_page_asks_for_is_there_and_nothing_is_asked_of_others() {
    let texts = ASSETS.iter().map(|(_, _, text)| *text).chain([INDEX]);
    let mut asked = 0;
    for text in texts {
        for (at, _) in text.match_indices("\"/page/") {
            let path = text[at + 1..].split('"').next().unwrap();
            assert!(asset(path).is_some(), "{path}");
            asked += 1;
        }
        for (at, _) in text.match_indices("from \"") {
            let path = text[at + 6..].split('"').next().unwrap().replacen("./", PATH, 1);
            assert!(asset(&path).is_some(), "{path}");
            asked += 1;
        }
        for (at, _) in text.match_indices("://") {
            let of_names = ["http://www.w3.org", "http://localhost"];
            assert!(of_names.iter().any(|known| text[at - 4..].starts_with(known)), "{}", &text[at - 8..at + 20]);
        }
    }
    assert!(asked > 15, "{asked}");
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/agent/page/assets")).unwrap();
    assert_eq!(files.count(), ASSETS.len() + 1, "a file is not served");
}

#[test]
fn nothing_is_shown_but_as_text() {
    for (name, _, text) in ASSETS {
        for way in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "DOMParser", "srcdoc"]
        {
            assert!(!text.contains(way), "{name}: {way}");
        }
    }
    assert!(!INDEX.contains("style=") && !INDEX.contains("onclick") && !INDEX.contains("<style") && !INDEX.contains("<script>"));
}

#[test]
fn a_phase_has_one_colour_and_one_place_everywhere() {
    let (style, words) = (asset_named("style.css"), asset_named("words.js"));
    let order = words.split("PHASES = [").nth(1).unwrap().split(']').next().unwrap();
    let order: Vec<&str> = order.split(',').map(|word| word.trim().trim_matches('"')).collect();
    assert_eq!(order, Phase::ALL.iter().map(|phase| phase.as_str()).collect::<Vec<_>>());
    for &phase in Phase::ALL {
        assert!(style.contains(&format!("  --{phase}: {};\n", palette::color(phase))), "{phase}");
        assert!(style.contains(&format!("[data-phase=\"{phase}\"] {{ --phase: var(--{phase}); }}")), "{phase}");
        assert!(words.contains(&format!("\n  {phase}: \"")), "{phase}");
    }
}
