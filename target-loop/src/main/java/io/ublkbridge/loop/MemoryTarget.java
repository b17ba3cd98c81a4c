package io.ublkbridge.loop;

import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.TargetQueue;
import java.util.LinkedHashMap;
import java.util.Map;

/// A RAM disk outside the Java heap: `memory:SIZE`.
///
/// Sparse: memory comes in chunks of 1 MiB with the first write to them, and DISCARD and
/// WRITE_ZEROES give whole chunks back. There is no durability beyond this process, so there is
/// nothing that FLUSH could add, and no volatile cache is announced.
final class MemoryTarget implements BlockTarget {
  private static final int QUEUES_MAX = 64;
  private static final int PREFERRED_IO_BYTES = 4096;
  private static final int MAX_IO_BYTES = 4 << 20;

  /// A request frees at most 256 chunks, which keeps its loop from others for some milliseconds.
  private static final long MAX_ZERO_BYTES = 256L << 20;

  private final Geometry geometry;
  private final ChunkTable chunks;

  MemoryTarget(long sizeBytes) {
    this.geometry =
        new Geometry(
            sizeBytes, Geometry.MIN_BLOCK_BYTES, PREFERRED_IO_BYTES, MAX_IO_BYTES, MAX_ZERO_BYTES);
    this.chunks = new ChunkTable(sizeBytes);
  }

  @Override
  public Geometry geometry() {
    return geometry;
  }

  @Override
  public Capabilities capabilities() {
    return new Capabilities(false, false, false, true, true, false, QUEUES_MAX);
  }

  @Override
  public Map<String, Object> details() {
    Map<String, Object> details = new LinkedHashMap<>();
    details.put("allocatedBytes", chunks.allocatedBytes());
    return details;
  }

  @Override
  public TargetQueue openQueue(QueueContext context) {
    return new MemoryQueue(chunks, geometry.sizeBytes());
  }

  @Override
  public void close() {
    chunks.close();
  }
}
