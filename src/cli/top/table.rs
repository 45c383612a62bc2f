//! Rows below headings, in whatever width there is.

use super::ink::{Ink, Line};

/// Between two columns.
const GAP: usize = 2;

/// What stands in a column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    /// Numbers stand on the right.
    pub(super) right: bool,
    /// Left out the sooner the higher; 0 = never.
    pub(super) rank: u8,
    /// Cells that it can do with, and that it takes at most.
    pub(super) least: usize,
    pub(super) most: usize,
}

/// The columns that fit, each with its width.
fn fit(columns: &[Column], rows: &[Vec<Line>], room: usize) -> Vec<(usize, usize)> {
    let natural = |index: usize| {
        let widest = rows.iter().filter_map(|cells| cells.get(index)).map(Line::width).max().unwrap_or(0);
        widest.max(columns[index].name.len()).min(columns[index].most)
    };
    let mut kept: Vec<(usize, usize)> = (0..columns.len()).map(|index| (index, natural(index))).collect();
    let gaps = |kept: &[(usize, usize)]| kept.len().saturating_sub(1) * GAP;
    loop {
        let least: usize = kept.iter().map(|&(index, width)| width.min(columns[index].least)).sum();
        let last = kept.iter().map(|&(index, _)| columns[index].rank).max().unwrap_or(0);
        if last == 0 || least + gaps(&kept) <= room {
            break;
        }
        kept.retain(|&(index, _)| columns[index].rank < last);
    }
    // The widest give way first.
    loop {
        let over = (kept.iter().map(|(_, width)| width).sum::<usize>() + gaps(&kept)).saturating_sub(room);
        let slack = |&(index, width): &(usize, usize)| width.saturating_sub(columns[index].least);
        match kept.iter_mut().max_by_key(|column| slack(column)).filter(|column| over > 0 && slack(column) > 0) {
            Some(column) => column.1 -= over.min(slack(column)).min(over.div_ceil(2)),
            None => return kept,
        }
    }
}

/// The heading and the rows, each in at most `width` cells.
pub(super) fn lines(columns: &[Column], rows: &[Vec<Line>], chosen: Option<usize>, width: usize) -> Vec<Line> {
    let marks = 2;
    let fitted = fit(columns, rows, width.saturating_sub(marks));
    let line = |mark: &str, cell: &dyn Fn(usize) -> Line| {
        let mut line = Line::of(Ink::Strong, mark);
        for (place, &(index, width)) in fitted.iter().enumerate() {
            if place > 0 {
                line.push(Ink::Plain, &" ".repeat(GAP));
            }
            line.append(cell(index).filled(width, columns[index].right));
        }
        line.cut(width)
    };
    let mut out = vec![line("  ", &|index| Line::of(Ink::Faint, columns[index].name))];
    out.extend(rows.iter().enumerate().map(|(row, cells)| {
        let is_chosen = chosen == Some(row);
        let mut line = line(if is_chosen { "> " } else { "  " }, &|index| cells.get(index).cloned().unwrap_or_default());
        line.chosen = is_chosen;
        line
    }));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        Column { name: "run", right: false, rank: 0, least: 6, most: 30 },
        Column { name: "took", right: true, rank: 1, least: 6, most: 10 },
        Column { name: "cause", right: false, rank: 2, least: 8, most: 20 },
    ];

    fn texts(width: usize) -> Vec<String> {
        let cells: Vec<Line> = ["support_agent.py", "10.7 s", "slow_dependency"].map(|text| Line::of(Ink::Plain, text)).into();
        lines(COLUMNS, &[cells], Some(0), width).iter().map(|line| line.text().trim_end().to_owned()).collect()
    }

    #[test]
    fn columns_give_way_and_go_as_it_gets_narrow() {
        assert_eq!(texts(60), ["  run                 took  cause", "> support_agent.py  10.7 s  slow_dependency"]);
        assert_eq!(texts(34)[1], "> support_a…  10.7 s  slow_depend…");
        assert_eq!(texts(24)[1], "> support_agent…  10.7 s");
        assert_eq!(texts(10)[1], "> support…");
        for width in 0..70 {
            assert!(lines(COLUMNS, &[], None, width).iter().all(|line| line.width() <= width));
            assert!(texts(width).iter().all(|text| crate::export::report::columns::width(text) <= width), "{width}");
        }
    }
}
