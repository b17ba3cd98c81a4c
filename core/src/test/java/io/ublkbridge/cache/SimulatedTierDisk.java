package io.ublkbridge.cache;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.RingFile;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;

/// A disk that does what disks may do to a file that nobody syncs: transfers pass sector by sector
/// in any order among each other, are interrupted, done in part or refused, and a crash leaves of
/// each sector whatever was ever written to it.
///
/// The file's bytes live here while it is used; a test loads them before and saves them after.
final class SimulatedTierDisk {
  static final int SECTOR_BYTES = 512;

  private final SplittableRandom random;
  private final List<Transfer> underWay = new ArrayList<>();

  /// What a sector held before, oldest first.
  private final Map<Integer, List<byte[]>> history = new HashMap<>();

  private byte[] bytes = {};
  private double interruptionRate;
  private double errorRate;
  private int errno = Errno.EIO;

  SimulatedTierDisk(SplittableRandom random) {
    this.random = random;
  }

  SimulatedTierDisk interruptionRate(double rate) {
    interruptionRate = rate;
    return this;
  }

  SimulatedTierDisk errorRate(double rate, int errno) {
    errorRate = rate;
    this.errno = errno;
    return this;
  }

  void load(byte[] fileBytes) {
    bytes = fileBytes.clone();
    history.clear();
  }

  /// The file has become longer.
  void extend(int lengthBytes) {
    bytes = Arrays.copyOf(bytes, lengthBytes);
  }

  byte[] bytes() {
    return bytes;
  }

  int underWayCount() {
    return underWay.size();
  }

  /// One lane's way to the disk.
  TierIo lane(RingFile.Completions completions) {
    return new Lane(completions);
  }

  /// Goes on with one transfer, by a sector or to its end.
  ///
  /// @return false if there is none
  boolean step() {
    if (underWay.isEmpty()) {
      return false;
    }
    Transfer transfer = underWay.get(random.nextInt(underWay.size()));
    boolean rest = random.nextBoolean();
    do {
      if (transfer.doneBytes == transfer.lengthBytes
          || transfer.positionBytes + transfer.doneBytes >= bytes.length) {
        finish(transfer, transfer.doneBytes);
        return true;
      }
      if (transfer.doneBytes > 0 && random.nextDouble() < interruptionRate) {
        finish(transfer, transfer.doneBytes);
        return true;
      }
      if (transfer.doneBytes == 0 && random.nextDouble() < interruptionRate) {
        finish(transfer, random.nextBoolean() ? -Errno.EINTR : -Errno.EAGAIN);
        return true;
      }
      if (random.nextDouble() < errorRate) {
        finish(transfer, -errno);
        return true;
      }
      transfer.pass();
    } while (rest);
    return true;
  }

  void drain() {
    boolean busy = true;
    while (busy) {
      busy = step();
    }
  }

  /// The machine goes down. What the file holds then, of every sector something that was written to
  /// it at some time; transfers that were under way may have got anywhere.
  byte[] crash() {
    for (Transfer transfer : underWay) {
      while (transfer.write && transfer.doneBytes < transfer.lengthBytes && random.nextInt(8) > 0) {
        transfer.pass();
      }
    }
    underWay.clear();
    byte[] left = bytes.clone();
    history.forEach((sector, versions) -> {
      int choice = random.nextInt(versions.size() + 1);
      if (choice < versions.size()) {
        System.arraycopy(versions.get(choice), 0, left, sector * SECTOR_BYTES, SECTOR_BYTES);
      }
    });
    return left;
  }

  /// The process is killed: what was written stays, and what was under way goes on or not.
  byte[] kill() {
    for (Transfer transfer : underWay) {
      while (transfer.write && transfer.doneBytes < transfer.lengthBytes && random.nextInt(8) > 0) {
        transfer.pass();
      }
    }
    underWay.clear();
    return bytes.clone();
  }

  private void finish(Transfer transfer, int result) {
    underWay.remove(transfer);
    transfer.completions.completed(transfer.tag, result);
  }

  private final class Lane implements TierIo {
    private final RingFile.Completions completions;

    Lane(RingFile.Completions completions) {
      this.completions = completions;
    }

    @Override
    public void read(int tag, long positionBytes, long address, int lengthBytes) {
      underWay.add(new Transfer(completions, tag, positionBytes, address, lengthBytes, false));
    }

    @Override
    public void write(int tag, long positionBytes, long address, int lengthBytes) {
      underWay.add(new Transfer(completions, tag, positionBytes, address, lengthBytes, true));
    }

    @Override
    public boolean close() {
      drain();
      return true;
    }
  }

  private final class Transfer {
    final RingFile.Completions completions;
    final int tag;
    final long positionBytes;
    final MemorySegment memory;
    final int lengthBytes;
    final boolean write;
    int doneBytes;

    @SuppressWarnings("restricted") // As the kernel would.
    Transfer(
        RingFile.Completions completions,
        int tag,
        long positionBytes,
        long address,
        int lengthBytes,
        boolean write) {
      if (positionBytes % 4096 != 0 || address % 4096 != 0) {
        throw new AssertionError("direct I/O needs aligned positions and memory");
      }
      this.completions = completions;
      this.tag = tag;
      this.positionBytes = positionBytes;
      this.memory = MemorySegment.ofAddress(address).reinterpret(lengthBytes);
      this.lengthBytes = lengthBytes;
      this.write = write;
    }

    /// Transfers one more sector.
    void pass() {
      int at = (int) positionBytes + doneBytes;
      if (write) {
        byte[] before = new byte[SECTOR_BYTES];
        System.arraycopy(bytes, at, before, 0, SECTOR_BYTES);
        history.computeIfAbsent(at / SECTOR_BYTES, _ -> new ArrayList<>()).add(before);
        MemorySegment.copy(memory, JAVA_BYTE, doneBytes, bytes, at, SECTOR_BYTES);
      } else {
        MemorySegment.copy(bytes, at, memory, JAVA_BYTE, doneBytes, SECTOR_BYTES);
      }
      doneBytes += SECTOR_BYTES;
    }
  }
}
