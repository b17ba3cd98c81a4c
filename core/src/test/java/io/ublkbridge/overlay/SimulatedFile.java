package io.ublkbridge.overlay;

import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.RingFile;
import java.io.EOFException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;

/// A file on a disk with a volatile cache, in sectors. Operations end in any order, when [#step]
/// says so. When the power fails every sector keeps what it had when it was last synced, or
/// anything that was written to it since; sectors of the metadata may even be a mix of two of
/// those.
///
/// A sync covers what had ended when it began. One that fails loses what it covered, and the next
/// one does not know of it, as on Linux.
final class SimulatedFile implements OverlayIo, OverlayStorage {
  static final int SECTOR = 512;
  private static final byte[] ZEROES = new byte[SECTOR];

  private enum Kind {
    READ,
    WRITE,
    SYNC,
    PUNCH
  }

  /// What becomes of the sectors of a kind that were not synced. Chance alone would hardly ever
  /// keep all of a journal record and nothing of the data that it names.
  private enum Fate {
    ANY,
    OLD,
    NEW;

    static final Fate[] BY_NUMBER = values();
  }

  private record Operation(
      Kind kind, int tag, long position, long address, long length, Map<Long, Integer> covered) {}

  private final SplittableRandom random;
  private final long metadataBytes;
  private final Map<Long, byte[]> durable = new HashMap<>();
  private final TreeMap<Long, byte[]> cached = new TreeMap<>();

  /// What was written since the last sync, oldest first.
  private final Map<Long, List<byte[]>> unsynced = new HashMap<>();

  private final List<Operation> pending = new ArrayList<>();
  private RingFile.Completions completions = (tag, result) -> {};
  private long lengthBytes;
  private int storageStepsLeft = Integer.MAX_VALUE;
  private int troublePercent;
  private boolean syncsFail;

  SimulatedFile(SplittableRandom random, long metadataBytes) {
    this.random = random;
    this.metadataBytes = metadataBytes;
  }

  void deliverTo(RingFile.Completions completions) {
    this.completions = completions;
  }

  /// How often writes find the file system full or are cut short.
  void trouble(int percent) {
    troublePercent = percent;
  }

  void failSyncs(boolean fail) {
    syncsFail = fail;
  }

  /// Lets the power fail at the n-th step of a control thread from now on.
  void failAfter(int storageSteps) {
    storageStepsLeft = storageSteps;
  }

  boolean idle() {
    return pending.isEmpty();
  }

  @Override
  public void read(int tag, long position, long address, int length) {
    add(Kind.READ, tag, position, address, length);
  }

  @Override
  public void write(int tag, long position, long address, int length) {
    add(Kind.WRITE, tag, position, address, length);
  }

  @Override
  public void dataSync(int tag) {
    add(Kind.SYNC, tag, 0, 0, 0);
  }

  @Override
  public void punchHole(int tag, long position, long length) {
    add(Kind.PUNCH, tag, position, 0, length);
  }

  private void add(Kind kind, int tag, long position, long address, long length) {
    if (position % SECTOR != 0 || length % SECTOR != 0) {
      throw new AssertionError(kind + " is not in sectors: " + position + "+" + length);
    }
    for (Operation operation : pending) {
      if (operation.tag == tag) {
        throw new AssertionError("tag " + tag + " has two operations");
      }
    }
    Map<Long, Integer> covered = new HashMap<>();
    if (kind == Kind.SYNC) {
      unsynced.forEach((sector, versions) -> covered.put(sector, versions.size()));
    }
    pending.add(new Operation(kind, tag, position, address, length, covered));
  }

  /// Ends one of the operations under way.
  void step() {
    Operation operation = pending.remove(random.nextInt(pending.size()));
    completions.completed(operation.tag, (int) Math.min(Integer.MAX_VALUE, end(operation)));
  }

  private long end(Operation operation) {
    return switch (operation.kind) {
      case READ -> {
        load(operation.position, memory(operation));
        yield operation.length;
      }
      case WRITE -> {
        long length = operation.length;
        boolean trouble = random.nextInt(100) < troublePercent;
        if (trouble) {
          length = random.nextLong(length / SECTOR) * SECTOR;
        }
        store(operation.position, memory(operation).asSlice(0, length));
        yield length == 0 && trouble ? -Errno.ENOSPC : length;
      }
      case PUNCH -> {
        punch(operation.position, operation.length);
        yield 0;
      }
      case SYNC -> {
        if (syncsFail) {
          operation.covered.forEach(this::lose);
          yield -Errno.EIO;
        }
        operation.covered.forEach(this::keep);
        yield 0;
      }
    };
  }

  @SuppressWarnings("restricted") // The queue says how long it is.
  private static MemorySegment memory(Operation operation) {
    return MemorySegment.ofAddress(operation.address).reinterpret(operation.length);
  }

  private void load(long position, MemorySegment into) {
    for (long at = 0; at < into.byteSize(); at += SECTOR) {
      byte[] bytes = cached.getOrDefault((position + at) / SECTOR, ZEROES);
      MemorySegment.copy(bytes, 0, into, ValueLayout.JAVA_BYTE, at, SECTOR);
    }
  }

  private void store(long position, MemorySegment from) {
    for (long at = 0; at < from.byteSize(); at += SECTOR) {
      put((position + at) / SECTOR, from.asSlice(at, SECTOR).toArray(ValueLayout.JAVA_BYTE));
    }
  }

  private void punch(long position, long length) {
    List<Long> sectors =
        List.copyOf(cached.subMap(position / SECTOR, (position + length) / SECTOR).keySet());
    sectors.forEach(sector -> put(sector, ZEROES));
  }

  private void put(long sector, byte[] bytes) {
    cached.put(sector, bytes);
    unsynced.computeIfAbsent(sector, _ -> new ArrayList<>()).add(bytes);
  }

  /// Makes the oldest `count` versions of a sector durable.
  private void keep(long sector, int count) {
    List<byte[]> versions = unsynced.get(sector);
    if (versions == null) {
      return;
    }
    int kept = Math.min(count, versions.size());
    durable.put(sector, versions.get(kept - 1));
    versions.subList(0, kept).clear();
    if (versions.isEmpty()) {
      unsynced.remove(sector);
    }
  }

  /// Forgets that the oldest `count` versions of a sector were to be written.
  private void lose(long sector, int count) {
    List<byte[]> versions = unsynced.get(sector);
    if (versions != null) {
      versions.subList(0, Math.min(count, versions.size())).clear();
      if (versions.isEmpty()) {
        unsynced.remove(sector);
      }
    }
  }

  /// The power fails now; what is left is on the disk.
  void crash() {
    for (Operation operation : pending) {
      if (operation.kind == Kind.WRITE) {
        storeSome(operation.position, memory(operation));
      } else if (operation.kind == Kind.PUNCH && random.nextBoolean()) {
        punch(operation.position, operation.length);
      }
    }
    pending.clear();
    Fate ofMetadata = Fate.BY_NUMBER[random.nextInt(Fate.BY_NUMBER.length)];
    Fate ofData = Fate.BY_NUMBER[random.nextInt(Fate.BY_NUMBER.length)];
    for (long sector : unsynced.keySet().stream().sorted().toList()) {
      settle(sector, sector * SECTOR < metadataBytes ? ofMetadata : ofData);
    }
    unsynced.clear();
    cached.clear();
    cached.putAll(durable);
    storageStepsLeft = Integer.MAX_VALUE;
    syncsFail = false;
  }

  private void storeSome(long position, MemorySegment from) {
    for (long at = 0; at < from.byteSize(); at += SECTOR) {
      if (random.nextBoolean()) {
        store(position + at, from.asSlice(at, SECTOR));
      }
    }
  }

  private void settle(long sector, Fate fate) {
    List<byte[]> versions = new ArrayList<>(unsynced.getOrDefault(sector, List.of()));
    versions.addFirst(durable.getOrDefault(sector, ZEROES));
    byte[] bytes =
        switch (fate) {
          case ANY -> versions.get(random.nextInt(versions.size()));
          case OLD -> versions.getFirst();
          case NEW -> versions.getLast();
        };
    if (fate == Fate.ANY && sector * SECTOR < metadataBytes && random.nextInt(4) == 0) {
      byte[] other = versions.get(random.nextInt(versions.size()));
      int tear = random.nextInt(SECTOR);
      bytes = Arrays.copyOf(bytes, SECTOR);
      System.arraycopy(other, 0, bytes, 0, tear);
    }
    durable.put(sector, bytes);
  }

  @Override
  public long lengthBytes() {
    return lengthBytes;
  }

  @Override
  public void read(long position, MemorySegment into) throws EOFException {
    if (position + into.byteSize() > lengthBytes) {
      throw new EOFException("the file ends at " + lengthBytes);
    }
    load(position, into);
  }

  @Override
  public void write(long position, MemorySegment from) {
    if (storageStepsLeft-- <= 0) {
      storeSome(position, from);
      throw new PowerLoss();
    }
    store(position, from);
    lengthBytes = Math.max(lengthBytes, position + from.byteSize());
  }

  @Override
  public void extend(long bytes) {
    lengthBytes = Math.max(lengthBytes, bytes);
  }

  @Override
  public void force() {
    if (storageStepsLeft-- <= 0) {
      throw new PowerLoss();
    }
    List.copyOf(unsynced.keySet()).forEach(sector -> keep(sector, Integer.MAX_VALUE));
  }

  /// Damages a byte where it is durable.
  void damage(long position) {
    byte[] bytes = Arrays.copyOf(cached.getOrDefault(position / SECTOR, ZEROES), SECTOR);
    bytes[(int) (position % SECTOR)] ^= 0x10;
    cached.put(position / SECTOR, bytes);
    durable.put(position / SECTOR, bytes);
  }

  @Override
  public boolean close() {
    return true;
  }
}
