package io.ublkbridge.overlay;

import io.netty.channel.IoEventLoop;
import io.ublkbridge.kernel.FileStatus;
import io.ublkbridge.kernel.Posix;
import io.ublkbridge.kernel.RingFile;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.ForwardingTarget;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.Succession;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import io.ublkbridge.target.TargetQueue;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.RejectedExecutionException;

/// A disk whose contents come from a base that is only read, and whose changes stay in a local
/// file.
///
/// A completed write is durable after a FLUSH; FUA is not offered, because the map makes it cost
/// the same. One queue: blocks are copied up, and the map changes, on one event loop without locks.
public final class OverlayTarget extends ForwardingTarget {
  private static final Duration DETAILS_TIMEOUT = Duration.ofSeconds(2);

  /// Bounds how long a DISCARD holds the event loop while it changes the map.
  private static final long MAX_ZERO_BYTES = 256L << 20;

  private final OverlayFile file;
  private final OverlayDisk disk;
  private final IoEventLoop eventLoop;
  private final boolean readOnly;
  private final Geometry geometry;
  private boolean opened;
  private boolean closed;

  private OverlayTarget(BlockTarget base, OverlayOpener.Ready overlay, OpenContext context) {
    super(base);
    this.file = overlay.file();
    this.disk = overlay.disk();
    this.eventLoop = context.eventLoop();
    this.readOnly = context.readOnly();
    Geometry below = base.geometry();
    this.geometry =
        new Geometry(
            below.sizeBytes(),
            below.blockBytes(),
            Math.max(below.preferredIoBytes(), OverlayLayout.BLOCK_BYTES),
            below.maxIoBytes(),
            MAX_ZERO_BYTES);
  }

  /// Puts an overlay in front of a base. The result owns the base, which stays the caller's if this
  /// fails.
  ///
  /// @param base opened to be read only
  /// @param source names the base where it has no identity of its own
  /// @param path the overlay's file; made if it does not exist
  /// @throws TargetOpenException if the file cannot be used, or belongs to another base
  public static OverlayTarget open(BlockTarget base, String source, Path path, OpenContext context)
      throws TargetOpenException {
    OverlayOpener opener =
        new OverlayOpener(
            path.toAbsolutePath().normalize(),
            base.contentIdentity().orElse(source),
            base.geometry().sizeBytes(),
            context.readOnly());
    return new OverlayTarget(base, opener.open(), context);
  }

  @Override
  public Geometry geometry() {
    return geometry;
  }

  @Override
  public Capabilities capabilities() {
    Capabilities offered = new Capabilities(false, true, false, true, true, false, 1);
    return readOnly ? offered.asReadOnly() : offered;
  }

  @Override
  public Map<String, Object> details() {
    Map<String, Object> overlay = new LinkedHashMap<>();
    overlay.put("file", file.path().toString());
    overlay.put("uuid", disk.header().uuid().toString());
    overlay.put("dataBytes", disk.map().dataBlocks() * OverlayLayout.BLOCK_BYTES);
    overlay.put("zeroBytes", disk.map().zeroBlocks() * OverlayLayout.BLOCK_BYTES);
    putAllocated(overlay);
    Map<String, Object> details = new LinkedHashMap<>(super.details());
    details.put("overlay", overlay);
    return details;
  }

  private synchronized void putAllocated(Map<String, Object> overlay) {
    if (!closed) {
      FileStatus.of(eventLoop, file.fd(), DETAILS_TIMEOUT)
          .ifPresent(status -> overlay.put("allocatedBytes", status.allocatedBytes()));
    }
  }

  /// Which blocks were written since the last flush is known to the process alone.
  @Override
  public Optional<Succession> succession() {
    return Optional.empty();
  }

  @Override
  public long presentSize(Duration timeout) throws TargetOpenException {
    throw new TargetOpenException(
        Reason.FAILED, "a disk with an overlay keeps the size of what is below it", null);
  }

  /// What is written here changes the contents.
  @Override
  public Optional<String> contentIdentity() {
    return Optional.empty();
  }

  @Override
  public TargetQueue openQueue(QueueContext context) throws TargetOpenException {
    if (opened) {
      throw new IllegalStateException("an overlay has one queue");
    }
    opened = true;
    int fd = file.reopen(readOnly);
    int syncFd;
    try {
      syncFd = file.reopen(readOnly);
    } catch (TargetOpenException e) {
      Posix.close(fd);
      throw e;
    }
    RingFile ring = new RingFile(fd, syncFd);
    TargetQueue base;
    try {
      base = next().openQueue(context);
    } catch (TargetOpenException | RuntimeException e) {
      ring.close();
      throw e;
    }
    OverlayQueue queue = new OverlayQueue(disk, new RingIo(ring), base, context, !readOnly);
    try {
      ring.join(context.eventLoop(), queue::completedInRing);
      if (!readOnly) {
        OverlayFormat.writeStatus(disk.storage(), false);
      }
      return queue;
    } catch (RejectedExecutionException | IOException e) {
      queue.close();
      throw new TargetOpenException(
          Reason.FAILED, "cannot use the overlay " + file.path() + ": " + e.getMessage(), null, e);
    }
  }

  @Override
  public synchronized void close() {
    if (!closed) {
      closed = true;
      file.close();
      disk.map().close();
      super.close();
    }
  }
}
