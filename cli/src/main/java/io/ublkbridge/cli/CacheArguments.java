package io.ublkbridge.cli;

import io.ublkbridge.target.ByteSize;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/// The options of what may stand in front of a target; they are passed on by name, beside those of
/// [TargetOptions].
final class CacheArguments {
  private static final String OFF = "off";

  @Spec(Spec.Target.MIXEE)
  private CommandSpec spec = CommandSpec.create();

  @Option(
      names = "--cache",
      paramLabel = "SIZE",
      description = "Memory for blocks that were read; off for none. Default: off for nbd.")
  private @Nullable String cache;

  @Option(
      names = "--cache-block",
      paramLabel = "SIZE",
      description = "What is fetched and cached at once: 4K to 1M, a power of two. Default: 64K.")
  private @Nullable String cacheBlock;

  @Option(
      names = "--readahead",
      paramLabel = "SIZE",
      description =
          "How far sequential reads are fetched ahead into the cache at most, 128K to 256M; off for"
              + " not at all. Default: 8M.")
  private @Nullable String readahead;

  @Option(
      names = "--record",
      paramLabel = "FILE",
      description = "Write a list of what is read, in order, for --prefetch.")
  private @Nullable Path record;

  @Option(
      names = "--prefetch",
      paramLabel = "FILE",
      description =
          "Fetch what this list names into the cache while nothing else is to be done. It may be"
              + " the same file as that of --record, and need not exist yet.")
  private @Nullable Path prefetch;

  @Option(
      names = "--cache-dir",
      paramLabel = "DIR",
      description =
          "Keep blocks in a file in this directory too, for the next attach. Only for contents that"
              + " never change. Default with --cache-disk: /var/cache/ublk-bridge.")
  private @Nullable Path cacheDirectory;

  @Option(
      names = "--cache-disk",
      paramLabel = "SIZE",
      description =
          "How long all files in that directory may become together. Default with --cache-dir:"
              + " 10G.")
  private @Nullable String cacheDisk;

  /// The options that were given, by long name without dashes.
  Map<String, String> byName() {
    Map<String, String> options = new LinkedHashMap<>();
    putSize(options, "cache", cache);
    putSize(options, "cache-block", cacheBlock);
    putSize(options, "readahead", readahead);
    putFile(options, "record", record);
    putFile(options, "prefetch", prefetch);
    putFile(options, "cache-dir", cacheDirectory);
    putSize(options, "cache-disk", cacheDisk);
    return options;
  }

  private void putSize(Map<String, String> options, String name, @Nullable String value) {
    if (value == null) {
      return;
    }
    if (!value.equals(OFF)) {
      try {
        var _ = ByteSize.parse(value);
      } catch (IllegalArgumentException e) {
        throw new ParameterException(spec.commandLine(), "--" + name + ": " + e.getMessage(), e);
      }
    }
    options.put(name, value);
  }

  /// The server process has another current directory.
  private static void putFile(Map<String, String> options, String name, @Nullable Path file) {
    if (file != null) {
      options.put(name, file.toAbsolutePath().toString());
    }
  }
}
