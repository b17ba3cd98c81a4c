package io.ublkbridge.cache;

/// The number of a block, as a key. A queue has one of its own to look blocks up with, which it
/// points elsewhere for each: a hit allocates nothing. A key in the cache never changes.
final class BlockKey {
  private long block;

  BlockKey(long block) {
    this.block = block;
  }

  /// Points a key for lookups to another block.
  BlockKey at(long number) {
    block = number;
    return this;
  }

  long block() {
    return block;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof BlockKey key && key.block == block;
  }

  @Override
  public int hashCode() {
    return Long.hashCode(block);
  }
}
