//! Tables: columns as wide as what stands in them. On a terminal that is too narrow the gaps shrink first, then the one
//! column that may be cut, and then columns are left out; in a pipe everything is there.

/// Characters between two columns, where there is room and where there is not.
const GAPS: [usize; 2] = [2, 1];

/// To how many characters a column is cut as long as there is another to leave out, and when there is none.
const CUT_TO: [usize; 2] = [20, 8];

/// One column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    /// What stands above it.
    pub(super) head: &'static str,
    /// Where its cells stand.
    pub(super) kind: Kind,
    /// When it is left out: the highest rank first, 0 never.
    rank: u8,
}

/// Where a column's cells stand, and whether they are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// On the left, whole.
    Left,
    /// On the right, whole: a figure.
    Right,
    /// On the left, cut where there is no room. At most one column is that.
    Cut,
}

impl Column {
    /// A column that is always there.
    pub(super) const fn new(head: &'static str, kind: Kind) -> Self {
        Self { head, kind, rank: 0 }
    }

    /// The same, left out where there is no room: the highest rank first.
    pub(super) const fn spare(self, rank: u8) -> Self {
        Self { rank, ..self }
    }
}

/// How a table is laid out: which columns are there, and how wide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The column's place among all, and its width.
    columns: Vec<(usize, usize)>,
    gap: usize,
    kinds: Vec<Kind>,
}

impl Layout {
    /// Lays out `rows`, which have a cell for each of `columns`, in `room` characters.
    pub(super) fn of(columns: &[Column], rows: &[Vec<String>], room: Option<usize>) -> Self {
        let widths: Vec<usize> = columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.chars().count());
                cells.max().unwrap_or(0).max(column.head.chars().count())
            })
            .collect();
        let whole = Self {
            columns: widths.into_iter().enumerate().collect(),
            gap: GAPS[0],
            kinds: columns.iter().map(|column| column.kind).collect(),
        };
        let Some(room) = room else { return whole };
        let mut ranks: Vec<u8> = columns.iter().map(|column| column.rank).filter(|rank| *rank > 0).collect();
        ranks.sort_unstable();
        let mut layout = whole;
        loop {
            for (gap, cut) in [(GAPS[0], usize::MAX), (GAPS[1], usize::MAX), (GAPS[1], CUT_TO[0])] {
                let mut attempt = Self { gap, ..layout.clone() };
                if attempt.shrink_to(room, cut) {
                    return attempt;
                }
            }
            let Some(rank) = ranks.pop() else { break };
            layout.columns.retain(|(index, _)| columns[*index].rank != rank);
        }
        layout.gap = GAPS[1];
        layout.shrink_to(room, CUT_TO[1]);
        layout
    }

    /// Cuts the column that may be cut until the whole fits; whether it does.
    fn shrink_to(&mut self, room: usize, cut: usize) -> bool {
        let over = self.width().saturating_sub(room);
        let kinds = &self.kinds;
        if let Some((_, width)) = self.columns.iter_mut().find(|(index, _)| kinds[*index] == Kind::Cut) {
            *width = width.saturating_sub(over).max(cut.min(*width));
        }
        self.width() <= room
    }

    fn width(&self) -> usize {
        let cells: usize = self.columns.iter().map(|(_, width)| width).sum();
        cells + self.gap * self.columns.len().saturating_sub(1)
    }

    /// The cells of one row that are there, each as wide as its column and with the gap behind it, and its column's place.
    pub(super) fn cells(&self, row: &[String]) -> Vec<(usize, String)> {
        let last = self.columns.len().saturating_sub(1);
        let lay = |(place, (index, width)): (usize, &(usize, usize))| {
            let cell = row.get(*index).map_or("", String::as_str);
            let gap = if place == last { 0 } else { self.gap };
            let (cell, width) = (super::words::cut(cell, *width), *width);
            let cell = match self.kinds[*index] {
                Kind::Right => format!("{cell:>width$}{:gap$}", ""),
                _ => format!("{cell:width$}{:gap$}", ""),
            };
            (*index, cell)
        };
        self.columns.iter().enumerate().map(lay).collect()
    }

    /// One row as a line.
    pub(super) fn line(&self, row: &[String]) -> String {
        let cells: Vec<String> = self.cells(row).into_iter().map(|(_, cell)| cell).collect();
        cells.concat().trim_end().to_owned()
    }
}

/// The heads of columns, as a row.
pub(super) fn heads(columns: &[Column]) -> Vec<String> {
    columns.iter().map(|column| column.head.to_owned()).collect()
}

/// A table with its heads, a line each.
pub(super) fn lines(columns: &[Column], rows: &[Vec<String>], room: Option<usize>) -> Vec<String> {
    let layout = Layout::of(columns, rows, room);
    std::iter::once(heads(columns)).chain(rows.iter().cloned()).map(|row| layout.line(&row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::new("NAME", Kind::Cut),
        Column::new("N", Kind::Right),
        Column::new("FIRST", Kind::Left).spare(1),
        Column::new("SECOND", Kind::Left).spare(2),
    ];

    fn table(room: Option<usize>) -> Vec<String> {
        let rows = [["a-name-of-thirty-characters-all", "1", "x", "y"], ["b", "20", "xx", "yy"]];
        lines(&COLUMNS, &rows.map(|row| row.map(str::to_owned).to_vec()), room)
    }

    #[test]
    fn a_pipe_gets_everything() {
        let expected = [
            "NAME                              N  FIRST  SECOND",
            "a-name-of-thirty-characters-all   1  x      y",
            "b                                20  xx     yy",
        ];
        assert_eq!(table(None), expected);
        assert_eq!(table(Some(50)), expected);
    }

    #[test]
    fn a_narrow_terminal_gets_less_and_less() {
        assert_eq!(table(Some(47))[1], "a-name-of-thirty-characters-all  1 x     y");
        assert_eq!(table(Some(40))[1], "a-name-of-thirty-charac…  1 x     y");
        assert_eq!(table(Some(30))[1], "a-name-of-thirty-cha…  1 x");
        assert_eq!(table(Some(24))[1], "a-name-of-thirty-cha…  1");
        assert_eq!(table(Some(12))[1], "a-name-o…  1");
        assert_eq!(table(Some(1))[1], "a-name-…  1");
    }

    #[test]
    fn no_rows_are_heads_alone() {
        assert_eq!(lines(&COLUMNS, &[], Some(80)), ["NAME  N  FIRST  SECOND"]);
    }
}
