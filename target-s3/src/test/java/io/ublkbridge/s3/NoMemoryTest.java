package io.ublkbridge.s3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.ublkbridge.target.IoError;
import io.ublkbridge.target.RecordedRequest;
import org.junit.jupiter.api.Test;

/// Reads for which there is no memory fail, and leave room for the next ones.
final class NoMemoryTest {
  private static final int FRAME = 16 << 10;

  @Test
  void framesWithoutMemoryFailTheirReadsAndGiveTheirRoomBack() throws Exception {
    byte[] content = SeekableZstd.noise(8 * FRAME, 3);
    for (int left = 0; left < 4; left++) {
      try (CompressedBytes image =
          new CompressedBytes(SeekableZstd.of(content, FRAME, true), FRAME)) {
        image.buffers().leave(left);
        RecordedRequest failed = RecordedRequest.read(0, 8 * FRAME);
        image.read(failed);
        assertEquals(IoError.IO, failed.await(), "with " + left + " buffers left");

        image.buffers().replenish();
        for (int round = 0; round < 8; round++) {
          RecordedRequest read = RecordedRequest.read(0, 8 * FRAME);
          image.read(read);
          assertNull(read.await(), "with " + left + " buffers left");
        }
      }
    }
  }
}
