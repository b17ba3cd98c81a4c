package io.ublkbridge.cache;

import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.BitSet;
import org.jspecify.annotations.Nullable;

/// A request of the model: knows what it may see, and refuses to end twice or half done.
final class ModelRequest implements BlockRequest {
  private final ModelDisk disk;
  private final Operation operation;
  private final int firstSector;
  private final int sectorCount;
  private final byte[] payload;
  private final int[] floors;
  private final BitSet stored = new BitSet();
  private boolean ended;
  private @Nullable IoError error;
  private Runnable afterEnd = () -> {};

  ModelRequest(ModelDisk disk, Operation operation, int firstSector, int sectorCount) {
    this.disk = disk;
    this.operation = operation;
    this.firstSector = firstSector;
    this.sectorCount = sectorCount;
    this.payload = new byte[operation.hasPayload() ? sectorCount * ModelDisk.SECTOR : 0];
    this.floors = new int[operation == Operation.READ ? sectorCount : 0];
    for (int i = 0; i < floors.length; i++) {
      floors[i] = disk.floor(firstSector + i);
    }
    if (operation == Operation.WRITE) {
      for (int i = 0; i < sectorCount; i++) {
        memory()
            .set(ValueLayout.JAVA_LONG_UNALIGNED, (long) i * ModelDisk.SECTOR, disk.nextStamp());
      }
    }
  }

  private MemorySegment memory() {
    return MemorySegment.ofArray(payload);
  }

  boolean ended() {
    return ended;
  }

  /// What whoever asked does as soon as it hears of the end.
  void afterEnd(Runnable action) {
    afterEnd = action;
  }

  @Nullable IoError error() {
    return error;
  }

  @Override
  public Operation operation() {
    return operation;
  }

  @Override
  public long offsetBytes() {
    return (long) firstSector * ModelDisk.SECTOR;
  }

  @Override
  public long lengthBytes() {
    return (long) sectorCount * ModelDisk.SECTOR;
  }

  @Override
  public boolean durable() {
    return false;
  }

  @Override
  public boolean mayUnmap() {
    return true;
  }

  @Override
  public void loadPayload(long at, MemorySegment into) {
    require(!ended && operation == Operation.WRITE, "is loaded");
    into.copyFrom(memory().asSlice(at, into.byteSize()));
  }

  @Override
  public void storePayload(long at, MemorySegment from) {
    require(!ended && operation == Operation.READ, "is stored");
    memory().asSlice(at, from.byteSize()).copyFrom(from);
    stored.set((int) at, (int) (at + from.byteSize()));
  }

  @Override
  public void complete() {
    require(!ended, "ends twice");
    ended = true;
    if (operation == Operation.READ) {
      require(stored.nextClearBit(0) >= payload.length, "completes without all bytes");
      for (int i = 0; i < sectorCount; i++) {
        check(i);
      }
    }
    afterEnd.run();
  }

  private void check(int index) {
    int sector = firstSector + index;
    long content = memory().get(ValueLayout.JAVA_LONG_UNALIGNED, (long) index * ModelDisk.SECTOR);
    int version = disk.version(sector, content);
    require(
        version >= floors[index],
        "sees version " + version + " of sector " + sector + ", older than " + floors[index]);
  }

  @Override
  public void fail(IoError failure, @Nullable Throwable cause) {
    require(!ended, "ends twice");
    ended = true;
    error = failure;
    afterEnd.run();
  }

  private void require(boolean condition, String what) {
    if (!condition) {
      throw new AssertionError(this + " " + what);
    }
  }

  @Override
  public String toString() {
    return operation + " of sectors " + firstSector + "+" + sectorCount;
  }
}
