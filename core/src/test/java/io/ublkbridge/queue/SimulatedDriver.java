package io.ublkbridge.queue;

import io.ublkbridge.kernel.IoDescriptor;
import io.ublkbridge.kernel.UblkAbi;
import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.Operation;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;

/// Plays the kernel for one [UblkQueue]: issues random requests, delivers completions in any order,
/// stops at any step, and checks every answer against its own copy of the disk.
///
/// It keeps the kernel's rules, and throws an [AssertionError] when the queue breaks one: a tag is
/// fetched once, committed only while a request is out, with exactly the full length or an error;
/// payload is copied only inside that window. Requests that are out never overlap where one of them
/// writes, so that what a READ must return is known.
final class SimulatedDriver implements UblkDriver {
  static final int BLOCK = 512;

  private static final List<Operation> OPERATIONS = List.of(Operation.values());

  /// Who owns a tag, from the kernel's side.
  enum TagOwner {
    UNFETCHED,
    KERNEL,
    QUEUED,
    SERVER,
    GONE
  }

  /// A request that was issued on a tag, until it is committed.
  private record Issued(Operation operation, int offset, int length, MemorySegment payload) {
    boolean overlaps(int otherOffset, int otherLength) {
      return offset < otherOffset + otherLength && otherOffset < offset + length;
    }
  }

  private record Completion(int tag, int result) {}

  private final RandomGenerator random;
  private final byte[] disk;
  private final MemorySegment descriptors;
  private final TagOwner[] owners;
  private final @Nullable Issued[] issued;
  private final Map<Integer, byte[]> stored = new HashMap<>();
  private final List<Completion> undelivered = new ArrayList<>();
  private double copyFailureRate;
  private boolean payloadBuffers;
  private boolean registrationFails;
  private long nanos;
  private boolean stopping;
  private int issuedCount;
  private int endedCount;
  private int failedCount;
  private @Nullable UblkQueue queue;

  SimulatedDriver(RandomGenerator random, int depth, byte[] disk) {
    this.random = random;
    this.disk = disk.clone();
    this.descriptors = Arena.ofAuto().allocate(IoDescriptor.LAYOUT, depth);
    this.owners = new TagOwner[depth];
    Arrays.fill(owners, TagOwner.UNFETCHED);
    this.issued = new Issued[depth];
  }

  void serve(UblkQueue served) {
    queue = served;
  }

  /// Lets the ring have a buffer for every tag's payload, as on a device with
  /// `UBLK_F_AUTO_BUF_REG`.
  void providePayloadBuffers() {
    payloadBuffers = true;
  }

  /// Lets the kernel deliver requests whose payload it could not register.
  void failRegistration() {
    registrationFails = true;
  }

  void copyFailureRate(double rate) {
    copyFailureRate = rate;
  }

  // What the simulation does.

  /// Issues a random request on a random idle tag, if there is one and the device is not stopping.
  void issueRandom() {
    int tag = anyTag(TagOwner.KERNEL);
    if (tag < 0 || stopping) {
      return;
    }
    Operation operation = OPERATIONS.get(random.nextInt(OPERATIONS.size()));
    int blocks = disk.length / BLOCK;
    int first = random.nextInt(blocks);
    int count = 1 + random.nextInt(Math.min(16, blocks - first));
    issue(tag, operation, first * BLOCK, count * BLOCK);
  }

  /// Issues a request, or a FLUSH in its place where it would race with another.
  void issue(int tag, Operation wanted, int offset, int length) {
    Operation operation = races(wanted, offset, length) ? Operation.FLUSH : wanted;
    boolean flush = operation == Operation.FLUSH;
    byte[] payload = new byte[operation == Operation.WRITE ? length : 0];
    random.nextBytes(payload);
    issued[tag] =
        new Issued(
            operation, flush ? 0 : offset, flush ? 0 : length, MemorySegment.ofArray(payload));
    int opFlags = opFlags(operation, random.nextBoolean(), random.nextBoolean());
    opFlags |= registrationFails ? UblkAbi.UBLK_IO_F_NEED_REG_BUF : 0;
    // The kernel writes all ones as the start of a FLUSH.
    IoDescriptor.write(descriptors, tag, opFlags, flush ? -1L : offset, flush ? 0 : length);
    owners[tag] = TagOwner.QUEUED;
    undelivered.add(new Completion(tag, UblkAbi.UBLK_IO_RES_OK));
    issuedCount++;
  }

  private static int opFlags(Operation operation, boolean durable, boolean mayUnmap) {
    int op =
        switch (operation) {
          case READ -> UblkAbi.UBLK_IO_OP_READ;
          case WRITE -> UblkAbi.UBLK_IO_OP_WRITE;
          case FLUSH -> UblkAbi.UBLK_IO_OP_FLUSH;
          case DISCARD -> UblkAbi.UBLK_IO_OP_DISCARD;
          case WRITE_ZEROES -> UblkAbi.UBLK_IO_OP_WRITE_ZEROES;
        };
    return op | (durable ? UblkAbi.UBLK_IO_F_FUA : 0) | (mayUnmap ? 0 : UblkAbi.UBLK_IO_F_NOUNMAP);
  }

  private boolean races(Operation operation, int offset, int length) {
    for (Issued other : issued) {
      if (other != null
          && other.overlaps(offset, length)
          && (operation.modifies() || other.operation().modifies())) {
        return true;
      }
    }
    return false;
  }

  /// Delivers one completion, not necessarily the oldest.
  boolean deliverOne() {
    if (undelivered.isEmpty()) {
      return false;
    }
    Completion completion = undelivered.remove(random.nextInt(undelivered.size()));
    if (owners[completion.tag()] == TagOwner.QUEUED) {
      owners[completion.tag()] = TagOwner.SERVER;
    }
    deliver(completion.tag(), completion.result());
    return true;
  }

  /// Delivers a completion whether or not it is due.
  void deliver(int tag, int result) {
    if (queue == null) {
      throw new IllegalStateException("no queue to serve");
    }
    queue.onCompletion(tag, result);
  }

  /// STOP_DEV: idle tags come back at once, the others after their commit.
  void stop() {
    stopping = true;
    for (int tag = 0; tag < owners.length; tag++) {
      if (owners[tag] == TagOwner.KERNEL) {
        takeAway(tag);
      }
    }
  }

  private void takeAway(int tag) {
    owners[tag] = TagOwner.GONE;
    undelivered.add(new Completion(tag, UblkAbi.UBLK_IO_RES_ABORT));
  }

  int anyTag(TagOwner owner) {
    int start = random.nextInt(owners.length);
    for (int i = 0; i < owners.length; i++) {
      int tag = (start + i) % owners.length;
      if (owners[tag] == owner) {
        return tag;
      }
    }
    return -1;
  }

  int count(TagOwner owner) {
    return (int) Arrays.stream(owners).filter(each -> each == owner).count();
  }

  int issuedCount() {
    return issuedCount;
  }

  int endedCount() {
    return endedCount;
  }

  int failedCount() {
    return failedCount;
  }

  // What the queue does.

  @Override
  public int depth() {
    return owners.length;
  }

  /// Stands still but for [#pass].
  @Override
  public long nanoTime() {
    return nanos;
  }

  void pass(Duration time) {
    nanos += time.toNanos();
  }

  @Override
  public MemorySegment descriptors() {
    return descriptors;
  }

  @Override
  public void fetch(int tag) {
    require(owners[tag] == TagOwner.UNFETCHED, tag, "is fetched");
    owners[tag] = TagOwner.KERNEL;
    if (stopping) {
      takeAway(tag);
    }
  }

  @Override
  public void commitAndFetch(int tag, int result) {
    require(owners[tag] == TagOwner.SERVER, tag, "is committed");
    Issued request = issued(tag);
    int full = request.operation().hasPayload() ? request.length() : 0;
    require(result == full || result < 0, tag, "is committed with " + result);
    if (result >= 0) {
      apply(tag, request);
    } else {
      failedCount++;
    }
    // Whatever reads the descriptor from now on reads the next request's.
    IoDescriptor.write(descriptors, tag, 0xff, -1L, 0);
    issued[tag] = null;
    stored.remove(tag);
    endedCount++;
    owners[tag] = TagOwner.KERNEL;
    if (stopping) {
      takeAway(tag);
    }
  }

  private void apply(int tag, Issued request) {
    int end = request.offset() + request.length();
    switch (request.operation()) {
      case READ -> {
        for (int i = 0; i < request.length(); i++) {
          require(
              stored(tag)[i] == disk[request.offset() + i], tag, "read wrong data at byte " + i);
        }
      }
      case WRITE ->
          MemorySegment.ofArray(disk)
              .asSlice(request.offset(), request.length())
              .copyFrom(request.payload());
      case DISCARD, WRITE_ZEROES -> Arrays.fill(disk, request.offset(), end, (byte) 0);
      case FLUSH -> {}
    }
  }

  private byte[] stored(int tag) {
    return stored.computeIfAbsent(tag, _ -> new byte[issued(tag).length()]);
  }

  @Override
  public int payloadBuffer(int tag) {
    return payloadBuffers ? tag : BlockRequest.NO_BUFFER;
  }

  @Override
  public boolean load(int tag, long at, MemorySegment into) {
    require(owners[tag] == TagOwner.SERVER, tag, "is copied from");
    Issued request = issued(tag);
    require(request.operation() == Operation.WRITE, tag, "has no payload");
    if (random.nextDouble() < copyFailureRate) {
      return false;
    }
    into.copyFrom(request.payload().asSlice(at, into.byteSize()));
    return true;
  }

  @Override
  public boolean store(int tag, long at, MemorySegment from) {
    require(owners[tag] == TagOwner.SERVER, tag, "is copied to");
    require(issued(tag).operation() == Operation.READ, tag, "takes no payload");
    if (random.nextDouble() < copyFailureRate) {
      return false;
    }
    MemorySegment.copy(
        from, ValueLayout.JAVA_BYTE, 0, stored(tag), (int) at, (int) from.byteSize());
    return true;
  }

  private Issued issued(int tag) {
    Issued request = issued[tag];
    if (request == null) {
      throw new AssertionError("tag " + tag + " has no request");
    }
    return request;
  }

  private void require(boolean condition, int tag, String what) {
    if (!condition) {
      throw new AssertionError("tag " + tag + " " + what + " while " + owners[tag]);
    }
  }
}
