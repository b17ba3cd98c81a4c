package io.ublkbridge.kernel;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Function;

/// `/dev/ublk-control`: adds, starts, stops and deletes devices.
///
/// Any thread that is not an event loop may call; every command runs on a thread of its own, with a
/// deadline, because some kernels never come back from ADD_DEV and because STOP_DEV waits for the
/// I/O that the event loops still serve.
public final class ControlDevice implements AutoCloseable {
  public static final Path PATH = Path.of("/dev/ublk-control");

  private final int fd;

  private ControlDevice(int fd) {
    this.fd = fd;
  }

  /// Opens the driver's control node.
  ///
  /// @throws UblkException with ENOENT where the driver is not loaded, EACCES or EPERM without the
  ///   right
  public static ControlDevice open() {
    int fd = Posix.open(PATH.toString(), Posix.O_RDWR | Posix.O_CLOEXEC);
    if (fd >= 0) {
      return new ControlDevice(fd);
    }
    throw new UblkException("open of " + PATH, -fd);
  }

  /// Whether the driver is there at all.
  public static boolean present() {
    return Files.exists(PATH);
  }

  /// The kernel's `UBLK_F_*`.
  ///
  /// @throws UblkException with EOPNOTSUPP from a kernel before 6.5
  public long features() {
    return inCall(
        JAVA_LONG.byteSize(),
        "GET_FEATURES",
        Duration.ofSeconds(10),
        buffer -> new ControlCommand(UblkAbi.UBLK_U_CMD_GET_FEATURES, -1, buffer, 0, 0),
        buffer -> buffer.get(JAVA_LONG, 0));
  }

  /// Creates a device.
  ///
  /// @return what the kernel made of it: it lowers queues and clears flags that it does not know
  public DeviceInfo add(DeviceInfo wanted, Duration deadline) {
    return inCall(
        DeviceInfo.LAYOUT.byteSize(),
        "ADD_DEV of device " + (wanted.id() < 0 ? "(any)" : Integer.toString(wanted.id())),
        deadline,
        buffer -> {
          wanted.writeTo(buffer);
          return new ControlCommand(UblkAbi.UBLK_U_CMD_ADD_DEV, wanted.id(), buffer, 0, 0);
        },
        DeviceInfo::readFrom);
  }

  /// Sets the disk's parameters; only before START_DEV.
  public void setParams(int id, UblkParams params) {
    inCall(
        UblkParams.LAYOUT.byteSize(),
        "SET_PARAMS of device " + id,
        Duration.ofSeconds(10),
        buffer -> {
          params.writeTo(buffer);
          return new ControlCommand(UblkAbi.UBLK_U_CMD_SET_PARAMS, id, buffer, 0, 0);
        },
        _ -> id);
  }

  public UblkParams params(int id) {
    return inCall(
        UblkParams.LAYOUT.byteSize(),
        "GET_PARAMS of device " + id,
        Duration.ofSeconds(10),
        buffer -> {
          // The kernel fills as many bytes as the length in front says.
          buffer.set(JAVA_INT, 0, (int) UblkParams.LAYOUT.byteSize());
          return new ControlCommand(UblkAbi.UBLK_U_CMD_GET_PARAMS, id, buffer, 0, 0);
        },
        UblkParams::readFrom);
  }

  /// Makes `/dev/ublkbN` appear. Waits until every tag of every queue has been fetched; on kernels
  /// before 7.0 the partition scan happens inside, so the loops must be serving already.
  public void start(int id, long serverPid, Duration deadline) {
    run(
        "START_DEV of device " + id,
        deadline,
        _ ->
            new ControlCommand(UblkAbi.UBLK_U_CMD_START_DEV, id, MemorySegment.NULL, serverPid, 0));
  }

  /// Takes `/dev/ublkbN` away: flushes the page cache and waits for every request in flight, which
  /// the loops must go on serving.
  public void stop(int id, Duration deadline) {
    run(
        "STOP_DEV of device " + id,
        deadline,
        _ -> new ControlCommand(UblkAbi.UBLK_U_CMD_STOP_DEV, id, MemorySegment.NULL, 0, 0));
  }

  /// The same, unless somebody has the disk open; what opens it later is refused. Since Linux 7.0.
  ///
  /// @throws UblkException with EBUSY if it is open; ENODEV if there is no disk any more
  public void tryStop(int id, Duration deadline) {
    run(
        "TRY_STOP_DEV of device " + id,
        deadline,
        _ -> new ControlCommand(UblkAbi.UBLK_U_CMD_TRY_STOP_DEV, id, MemorySegment.NULL, 0, 0));
  }

  /// Lets no new request come, and gives up every tag that has none, with ENODEV; the others can
  /// still be committed. From then on only the end of this process, or at least of its hold on
  /// `/dev/ublkcN`, makes a way for another server: this cannot be taken back. Since Linux 6.16,
  /// for devices made with `UBLK_F_QUIESCE`.
  ///
  /// @param patience until each queue has a tag without a request
  /// @throws UblkException with EBUSY if one has none in time
  public void quiesce(int id, Duration patience, Duration deadline) {
    run(
        "QUIESCE_DEV of device " + id,
        deadline,
        _ ->
            new ControlCommand(
                UblkAbi.UBLK_U_CMD_QUIESCE_DEV,
                id,
                MemorySegment.NULL,
                // 0 would mean for ever.
                Math.max(1, patience.toMillis()),
                0));
  }

  /// Gives a disk that is served another size, and tells everybody who watches it. Since Linux
  /// 6.16; before 7.0 it must not be called on a device without a disk.
  ///
  /// @param sizeBytes a multiple of the logical block; the driver does not look
  public void updateSize(int id, long sizeBytes, Duration deadline) {
    run(
        "UPDATE_SIZE of device " + id,
        deadline,
        _ ->
            new ControlCommand(
                UblkAbi.UBLK_U_CMD_UPDATE_SIZE,
                id,
                MemorySegment.NULL,
                sizeBytes >>> UblkAbi.SECTOR_SHIFT,
                0));
  }

  /// Prepares a device whose server has died for another one, which then opens `/dev/ublkcN` and
  /// fetches every tag. From now on the device belongs to this process.
  ///
  /// @throws UblkException with EBUSY while the kernel has not let go of the old server, or another
  ///   process is taking over; EINVAL for a device that was not made to be taken over
  public void startRecovery(int id, Duration deadline) {
    run(
        "START_USER_RECOVERY of device " + id,
        deadline,
        _ ->
            new ControlCommand(
                UblkAbi.UBLK_U_CMD_START_USER_RECOVERY, id, MemorySegment.NULL, 0, 0));
  }

  /// Lets the I/O go on that has waited since the old server's death. Waits until every tag has
  /// been fetched; requests may arrive before it returns.
  ///
  /// @param serverPid the process that has `/dev/ublkcN` open
  public void endRecovery(int id, long serverPid, Duration deadline) {
    run(
        "END_USER_RECOVERY of device " + id,
        deadline,
        _ ->
            new ControlCommand(
                UblkAbi.UBLK_U_CMD_END_USER_RECOVERY, id, MemorySegment.NULL, serverPid, 0));
  }

  /// Deletes the device; waits until `/dev/ublkcN` is closed and unmapped everywhere.
  public void delete(int id, Duration deadline) {
    run(
        "DEL_DEV of device " + id,
        deadline,
        _ -> new ControlCommand(UblkAbi.UBLK_U_CMD_DEL_DEV, id, MemorySegment.NULL, 0, 0));
  }

  /// What the kernel knows of a device.
  ///
  /// @throws UblkException with ENODEV if there is no such device
  public DeviceInfo info(int id) {
    String charDevice = CharDevice.path(id).toString();
    int pathBytes = charDevice.length() + 1;
    return inCall(
        pathBytes + DeviceInfo.LAYOUT.byteSize(),
        "GET_DEV_INFO2 of device " + id,
        Duration.ofSeconds(10),
        buffer -> {
          buffer.setString(0, charDevice);
          return new ControlCommand(UblkAbi.UBLK_U_CMD_GET_DEV_INFO2, id, buffer, 0, pathBytes);
        },
        buffer -> {
          // Behind the path the struct is not aligned.
          try (Arena arena = Arena.ofConfined()) {
            MemorySegment info = arena.allocate(DeviceInfo.LAYOUT);
            info.copyFrom(buffer.asSlice(pathBytes, info.byteSize()));
            return DeviceInfo.readFrom(info);
          }
        });
  }

  @Override
  public void close() {
    Posix.close(fd);
  }

  private void run(
      String what, Duration deadline, Function<MemorySegment, ControlCommand> command) {
    inCall(JAVA_LONG.byteSize(), what, deadline, command, _ -> 0);
  }

  private <T> T inCall(
      long bufferBytes,
      String what,
      Duration deadline,
      Function<MemorySegment, ControlCommand> command,
      Function<MemorySegment, T> answer) {
    CompletableFuture<T> outcome = new CompletableFuture<>();
    Thread.ofPlatform()
        .daemon()
        .name("ublk-control")
        .start(() -> {
          // Owned by this thread: after a deadline the kernel may still write to the buffer.
          try (Arena arena = Arena.ofConfined();
              ControlRing ring = new ControlRing()) {
            MemorySegment buffer = arena.allocate(bufferBytes, 8);
            int result = ring.run(fd, command.apply(buffer));
            if (result < 0) {
              throw new UblkException(what, -result);
            }
            outcome.complete(answer.apply(buffer));
          } catch (Throwable failure) {
            outcome.completeExceptionally(failure);
          }
        });
    try {
      return outcome.get(deadline.toMillis(), TimeUnit.MILLISECONDS);
    } catch (TimeoutException e) {
      throw new UblkException(
          what + " did not come back within " + deadline.toSeconds() + " s (see the kernel's log)");
    } catch (ExecutionException e) {
      if (e.getCause() instanceof UblkException refused) {
        throw refused;
      }
      throw new IllegalStateException(what + " broke", e.getCause());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new UblkException(what + " was interrupted");
    }
  }
}
