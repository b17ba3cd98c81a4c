package io.ublkbridge.overlay;

import io.netty.channel.IoEventLoop;
import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.FileStatus;
import io.ublkbridge.kernel.Posix;
import io.ublkbridge.kernel.RingFile;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.OptionalLong;

/// What an overlay's file holds, as it is on disk; it is only read, also while it is in use.
///
/// @param inUse whether it is attached now; what was not flushed is not counted then
/// @param clean whether it was left in order; if not, it is complete up to its last flush
/// @param allocatedBytes how much room the file takes, where that is known
public record OverlaySummary(
    OverlayHeader header,
    boolean inUse,
    boolean clean,
    long dataBytes,
    long zeroBytes,
    OptionalLong allocatedBytes) {
  private static final Duration TIMEOUT = Duration.ofSeconds(10);

  /// A page that is being written may look damaged.
  private static final int ATTEMPTS = 10;

  /// Looks at a file.
  ///
  /// @throws TargetOpenException if it is not an overlay, or damaged
  public static OverlaySummary read(Path path, IoEventLoop eventLoop) throws TargetOpenException {
    int fd = Posix.open(path.toString(), Posix.O_RDONLY | Posix.O_NONBLOCK | Posix.O_CLOEXEC);
    if (fd < 0) {
      throw new TargetOpenException(Reason.FAILED, Errno.describe(-fd), null);
    }
    try (FileChannel channel =
        FileChannel.open(Path.of(RingFile.pathOf(fd)), StandardOpenOption.READ)) {
      OverlayStorage storage = new ChannelStorage(channel);
      OverlayHeader header = OverlayFormat.readHeader(storage);
      // The lock goes with the channel.
      FileLock lock = channel.tryLock(0, Long.MAX_VALUE, true);
      boolean inUse = lock == null;
      OverlayFormat.Opened opened = open(storage, header, inUse ? ATTEMPTS : 1);
      try (BlockMap map = opened.map()) {
        return new OverlaySummary(
            header,
            inUse,
            opened.clean(),
            map.dataBlocks() * OverlayLayout.BLOCK_BYTES,
            map.zeroBlocks() * OverlayLayout.BLOCK_BYTES,
            FileStatus.of(eventLoop, fd, TIMEOUT).stream()
                .mapToLong(FileStatus::allocatedBytes)
                .findAny());
      }
    } catch (IOException e) {
      throw new TargetOpenException(Reason.FAILED, String.valueOf(e.getMessage()), null, e);
    } finally {
      Posix.close(fd);
    }
  }

  private static OverlayFormat.Opened open(
      OverlayStorage storage, OverlayHeader header, int attempts)
      throws IOException, TargetOpenException {
    try {
      return OverlayFormat.open(storage, header, false);
    } catch (TargetOpenException e) {
      if (attempts > 1) {
        return open(storage, header, attempts - 1);
      }
      throw e;
    }
  }

  /// For people and scripts: name → value, sizes in bytes.
  public Map<String, Object> fields() {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("format", OverlayHeader.VERSION);
    fields.put("uuid", header.uuid().toString());
    fields.put("base", header.baseInOneLine());
    fields.put("size", header.layout().sizeBytes());
    fields.put("blockSize", OverlayLayout.BLOCK_BYTES);
    fields.put("dataBytes", dataBytes);
    fields.put("zeroBytes", zeroBytes);
    allocatedBytes.ifPresent(bytes -> fields.put("allocatedBytes", bytes));
    fields.put("inUse", inUse);
    fields.put("clean", clean);
    return fields;
  }
}
