//! A table as `kubectl` prints it: upper-case headings, columns as wide as their widest cell and three spaces.

/// A table. Its columns keep their widths, so that rows printed later line up.
#[derive(Clone, Debug, Default)]
pub struct Table {
    headings: Vec<String>,
    widths: Vec<usize>,
}

/// Between columns, and the least that a column takes (as `kubectl` has it).
const GAP: usize = 3;
const LEAST: usize = 6;

impl Table {
    /// A table with these headings.
    pub fn new(headings: impl IntoIterator<Item = String>) -> Self {
        Self {
            headings: headings.into_iter().map(|heading| heading.to_uppercase()).collect(),
            widths: Vec::new(),
        }
    }

    /// Headings and rows.
    pub fn render(&mut self, rows: &[Vec<String>]) -> String {
        let headings = std::mem::take(&mut self.headings);
        self.fit(&headings);
        let mut text = self.lines(rows);
        text.insert_str(0, &self.line(&headings));
        self.headings = headings;
        text
    }

    /// Rows only.
    pub fn lines(&mut self, rows: &[Vec<String>]) -> String {
        for row in rows {
            self.fit(row);
        }
        rows.iter().map(|row| self.line(row)).collect()
    }

    fn fit(&mut self, row: &[String]) {
        self.widths.resize(self.widths.len().max(row.len()), 0);
        for (width, cell) in self.widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }

    fn line(&self, row: &[String]) -> String {
        let mut line = String::new();
        for (index, (cell, width)) in row.iter().zip(&self.widths).enumerate() {
            line.push_str(cell);
            if index + 1 < row.len() {
                let full = (width + GAP).max(LEAST);
                line.extend(std::iter::repeat_n(' ', full.saturating_sub(cell.chars().count())));
            }
        }
        line.push('\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_table_looks_as_kubectl_prints_it() {
        let mut table = Table::new(row(&["Namespace", "Name", "Proxies", "Synced", "mTLS"]));
        let text = table.render(&[
            row(&["shop", "orders", "3", "3/3", "Strict"]),
            row(&["shop", "ratings", "2", "1/2", "Strict"]),
        ]);
        let expected = "NAMESPACE   NAME      PROXIES   SYNCED   MTLS\n\
                        shop        orders    3         3/3      Strict\n\
                        shop        ratings   2         1/2      Strict\n";
        assert_eq!(text, expected);
        assert_eq!(
            table.lines(&[row(&["shop", "orders", "3", "2/3", "Strict"])]),
            "shop        orders    3         2/3      Strict\n"
        );
    }
}
