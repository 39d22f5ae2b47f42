//! A Markdown table whose columns line up, ready for `docs/performance.md`.

use std::{fmt, time::Duration};

pub(crate) struct Table<const N: usize> {
    head: [String; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(head: [&str; N]) -> Self {
        Self { head: head.map(str::to_owned), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = || std::iter::once(&self.head).chain(&self.rows);
        let widths: [usize; N] =
            std::array::from_fn(|column| all().map(|row| row[column].chars().count()).max().unwrap_or_default());
        for (index, row) in all().enumerate() {
            for (cell, width) in row.iter().zip(widths) {
                write!(out, "| {cell:width$} ")?;
            }
            writeln!(out, "|")?;
            if index == 0 {
                for width in widths {
                    write!(out, "|-{:-<width$}-", "")?;
                }
                writeln!(out, "|")?;
            }
        }
        Ok(())
    }
}

/// A time with three digits that mean something.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds >= 10.0 {
        format!("{seconds:.1} s")
    } else if seconds >= 1.0 {
        format!("{seconds:.2} s")
    } else if seconds >= 0.1 {
        format!("{:.0} ms", seconds * 1e3)
    } else {
        format!("{:.1} ms", seconds * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["what", "median"]);
        table.row(["render, 1 shard".into(), time(Duration::from_micros(4_210))]);
        table.row(["apply".into(), time(Duration::from_millis(9_870))]);
        assert_eq!(
            table.to_string(),
            "| what            | median |\n\
             |-----------------|--------|\n\
             | render, 1 shard | 4.2 ms |\n\
             | apply           | 9.87 s |\n"
        );
    }

    #[test]
    fn times_keep_three_digits() {
        assert_eq!(time(Duration::from_millis(123)), "123 ms");
        assert_eq!(time(Duration::from_millis(24_300)), "24.3 s");
    }
}
