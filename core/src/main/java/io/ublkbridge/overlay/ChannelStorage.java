package io.ublkbridge.overlay;

import java.io.EOFException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;

/// A real file.
record ChannelStorage(FileChannel channel) implements OverlayStorage {
  @Override
  public long lengthBytes() throws IOException {
    return channel.size();
  }

  @Override
  public void read(long position, MemorySegment into) throws IOException {
    ByteBuffer buffer = into.asByteBuffer();
    while (buffer.hasRemaining()) {
      if (channel.read(buffer, position + buffer.position()) < 0) {
        throw new EOFException("the file ends at " + channel.size());
      }
    }
  }

  @Override
  public void write(long position, MemorySegment from) throws IOException {
    ByteBuffer buffer = from.asByteBuffer();
    while (buffer.hasRemaining()) {
      var _ = channel.write(buffer, position + buffer.position());
    }
  }

  @Override
  public void extend(long lengthBytes) throws IOException {
    if (channel.size() < lengthBytes) {
      var _ = channel.write(ByteBuffer.allocate(1), lengthBytes - 1);
    }
  }

  @Override
  public void force() throws IOException {
    channel.force(true);
  }
}
