package io.ublkbridge.loop;

import io.ublkbridge.target.BlockRequest;

/// Whether requests stay inside their disk. Core checks that before; a target that would touch
/// other memory or other parts of a file checks again.
final class Ranges {
  private Ranges() {}

  static boolean within(BlockRequest request, long sizeBytes) {
    long offset = request.offsetBytes();
    long length = request.lengthBytes();
    return offset >= 0 && length >= 0 && length <= sizeBytes && offset <= sizeBytes - length;
  }

  static IndexOutOfBoundsException outside(BlockRequest request, long sizeBytes) {
    return new IndexOutOfBoundsException(
        "%s of %d bytes at %d is outside the %d bytes of the disk"
            .formatted(
                request.operation(), request.lengthBytes(), request.offsetBytes(), sizeBytes));
  }
}
