package io.ublkbridge.cache;

import io.ublkbridge.target.BlockRequest;

/// What was asked for at once.
record TargetRange(long offsetBytes, long lengthBytes) {
  boolean isOf(BlockRequest request) {
    return request.offsetBytes() == offsetBytes && request.lengthBytes() == lengthBytes;
  }
}
