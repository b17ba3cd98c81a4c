package io.ublkbridge.cache;

import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.ByteSize;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// What the disk tier of a device is to be.
///
/// @param directory where its file is, together with those of other devices
/// @param bytesMax how long all files there may be together
/// @param contents names the target's contents
record DiskTierOptions(Path directory, long bytesMax, String contents) {
  private static final Logger log = LoggerFactory.getLogger(DiskTierOptions.class);

  private static final Path DIRECTORY_DEFAULT = Path.of("/var/cache/ublk-bridge");
  private static final long BYTES_DEFAULT = 10L << 30;
  private static final int BLOCKS_MIN = 16;

  /// Reads the options of a command; none of them, no tier.
  ///
  /// @throws TargetOpenException if one of them makes no sense, here or with this target
  static Optional<DiskTierOptions> of(OpenContext context, BlockTarget target, int blockBytes)
      throws TargetOpenException {
    Optional<String> directory = context.option("cache-dir");
    Optional<String> size = context.option("cache-disk");
    if (directory.isEmpty() && size.isEmpty()) {
      return Optional.empty();
    }
    String given = directory.isPresent() ? "--cache-dir" : "--cache-disk";
    Optional<String> contents = target.contentIdentity();
    if (contents.isEmpty()) {
      throw invalid(
          given + ": the contents of this target can change, so nothing of it is kept on disk",
          "leave it out; --cache SIZE caches in memory");
    }
    long bytesMax = size.isPresent() ? parse(size.get()) : BYTES_DEFAULT;
    long bytesMin = new TierLayout(blockBytes).fileBytes(BLOCKS_MIN);
    if (bytesMax < bytesMin) {
      throw invalid(
          "--cache-disk: %s is less than %d blocks of %s need"
              .formatted(ByteSize.format(bytesMax), BLOCKS_MIN, ByteSize.format(blockBytes)),
          "such as --cache-disk 10G");
    }
    Path path = directory.map(Path::of).orElse(DIRECTORY_DEFAULT).toAbsolutePath();
    return Optional.of(new DiskTierOptions(path, bytesMax, contents.get()));
  }

  private static long parse(String text) throws TargetOpenException {
    try {
      return ByteSize.parse(text);
    } catch (IllegalArgumentException e) {
      throw invalid("--cache-disk: " + e.getMessage(), "such as 10G");
    }
  }

  private static TargetOpenException invalid(String message, String remedy) {
    return new TargetOpenException(Reason.INVALID, message, remedy);
  }

  /// Opens the tier.
  ///
  /// @param memoryBytes the whole cache's memory
  /// @throws TargetOpenException if the directory cannot be used. One that is merely full can be
  DiskTier open(long sizeBytes, int blockBytes, long memoryBytes) throws TargetOpenException {
    TierDirectory files = new TierDirectory(directory, bytesMax);
    int keptMax = DiskTier.keptBlocksMax(blockBytes, memoryBytes);
    try {
      files.create();
      long roomBytes = files.roomBytes();
      if (roomBytes < bytesMax) {
        log.warn(
            "{} has room for {}: the disk tier stays smaller than --cache-disk {}",
            directory,
            ByteSize.format(Math.max(0, roomBytes)),
            ByteSize.format(bytesMax));
      }
      return DiskTier.open(
          files,
          new TierIdentity(contents, sizeBytes, blockBytes),
          new DiskTier.Means(DiskTierOptions::runApart, keptMax, DiskTier.GROWTH_BYTES));
    } catch (IOException e) {
      throw new TargetOpenException(
          Reason.FAILED,
          "the cache cannot use " + directory + ": " + why(e),
          "name another directory with --cache-dir, on a file system that can be written and"
              + " that reserves room (ext4, xfs, btrfs)",
          e);
    }
  }

  private static void runApart(Runnable task) {
    Thread.ofPlatform().daemon().name("disk-tier").start(task);
  }

  private static String why(IOException failure) {
    return switch (failure) {
      case AccessDeniedException _ -> "permission denied";
      case NoSuchFileException _ -> "it cannot be created";
      case FileAlreadyExistsException _ -> "it is not a directory";
      case FileSystemException e when e.getReason() != null ->
          e.getReason().toLowerCase(Locale.ROOT);
      default -> String.valueOf(failure.getMessage());
    };
  }
}
