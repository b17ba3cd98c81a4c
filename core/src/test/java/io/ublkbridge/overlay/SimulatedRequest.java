package io.ublkbridge.overlay;

import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.jspecify.annotations.Nullable;

/// A request of the simulation, which tells it when it ends.
final class SimulatedRequest implements BlockRequest {
  /// Told once of each request.
  interface Ends {
    void ended(SimulatedRequest request, @Nullable IoError error);
  }

  private final Operation operation;
  private final long offsetBytes;
  private final int write;
  private final boolean durable;
  private final long lengthBytes;
  private final byte[] payload;
  private final boolean[] supplied;
  private final int[] then;
  private final Ends ends;
  private boolean ended;

  /// @param write the number of the write, which every sector of it holds
  /// @param then what had ended when the request began
  SimulatedRequest(
      Operation operation,
      long firstSector,
      long sectors,
      int write,
      boolean durable,
      int[] then,
      Ends ends) {
    this.operation = operation;
    this.offsetBytes = firstSector * SimulatedFile.SECTOR;
    this.lengthBytes = sectors * SimulatedFile.SECTOR;
    this.write = write;
    this.durable = durable;
    this.then = then;
    this.ends = ends;
    this.payload = new byte[operation.hasPayload() ? (int) lengthBytes : 0];
    this.supplied = new boolean[operation == Operation.READ ? (int) sectors : 0];
    if (operation == Operation.WRITE) {
      for (int i = 0; i < sectors; i++) {
        SectorBytes.fill(payload, i * SimulatedFile.SECTOR, write, firstSector + i);
      }
    }
  }

  int[] then() {
    return then;
  }

  long firstSector() {
    return offsetBytes / SimulatedFile.SECTOR;
  }

  long endSector() {
    return (offsetBytes + lengthBytes) / SimulatedFile.SECTOR;
  }

  /// Which write a sector of a READ comes from.
  int writeOf(long sector) {
    int at = (int) (sector - firstSector()) * SimulatedFile.SECTOR;
    return SectorBytes.writeOf(payload, at, sector);
  }

  @Override
  public Operation operation() {
    return operation;
  }

  @Override
  public long offsetBytes() {
    return offsetBytes;
  }

  @Override
  public long lengthBytes() {
    return lengthBytes;
  }

  @Override
  public boolean durable() {
    return durable;
  }

  @Override
  public boolean mayUnmap() {
    return write % 2 == 0;
  }

  @Override
  public void loadPayload(long at, MemorySegment into) {
    MemorySegment.copy(payload, (int) at, into, ValueLayout.JAVA_BYTE, 0, (int) into.byteSize());
  }

  @Override
  public void storePayload(long at, MemorySegment from) {
    MemorySegment.copy(from, ValueLayout.JAVA_BYTE, 0, payload, (int) at, (int) from.byteSize());
    for (long i = at; i < at + from.byteSize(); i += SimulatedFile.SECTOR) {
      if (supplied[(int) (i / SimulatedFile.SECTOR)]) {
        throw new AssertionError(this + " is supplied twice at " + i);
      }
      supplied[(int) (i / SimulatedFile.SECTOR)] = true;
    }
  }

  @Override
  public void complete() {
    for (int i = 0; i < supplied.length; i++) {
      if (!supplied[i]) {
        throw new AssertionError(this + " completes, but sector " + i + " was not supplied");
      }
    }
    end(null);
  }

  @Override
  public void fail(IoError error, @Nullable Throwable cause) {
    end(error);
  }

  private void end(@Nullable IoError error) {
    if (ended) {
      throw new AssertionError(this + " ends twice");
    }
    ended = true;
    ends.ended(this, error);
  }

  @Override
  public String toString() {
    return "%s %d+%d (%d)".formatted(operation, offsetBytes, lengthBytes, write);
  }
}
