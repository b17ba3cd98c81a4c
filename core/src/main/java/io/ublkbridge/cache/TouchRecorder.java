package io.ublkbridge.cache;

import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SeekableByteChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SecureDirectoryStream;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Writes what a run has touched into a file: every minute if there is news, and at its end.
///
/// The file is replaced by renaming, so that it is always a whole list. Its directory stays open,
/// since the server leaves the mounts that it does not serve from. Opened and closed on control
/// threads; writes on a thread of its own.
final class TouchRecorder implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(TouchRecorder.class);
  private static final long INTERVAL_SECONDS = 60;

  private final Path file;
  private final SecureDirectoryStream<Path> directory;
  private final String identity;
  private final BlockMap map;
  private final FirstTouches touches;
  private final CountDownLatch closed = new CountDownLatch(1);
  private final Thread writer;
  private int rangesWritten = -1;

  private TouchRecorder(
      Path file, SecureDirectoryStream<Path> directory, String identity, BlockMap map) {
    this.file = file;
    this.directory = directory;
    this.identity = identity;
    this.map = map;
    this.touches = new FirstTouches(map);
    this.writer = Thread.ofPlatform().daemon().name("cache-record").unstarted(this::run);
  }

  /// Begins a record.
  ///
  /// @throws TargetOpenException if `file` is something else already, or cannot be written
  static TouchRecorder open(Path file, String identity, BlockMap map) throws TargetOpenException {
    try {
      if (Files.exists(file) && Files.size(file) > 0 && !TouchList.isList(file)) {
        throw new TargetOpenException(
            Reason.INVALID,
            "--record: " + file + " is something else already",
            "give the name of a new file");
      }
      SecureDirectoryStream<Path> directory = directoryOf(file);
      TouchRecorder recorder = new TouchRecorder(file, directory, identity, map);
      try {
        recorder.write();
      } catch (IOException e) {
        directory.close();
        throw e;
      }
      recorder.writer.start();
      return recorder;
    } catch (IOException e) {
      throw new TargetOpenException(
          Reason.FAILED,
          "--record: cannot write " + file + ": " + e,
          "does its directory exist, and is there room?",
          e);
    }
  }

  @SuppressWarnings("StreamResourceLeak") // the recorder closes it
  private static SecureDirectoryStream<Path> directoryOf(Path file) throws IOException {
    Path parent = file.toAbsolutePath().getParent();
    if (parent == null) {
      throw new IOException("it is a directory");
    }
    DirectoryStream<Path> directory = Files.newDirectoryStream(parent);
    if (directory instanceof SecureDirectoryStream<Path> secure) {
      return secure;
    }
    directory.close();
    throw new IOException("its file system cannot be used for it");
  }

  FirstTouches touches() {
    return touches;
  }

  private void run() {
    try {
      while (!closed.await(INTERVAL_SECONDS, TimeUnit.SECONDS)) {
        writeOrWarn();
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private void writeOrWarn() {
    try {
      write();
    } catch (IOException e) {
      log.warn("cannot write {}", file, e);
    }
  }

  private synchronized void write() throws IOException {
    List<TouchList.Range> ranges = touches.ranges();
    if (ranges.size() == rangesWritten && closed.getCount() > 0) {
      return;
    }
    ByteBuffer text =
        StandardCharsets.UTF_8.encode(new TouchList(identity, map.sizeBytes(), ranges).toText());
    Path name = file.getFileName();
    Path temporary = Path.of("." + name + ".new");
    try (SeekableByteChannel channel =
        directory.newByteChannel(
            temporary,
            Set.of(
                StandardOpenOption.WRITE,
                StandardOpenOption.CREATE,
                StandardOpenOption.TRUNCATE_EXISTING))) {
      while (text.hasRemaining()) {
        channel.write(text);
      }
    }
    directory.move(temporary, directory, name);
    rangesWritten = ranges.size();
  }

  @Override
  public void close() {
    if (closed.getCount() == 0) {
      return;
    }
    closed.countDown();
    try {
      writer.join(TimeUnit.SECONDS.toMillis(10));
      writeOrWarn();
      directory.close();
    } catch (IOException e) {
      log.warn("cannot close the directory of {}", file, e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
