package io.ublkbridge.overlay;

/// Where the bytes of a block are.
enum BlockState {
  /// In the base, because nobody has written to the block.
  BASE(0),
  /// In the overlay file, all of them.
  DATA(1),
  /// Nowhere: they are zeroes.
  ZERO(2);

  private static final BlockState[] BY_CODE = {BASE, DATA, ZERO};
  static final int COUNT = BY_CODE.length;

  private final int code;

  BlockState(int code) {
    this.code = code;
  }

  /// How the file says it, in two bits.
  int code() {
    return code;
  }

  static BlockState of(int code) {
    return BY_CODE[code];
  }
}
