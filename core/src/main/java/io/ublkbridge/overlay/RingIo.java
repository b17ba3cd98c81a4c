package io.ublkbridge.overlay;

import io.ublkbridge.kernel.RingFile;

/// I/O by the io_uring of the queue's own event loop.
record RingIo(RingFile file) implements OverlayIo {
  @Override
  public void read(int tag, long positionBytes, long address, int lengthBytes) {
    file.read(tag, positionBytes, address, lengthBytes);
  }

  @Override
  public void write(int tag, long positionBytes, long address, int lengthBytes) {
    file.write(tag, positionBytes, address, lengthBytes, false);
  }

  @Override
  public void dataSync(int tag) {
    file.dataSync(tag);
  }

  @Override
  public void punchHole(int tag, long positionBytes, long lengthBytes) {
    file.punchHole(tag, positionBytes, lengthBytes);
  }

  @Override
  public boolean close() {
    return file.close();
  }
}
