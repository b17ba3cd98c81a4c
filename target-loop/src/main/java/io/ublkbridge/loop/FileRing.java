package io.ublkbridge.loop;

import io.ublkbridge.kernel.RingFile;

/// File I/O by the io_uring of the queue's own event loop: each step is one operation, whose tag is
/// the index of its slot. The slot knows its step, and has only one.
final class FileRing implements FileIo {
  private final RingFile file;

  FileRing(RingFile file) {
    this.file = file;
  }

  @Override
  public void start(LoopSlot slot) {
    int tag = slot.index();
    switch (slot.stage()) {
      case READ -> read(slot);
      case WRITE -> write(slot, slot.request().durable());
      case ZERO_PAGES -> write(slot, false);
      case PUNCH_HOLE -> file.punchHole(tag, slot.positionBytes(), slot.remainingBytes());
      case ZERO_RANGE -> file.zeroRange(tag, slot.positionBytes(), slot.remainingBytes());
      case SYNC -> file.dataSync(tag);
    }
  }

  private void read(LoopSlot slot) {
    int tag = slot.index();
    if (slot.inPlace()) {
      int buffer = slot.payloadBuffer();
      file.readFixed(tag, slot.positionBytes(), buffer, slot.doneBytes(), slot.transferBytes());
    } else {
      file.read(tag, slot.positionBytes(), slot.address(), slot.transferBytes());
    }
  }

  private void write(LoopSlot slot, boolean durable) {
    if (slot.inPlace()) {
      file.writeFixed(
          slot.index(),
          slot.positionBytes(),
          slot.payloadBuffer(),
          slot.doneBytes(),
          slot.transferBytes(),
          durable);
      return;
    }
    file.write(slot.index(), slot.positionBytes(), slot.address(), slot.transferBytes(), durable);
  }

  @Override
  public boolean close() {
    return file.close();
  }
}
