package io.ublkbridge.cli;

import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.Posix;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.regex.Pattern;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// The memory of this JVM's heap.
final class HeapPages {
  private static final Logger log = LoggerFactory.getLogger(HeapPages.class);

  /// Private writable memory that no file backs, `proc_pid_maps(5)`.
  private static final Pattern ANONYMOUS =
      Pattern.compile("(?m)^([0-9a-f]+)-([0-9a-f]+) rw-p 0+ 00:00 0 *$");

  private static final int HEXADECIMAL = 16;

  private HeapPages() {}

  /// A part of the address space.
  record Mapping(long address, long lengthBytes) {}

  /// Makes all of the heap resident, since memory may be short when it is needed. The JVM's own
  /// `AlwaysPreTouch` would do that to the archive of loaded classes too, and so make private
  /// memory of a mapped file.
  static void touch() {
    try {
      String maps = Files.readString(Path.of("/proc/self/maps"));
      Optional<Mapping> heap = find(maps, Runtime.getRuntime().maxMemory());
      if (heap.isEmpty()) {
        log.warn("cannot tell where the heap is; it is not made resident in advance");
        return;
      }
      int result = Posix.populate(heap.get().address(), heap.get().lengthBytes());
      if (result < 0) {
        log.warn("the heap is not made resident in advance: {}", Errno.describe(-result));
      }
    } catch (IOException e) {
      log.warn("the heap is not made resident in advance", e);
    }
  }

  /// The heap as `/proc/self/maps` has it: alone in its size while nothing was allocated besides.
  ///
  /// @param heapBytes at least; the JVM does not count a part of what it reserves
  static Optional<Mapping> find(String maps, long heapBytes) {
    return ANONYMOUS
        .matcher(maps)
        .results()
        .map(line -> {
          long address = Long.parseUnsignedLong(line.group(1), HEXADECIMAL);
          long end = Long.parseUnsignedLong(line.group(2), HEXADECIMAL);
          return new Mapping(address, end - address);
        })
        .filter(mapping -> mapping.lengthBytes() >= heapBytes)
        .filter(mapping -> mapping.lengthBytes() < 2 * heapBytes)
        .findFirst();
  }
}
