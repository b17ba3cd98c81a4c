package io.ublkbridge.nbd;

import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import io.ublkbridge.target.RecordedRequest;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.random.RandomGenerator;

/// What is above the disk: sends requests as a file system would (never two at once for the same
/// block), and knows what each block may hold and what a flush must have made durable.
final class SimulatedClient {
  /// What is known of one block.
  private static final class Block {
    /// Every stamp ever sent, oldest first.
    final List<Long> sent = new ArrayList<>(List.of(0L));

    /// What a read may find.
    final Set<Long> possible = new HashSet<>(Set.of(0L));

    /// From where in `sent` on a flush must find the durable one.
    int acknowledged;

    boolean busy;
  }

  /// A request under way.
  private static final class Pending {
    final RecordedRequest request;
    final int first;
    final int count;
    final long stamp;
    final int[] mustBeDurable;

    Pending(RecordedRequest request, int first, int count, long stamp, int[] mustBeDurable) {
      this.request = request;
      this.first = first;
      this.count = count;
      this.stamp = stamp;
      this.mustBeDurable = mustBeDurable;
    }
  }

  private final RandomGenerator random;
  private final SimulatedServer server;
  private List<NbdQueue> queues;
  private final boolean journal;
  private final Block[] blocks = new Block[SimulatedServer.BLOCKS];
  private final List<Pending> pending = new ArrayList<>();
  private long stamps;
  int completed;
  int unreachable;
  int flushErrors;

  SimulatedClient(
      RandomGenerator random, SimulatedServer server, List<NbdQueue> queues, boolean journal) {
    this.random = random;
    this.server = server;
    this.queues = queues;
    this.journal = journal;
    Arrays.setAll(blocks, _ -> new Block());
  }

  /// What is under way, for messages.
  String describe() {
    return pending.stream().map(each -> each.request).toList()
        + ", waiting "
        + queues.stream().map(NbdQueue::parkedRequests).toList();
  }

  int inFlight() {
    return pending.size();
  }

  /// Sends one request to a random queue, if blocks are free.
  void submitRandom() {
    int first = random.nextInt(SimulatedServer.BLOCKS);
    int count = 1 + random.nextInt(Math.min(4, SimulatedServer.BLOCKS - first));
    int kind = random.nextInt(10);
    if (kind == 0) {
      submitFlush();
      return;
    }
    for (int i = first; i < first + count; i++) {
      if (blocks[i].busy) {
        return;
      }
    }
    long offset = (long) first * SimulatedServer.BLOCK;
    int length = count * SimulatedServer.BLOCK;
    if (kind < 4) {
      submit(new Pending(RecordedRequest.read(offset, length), first, count, -1, new int[0]));
      return;
    }
    boolean zero = kind == 4;
    long stamp = zero ? 0 : ++stamps;
    boolean durable = random.nextInt(6) == 0;
    RecordedRequest request =
        zero
            ? RecordedRequest.writeZeroes(offset, length, durable, random.nextBoolean())
            : RecordedRequest.write(offset, payload(stamp, count), durable);
    for (int i = first; i < first + count; i++) {
      blocks[i].sent.add(stamp);
    }
    submit(new Pending(request, first, count, stamp, new int[0]));
  }

  void submitFlush() {
    int[] acknowledged = Arrays.stream(blocks).mapToInt(block -> block.acknowledged).toArray();
    submit(new Pending(RecordedRequest.flush(), 0, 0, -1, acknowledged));
  }

  private static byte[] payload(long stamp, int count) {
    ByteBuffer bytes = ByteBuffer.allocate(count * SimulatedServer.BLOCK);
    for (int i = 0; i < count; i++) {
      bytes.put(SimulatedServer.content(stamp));
    }
    return bytes.array();
  }

  private void submit(Pending next) {
    for (int i = next.first; i < next.first + next.count; i++) {
      blocks[i].busy = true;
    }
    pending.add(next);
    send(next);
  }

  private void send(Pending next) {
    NbdQueue queue = queues.get(random.nextInt(queues.size()));
    queue.loop().execute(() -> queue.submit(next.request));
  }

  /// Another process serves the disk: the kernel asks it for all that has not ended.
  void servedBy(List<NbdQueue> successors) {
    queues = successors;
    pending.forEach(this::send);
  }

  /// Checks everything that has ended.
  void collect() {
    List<Pending> ended = pending.stream().filter(each -> each.request.ended()).toList();
    pending.removeAll(ended);
    ended.forEach(this::check);
  }

  private void check(Pending ended) {
    completed++;
    IoError error = ended.request.await();
    for (int i = ended.first; i < ended.first + ended.count; i++) {
      blocks[i].busy = false;
    }
    if (error != null && error != IoError.UNREACHABLE) {
      checkError(ended, error);
      return;
    }
    unreachable += error == null ? 0 : 1;
    Operation operation = ended.request.operation();
    if (operation == Operation.FLUSH) {
      if (error == null) {
        checkDurable(ended);
      }
    } else if (operation == Operation.READ) {
      if (error == null) {
        checkRead(ended);
      }
    } else {
      noteWritten(ended, error == null);
    }
  }

  private void checkError(Pending ended, IoError error) {
    if (ended.request.operation() != Operation.FLUSH || journal) {
      throw new AssertionError(ended.request + " failed with " + error);
    }
    flushErrors++;
    // Whoever heard of the loss must look for himself what there is.
    for (Block block : blocks) {
      block.acknowledged = 0;
    }
    for (Pending flush : pending) {
      Arrays.fill(flush.mustBeDurable, 0);
    }
  }

  private void noteWritten(Pending ended, boolean done) {
    for (int i = ended.first; i < ended.first + ended.count; i++) {
      Block block = blocks[i];
      if (done) {
        block.possible.clear();
        block.acknowledged = block.sent.size() - 1;
      }
      block.possible.add(ended.stamp);
      if (!journal) {
        // The answer may have come from a server that was killed since.
        block.possible.add(server.current(i));
      }
    }
  }

  private void checkRead(Pending ended) {
    ByteBuffer data = ByteBuffer.wrap(ended.request.payload());
    for (int i = 0; i < ended.count; i++) {
      long stamp = data.getLong(i * SimulatedServer.BLOCK);
      Set<Long> possible = blocks[ended.first + i].possible;
      if (!possible.contains(stamp)) {
        throw new AssertionError(
            "block " + (ended.first + i) + " holds " + stamp + " and not one of " + possible);
      }
    }
  }

  private void checkDurable(Pending ended) {
    for (int i = 0; i < blocks.length; i++) {
      Block block = blocks[i];
      long durable = server.durable[i];
      List<Long> newEnough =
          block.sent.subList(
              Math.min(ended.mustBeDurable[i], block.sent.size()), block.sent.size());
      boolean fine =
          newEnough.contains(durable)
              || (block.possible.size() > 1 && block.possible.contains(durable));
      if (!fine) {
        throw new AssertionError(
            "flushed block " + i + " holds " + durable + " and not one of " + newEnough);
      }
    }
  }

  /// The server was killed. Without a journal, what was not flushed may read as before.
  void serverWasKilled() {
    if (!journal) {
      for (int i = 0; i < blocks.length; i++) {
        blocks[i].possible.add(server.durable[i]);
      }
    }
  }
}
