package io.ublkbridge.nbd;

import java.util.List;

/// Finds what somebody probably meant to write.
final class Spelling {
  private Spelling() {}

  /// The word that takes the fewest edits (insert, delete, replace) to get from `text`; the first
  /// of several. `words` is not empty.
  static String nearest(String text, List<String> words) {
    String nearest = words.getFirst();
    int fewest = Integer.MAX_VALUE;
    for (String word : words) {
      int edits = edits(text, word);
      if (edits < fewest) {
        fewest = edits;
        nearest = word;
      }
    }
    return nearest;
  }

  /// Levenshtein's distance, one row of the matrix at a time.
  private static int edits(String from, String to) {
    int[] row = new int[to.length() + 1];
    for (int column = 0; column < row.length; column++) {
      row[column] = column;
    }
    for (int i = 0; i < from.length(); i++) {
      int diagonal = row[0];
      row[0] = i + 1;
      for (int j = 0; j < to.length(); j++) {
        int replace = diagonal + (from.charAt(i) == to.charAt(j) ? 0 : 1);
        diagonal = row[j + 1];
        row[j + 1] = Math.min(replace, 1 + Math.min(row[j], diagonal));
      }
    }
    return row[to.length()];
  }
}
