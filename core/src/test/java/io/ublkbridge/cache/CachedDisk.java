package io.ublkbridge.cache;

import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import io.ublkbridge.target.RecordedRequest;
import io.ublkbridge.target.TargetQueue;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// One cached queue before a target that remembers what it was asked for, and answers when told to.
final class CachedDisk implements TargetQueue {
  static final int BLOCK = 64 << 10;

  final byte[] content;
  final BlockCache cache;
  final CachedQueue queue;
  final List<String> asked = new ArrayList<>();
  final List<BlockRequest> held = new ArrayList<>();
  boolean atOnce = true;
  int suppliedTooLittle;

  /// @param sizeBytes of the disk
  /// @param budget in blocks of 64 KiB
  /// @param readaheadBytes 0 for none
  CachedDisk(int sizeBytes, CacheBudget budget, long readaheadBytes) {
    this(sizeBytes, budget, new CachedQueue.Extras(readaheadBytes, null, null));
  }

  CachedDisk(int sizeBytes, CacheBudget budget, CachedQueue.Extras extras) {
    content = new byte[sizeBytes];
    for (int i = 0; i < sizeBytes; i++) {
      content[i] = (byte) (i * 31 + (i >>> 9) * 7);
    }
    cache = new BlockCache(budget);
    queue =
        new CachedQueue(
            new Fills.Lane(
                cache, new BlockMap(sizeBytes, BLOCK), new CacheCounters(), this, null, 4),
            1,
            Runnable::run,
            extras);
  }

  static CacheBudget budget(int cached, int fill, int ahead) {
    return new CacheBudget(BLOCK, cached, fill, ahead, 0);
  }

  /// Submits a READ.
  RecordedRequest read(long offsetBytes, int lengthBytes) {
    RecordedRequest request = RecordedRequest.read(offsetBytes, lengthBytes);
    queue.submit(request);
    return request;
  }

  /// Reads and checks, with a target that answers at once.
  void readNow(long offsetBytes, int lengthBytes) {
    check(read(offsetBytes, lengthBytes));
  }

  void check(RecordedRequest request) {
    IoError error = request.await();
    if (error != null) {
      throw new AssertionError(request + " failed with " + error, request.cause());
    }
    MemorySegment expected =
        MemorySegment.ofArray(content).asSlice(request.offsetBytes(), request.lengthBytes());
    if (expected.mismatch(MemorySegment.ofArray(request.payload())) >= 0) {
      throw new AssertionError(request + " gave something else");
    }
  }

  long count(CacheCounters.Count count) {
    return queue.counters().of(count);
  }

  /// What the target was asked for since the last time.
  List<String> askedSince() {
    List<String> since = List.copyOf(asked);
    asked.clear();
    return since;
  }

  @Override
  public void submit(BlockRequest request) {
    asked.add(
        request.operation() == Operation.FLUSH
            ? "FLUSH"
            : request.operation()
                + " "
                + (request.offsetBytes() >> 10)
                + "K+"
                + (request.lengthBytes() >> 10)
                + "K"
                + (request.durable() ? " FUA" : ""));
    if (atOnce) {
      end(request, null);
    } else {
      held.add(request);
    }
  }

  /// Ends the oldest request.
  void endOne(@Nullable IoError error) {
    end(held.removeFirst(), error);
  }

  void endAll() {
    while (!held.isEmpty()) {
      endOne(null);
    }
  }

  private void end(BlockRequest request, @Nullable IoError error) {
    if (error != null) {
      request.fail(error, null);
      return;
    }
    int offset = (int) request.offsetBytes();
    int length = (int) request.lengthBytes();
    switch (request.operation()) {
      case READ ->
          request.storePayload(
              0, MemorySegment.ofArray(content).asSlice(offset, length - suppliedTooLittle));
      case WRITE -> request.loadPayload(0, MemorySegment.ofArray(content).asSlice(offset, length));
      case DISCARD, WRITE_ZEROES ->
          MemorySegment.ofArray(content).asSlice(offset, length).fill((byte) 0);
      case FLUSH -> {}
    }
    request.complete();
  }

  @Override
  public void close() {
    cache.close();
  }
}
