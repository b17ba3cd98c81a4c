package io.ublkbridge.cache;

/// Which header pages the file has yet to learn of, in the order in which they changed. Nothing
/// rests on that order, or on their being written at all: a slot whose header is old is checked as
/// any other, and lost at worst. Guarded by its owner's lock.
final class HeaderPages {
  static final int NONE = -1;

  private static final byte CLEAN = 0;
  private static final byte WAITING = 1;
  private static final byte WRITING = 2;
  private static final byte CHANGED_WHILE_WRITING = 3;

  private final byte[] states;

  /// A ring of the pages that wait; each is in it once at most.
  private final int[] waiting;

  private int first;
  private int count;

  HeaderPages(int pageCount) {
    states = new byte[pageCount];
    waiting = new int[pageCount];
  }

  void changed(int page) {
    switch (states[page]) {
      case CLEAN -> append(page);
      case WRITING -> states[page] = CHANGED_WHILE_WRITING;
      default -> {}
    }
  }

  /// The page to write next, which is being written then; or [#NONE].
  int take() {
    if (count == 0) {
      return NONE;
    }
    int page = waiting[first];
    first = first + 1 == waiting.length ? 0 : first + 1;
    count--;
    states[page] = WRITING;
    return page;
  }

  /// The writing of a page ended.
  void written(int page, boolean done) {
    if (done && states[page] == WRITING) {
      states[page] = CLEAN;
    } else {
      append(page);
    }
  }

  private void append(int page) {
    states[page] = WAITING;
    int last = first + count;
    waiting[last < waiting.length ? last : last - waiting.length] = page;
    count++;
  }
}
