package io.ublkbridge.cache;

import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.TargetQueue;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.random.RandomGenerator;

/// A target whose requests take effect at one moment and end at a later one, in any order, in
/// pieces, or fail. A sector is one long; the disk remembers everything that a sector ever was.
///
/// Which version a READ may see: any from the newest that a modification which had ended before the
/// READ began has left, up to now.
final class ModelDisk {
  private static final List<IoError> ERRORS = List.of(IoError.values());

  static final int SECTOR = Long.BYTES;

  private final RandomGenerator random;
  private final List<List<Long>> versions = new ArrayList<>();
  private final int[] floor;
  private final List<Held> held = new ArrayList<>();
  private final boolean checkSingleFlight;
  private double failureRate;
  private double atOnceRate;
  private long stamps;
  private int readsHeldMaxBytes;
  private int failures;

  /// A request that the target has.
  private static final class Held {
    final Lane lane;
    final BlockRequest request;
    byte[] seen = new byte[0];
    boolean effective;
    int[] left = new int[0];

    Held(Lane lane, BlockRequest request) {
      this.lane = lane;
      this.request = request;
    }
  }

  /// @param checkSingleFlight whether no queue may ask twice for a range at the same time
  ModelDisk(RandomGenerator random, int sectors, boolean checkSingleFlight) {
    this.random = random;
    this.checkSingleFlight = checkSingleFlight;
    this.floor = new int[sectors];
    for (int i = 0; i < sectors; i++) {
      List<Long> sector = new ArrayList<>();
      sector.add(nextStamp());
      versions.add(sector);
    }
  }

  ModelDisk failureRate(double rate) {
    failureRate = rate;
    return this;
  }

  ModelDisk atOnceRate(double rate) {
    atOnceRate = rate;
    return this;
  }

  long nextStamp() {
    return ++stamps * 0x9e3779b97f4a7c15L;
  }

  int sectors() {
    return floor.length;
  }

  int failures() {
    return failures;
  }

  /// The oldest version that a READ which begins now may see.
  int floor(int sector) {
    return floor[sector];
  }

  /// Which version of a sector has this content: the newest such.
  int version(int sector, long content) {
    return versions.get(sector).lastIndexOf(content);
  }

  long current(int sector) {
    return versions.get(sector).getLast();
  }

  final class Lane implements TargetQueue {
    private final int demandBytesMax;

    Lane(int readBytesMax) {
      this.demandBytesMax = readBytesMax;
    }

    @Override
    public void submit(BlockRequest request) {
      Held added = new Held(this, request);
      if (random.nextDouble() < atOnceRate) {
        takeEffect(added);
        end(added);
      } else {
        checkFill(request);
        held.add(added);
      }
    }

    private void checkFill(BlockRequest request) {
      if (!isFill(request)) {
        return;
      }
      long bytes = request.lengthBytes();
      for (Held other : held) {
        if (other.lane == this && isFill(other.request)) {
          bytes += other.request.lengthBytes();
          boolean apart =
              other.request.offsetBytes() >= request.offsetBytes() + request.lengthBytes()
                  || request.offsetBytes()
                      >= other.request.offsetBytes() + other.request.lengthBytes();
          if (checkSingleFlight && !apart) {
            throw new AssertionError(request + " was asked for while " + other.request + " is");
          }
        }
      }
      readsHeldMaxBytes = Math.max(readsHeldMaxBytes, (int) bytes);
      if (bytes > demandBytesMax) {
        throw new AssertionError(bytes + " bytes are on their way, more than " + demandBytesMax);
      }
    }

    private static boolean isFill(BlockRequest request) {
      return !(request instanceof ModelRequest) && !request.operation().modifies();
    }

    @Override
    public void close() {
      if (held.stream().anyMatch(each -> each.lane == this)) {
        throw new AssertionError("closed although it has requests");
      }
    }
  }

  boolean idle() {
    return held.isEmpty();
  }

  /// Lets one request take effect, or end.
  void step() {
    if (held.isEmpty()) {
      return;
    }
    Held one = held.get(random.nextInt(held.size()));
    if (!one.effective) {
      takeEffect(one);
    } else {
      held.remove(one);
      end(one);
    }
  }

  private void takeEffect(Held one) {
    one.effective = true;
    BlockRequest request = one.request;
    int first = (int) (request.offsetBytes() / SECTOR);
    int count = (int) (request.lengthBytes() / SECTOR);
    switch (request.operation()) {
      case READ -> {
        one.seen = new byte[count * SECTOR];
        for (int i = 0; i < count; i++) {
          MemorySegment.ofArray(one.seen)
              .set(ValueLayout.JAVA_LONG_UNALIGNED, (long) i * SECTOR, current(first + i));
        }
      }
      case WRITE -> {
        byte[] payload = new byte[count * SECTOR];
        int cut = random.nextInt(payload.length + 1);
        MemorySegment memory = MemorySegment.ofArray(payload);
        request.loadPayload(cut, memory.asSlice(cut));
        request.loadPayload(0, memory.asSlice(0, cut));
        one.left = new int[count];
        for (int i = 0; i < count; i++) {
          one.left[i] =
              leave(first + i, memory.get(ValueLayout.JAVA_LONG_UNALIGNED, (long) i * SECTOR));
        }
      }
      case DISCARD, WRITE_ZEROES -> {
        one.left = new int[count];
        for (int i = 0; i < count; i++) {
          one.left[i] = leave(first + i, 0);
        }
      }
      case FLUSH -> {}
    }
  }

  private int leave(int sector, long content) {
    versions.get(sector).add(content);
    return versions.get(sector).size() - 1;
  }

  private void end(Held one) {
    BlockRequest request = one.request;
    boolean fails = random.nextDouble() < failureRate;
    if (request.operation().modifies()) {
      // Raised first: from its end on nothing older may be read.
      int first = (int) (request.offsetBytes() / SECTOR);
      for (int i = 0; i < one.left.length; i++) {
        floor[first + i] = Math.max(floor[first + i], one.left[i]);
      }
    } else if (request.lengthBytes() > 0) {
      MemorySegment seen = Arena.ofAuto().allocate(one.seen.length);
      if (fails) {
        // What comes before a failure is worth nothing.
        seen.fill((byte) 0x5a);
        request.storePayload(0, seen.asSlice(0, random.nextInt(one.seen.length + 1)));
      } else {
        seen.copyFrom(MemorySegment.ofArray(one.seen));
        int cut = random.nextInt(one.seen.length + 1);
        request.storePayload(cut, seen.asSlice(cut));
        request.storePayload(0, seen.asSlice(0, cut));
        // Whoever kept the memory instead of the bytes will notice.
        seen.fill((byte) 0xa5);
      }
    }
    if (fails) {
      failures++;
      request.fail(ERRORS.get(random.nextInt(ERRORS.size())), null);
    } else {
      request.complete();
    }
  }
}
