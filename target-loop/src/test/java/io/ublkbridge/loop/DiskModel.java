package io.ublkbridge.loop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.netty.channel.EventLoop;
import io.ublkbridge.target.Operation;
import io.ublkbridge.target.RecordedRequest;
import io.ublkbridge.target.TargetQueue;
import io.ublkbridge.target.UringLoops;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;

/// Drives one queue with random requests within one part of a disk, and knows what that part must
/// hold.
///
/// Requests of a batch never overlap, since the order of requests under way at once is open. Both
/// of our sparse targets define more than the contract: a discarded range reads as zeroes.
final class DiskModel {
  private static final int BLOCK = 512;
  private static final int BATCH = 8;

  private final EventLoop loop;
  private final TargetQueue queue;
  private final long startBytes;
  private final byte[] expected;
  private final SplittableRandom random;

  DiskModel(
      EventLoop loop,
      TargetQueue queue,
      long startBytes,
      int lengthBytes,
      SplittableRandom random) {
    this.loop = loop;
    this.queue = queue;
    this.startBytes = startBytes;
    this.expected = new byte[lengthBytes];
    this.random = random;
  }

  /// Submits `count` batches and checks every READ.
  void run(int count, int requestMaxBytes) {
    for (int i = 0; i < count; i++) {
      runBatch(requestMaxBytes);
    }
  }

  /// Reads all of it.
  void check() {
    for (int at = 0; at < expected.length; at += 1 << 20) {
      int length = Math.min(1 << 20, expected.length - at);
      RecordedRequest read = RecordedRequest.read(startBytes + at, length);
      UringLoops.submit(loop, queue, read);
      assertNull(read.await());
      assertArrayEquals(Arrays.copyOfRange(expected, at, at + length), read.payload());
    }
  }

  private void runBatch(int requestMaxBytes) {
    List<RecordedRequest> requests = new ArrayList<>();
    List<byte[]> answers = new ArrayList<>();
    int share = expected.length / BATCH / BLOCK * BLOCK;
    for (int i = 0; i < BATCH; i++) {
      int length = BLOCK * random.nextInt(1, Math.min(share, requestMaxBytes) / BLOCK + 1);
      int at = i * share + BLOCK * random.nextInt((share - length) / BLOCK + 1);
      answers.add(Arrays.copyOfRange(expected, at, at + length));
      requests.add(request(at, length));
    }
    UringLoops.submit(loop, queue, requests.toArray(RecordedRequest[]::new));
    for (int i = 0; i < BATCH; i++) {
      RecordedRequest request = requests.get(i);
      assertNull(request.await(), () -> request + ": " + request.cause());
      if (request.operation() == Operation.READ) {
        assertArrayEquals(answers.get(i), request.payload(), request::toString);
      }
    }
  }

  private RecordedRequest request(int at, int length) {
    long offset = startBytes + at;
    return switch (random.nextInt(8)) {
      case 0 -> {
        Arrays.fill(expected, at, at + length, (byte) 0);
        yield RecordedRequest.discard(offset, length);
      }
      case 1 -> {
        Arrays.fill(expected, at, at + length, (byte) 0);
        yield RecordedRequest.writeZeroes(
            offset, length, random.nextBoolean(), random.nextBoolean());
      }
      case 2 -> RecordedRequest.flush();
      case 3, 4, 5 -> {
        byte[] payload = new byte[length];
        random.nextBytes(payload);
        System.arraycopy(payload, 0, expected, at, length);
        yield RecordedRequest.write(offset, payload, random.nextInt(4) == 0);
      }
      default -> RecordedRequest.read(offset, length);
    };
  }
}
