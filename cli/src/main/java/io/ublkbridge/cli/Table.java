package io.ublkbridge.cli;

import java.util.ArrayList;
import java.util.List;

/// Text in columns, each as wide as its longest cell; columns of numbers to the right.
final class Table {
  private final String[] headings;
  private final boolean[] toTheRight;
  private final List<String[]> rows = new ArrayList<>();

  /// @param headings of the columns; one that begins with `>` stands to the right
  Table(String... headings) {
    this.headings = headings.clone();
    toTheRight = new boolean[headings.length];
    for (int column = 0; column < headings.length; column++) {
      if (headings[column].startsWith(">")) {
        toTheRight[column] = true;
        this.headings[column] = headings[column].substring(1);
      }
    }
  }

  void row(String... cells) {
    if (cells.length != headings.length) {
      throw new IllegalArgumentException(cells.length + " cells for " + headings.length);
    }
    rows.add(cells);
  }

  List<String> lines() {
    int[] widths = new int[headings.length];
    List<String[]> all = new ArrayList<>(List.<String[]>of(headings));
    all.addAll(rows);
    for (String[] row : all) {
      for (int column = 0; column < row.length; column++) {
        widths[column] = Math.max(widths[column], row[column].length());
      }
    }
    return all.stream().map(row -> line(row, widths)).toList();
  }

  private String line(String[] row, int[] widths) {
    StringBuilder line = new StringBuilder();
    for (int column = 0; column < row.length; column++) {
      String padding = " ".repeat(widths[column] - row[column].length());
      line.append(column == 0 ? "" : " ");
      line.append(toTheRight[column] ? padding + row[column] : row[column] + padding);
    }
    return line.toString().stripTrailing();
  }
}
