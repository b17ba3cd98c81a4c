package io.ublkbridge.cli;

import io.ublkbridge.device.DeviceOptions;
import io.ublkbridge.device.TargetRegistry;
import io.ublkbridge.target.ByteSize;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetUri;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

@Command(
    name = "attach",
    header = "Attach a target as a disk, and print the disk's path once it can be used.",
    description = {
      "Attaching what is attached already prints its path; if its server is gone it is recovered",
      "first. A server process of its own serves the disk; its messages are in",
      "/var/log/ublk-bridge/N.log.",
      "",
      "URI is one of nbd://HOST[:PORT]/EXPORT, nbd+unix:///EXPORT?socket=PATH, both with nbds in",
      "place of nbd for TLS, s3://BUCKET/KEY, file:PATH, memory:SIZE, null:SIZE. Sizes take K, M,",
      "G, T (powers of 1024), times take ms, s, m, h."
    },
    footer = {
      "",
      "Examples:",
      "  ublk-bridge attach nbd://db1/vol",
      "  ublk-bridge attach nbds://db1/vol --tls-certificates /etc/pki/db1",
      "  ublk-bridge attach nbds://alice@db1/vol --tls-psk-file /etc/keys.psk",
      "  dev=$(ublk-bridge attach nbd://db1:10809/vol --name vol --read-only)",
      "  ublk-bridge attach nbd://db1/golden --overlay /var/tmp/golden.overlay",
      "  ublk-bridge attach s3://bucket/disk.img --region eu-central-1",
      "  ublk-bridge attach memory:1G --id 7"
    })
final class AttachCommand implements Verb {
  private final Answer answer;
  private final Host host;

  @Mixin private CommonOptions common = new CommonOptions();
  @Mixin private TargetOptions targetOptions = new TargetOptions();
  @Mixin private CacheArguments cacheArguments = new CacheArguments();
  @Spec private CommandSpec spec = CommandSpec.create();

  @Parameters(paramLabel = "URI", description = "What to attach.")
  private String uri = "";

  @Option(
      names = "--name",
      paramLabel = "NAME",
      description = "What to call it. Default: derived from the URI.")
  private @Nullable String name;

  @Option(
      names = "--id",
      paramLabel = "N",
      description = "The number in /dev/ublkbN. Default: the first free one.")
  private @Nullable Integer id;

  @Option(names = "--read-only", description = "Refuse writes, whatever the target allows.")
  private boolean readOnly;

  @Option(
      names = "--overlay",
      paramLabel = "FILE",
      description =
          "Make the disk writable without writing to its source: FILE keeps the changes, and is made"
              + " if it does not exist. With --read-only: show the changes, make none.")
  private @Nullable Path overlay;

  @Option(
      names = "--queues",
      paramLabel = "N",
      description = "Hardware queues. Default: what suits the target, at most 4.")
  private @Nullable Integer queues;

  @Option(
      names = "--depth",
      paramLabel = "N",
      description = "Requests under way per queue, 1 to 4096. Default: 128.")
  private int depth = DeviceOptions.DEFAULT_DEPTH;

  @Option(
      names = "--max-io",
      paramLabel = "SIZE",
      description = "The longest request, 4K to 4M. Default: 512K.")
  private String maxIo = "512K";

  @Option(
      names = "--block-size",
      paramLabel = "SIZE",
      description =
          "The disk's logical block, 512 or 4096. Default: 512, or what the target needs.")
  private String blockSize = "512";

  @Option(
      names = "--timeout",
      paramLabel = "TIME",
      converter = PositiveTime.class,
      description = "How long attaching may take; then nothing of it is left. Default: 90s.")
  private Duration timeout = Duration.ofSeconds(90);

  @Option(
      names = "--foreground",
      description =
          "Serve until interrupted, with the messages on standard error; tells systemd when the disk"
              + " can be used.")
  private boolean foreground;

  @Option(
      names = "--no-recovery",
      description =
          "Let the disk end with its server. Default: if the server dies, requests wait for the next,"
              + " which is started at once; not so with memory: and --overlay.")
  private boolean noRecovery;

  @Option(
      names = "--no-partitions",
      description =
          "Do not let the kernel look for partitions; blockdev --rereadpt does. Takes Linux 7.0.")
  private boolean noPartitions;

  AttachCommand(Answer answer, Host host) {
    this.answer = answer;
    this.host = host;
  }

  @Override
  public CommonOptions common() {
    return common;
  }

  @Override
  public Integer call() throws CommandFailure {
    Attachment attachment = new Attachment(host, request(), DaemonProcess::start);
    String path = attachment.attach();
    answer.line(path);
    if (foreground && attachment.server() != null) {
      ServiceManager.ready(uri + " is " + path);
      return Foreground.serve(attachment.server());
    }
    return ExitCode.DONE.status();
  }

  private AttachRequest request() throws CommandFailure {
    if (name != null && !DeviceName.valid(name)) {
      throw misused(
          "--name: '"
              + name
              + "' is not a name: up to 63 letters, digits and _ . -, no sign first");
    }
    if (queues != null && queues < 1) {
      throw misused("--queues: a device has at least 1 queue, not " + queues);
    }
    if (id != null && id < 0) {
      throw misused("--id: an id is 0 or more, not " + id);
    }
    return new AttachRequest(
        resolved(), name, deviceOptions(), stackOptions(), timeout, foreground);
  }

  /// What the server needs to know of the target and of what stands in front of it.
  private Map<String, String> stackOptions() {
    Map<String, String> options = new LinkedHashMap<>(targetOptions.byName());
    options.putAll(cacheArguments.byName());
    if (overlay != null) {
      // The server process has another current directory.
      options.put("overlay", overlay.toAbsolutePath().normalize().toString());
    }
    return options;
  }

  private String resolved() throws CommandFailure {
    try {
      return TargetRegistry.load().resolve(TargetUri.parse(uri)).toString();
    } catch (TargetOpenException e) {
      throw CommandFailure.of("cannot attach " + uri, e);
    }
  }

  private DeviceOptions deviceOptions() {
    long maxIoBytes = size("--max-io", maxIo);
    long blockBytes = size("--block-size", blockSize);
    try {
      return new DeviceOptions(
          id == null ? DeviceOptions.ANY_ID : id,
          queues == null ? 0 : queues,
          depth,
          Math.toIntExact(Math.min(maxIoBytes, Integer.MAX_VALUE)),
          Math.toIntExact(Math.min(blockBytes, Integer.MAX_VALUE)),
          readOnly,
          !noRecovery,
          !noPartitions);
    } catch (IllegalArgumentException e) {
      throw misused(String.valueOf(e.getMessage()));
    }
  }

  private long size(String option, String text) {
    try {
      return ByteSize.parse(text);
    } catch (IllegalArgumentException e) {
      throw misused(option + ": " + e.getMessage());
    }
  }

  private ParameterException misused(String message) {
    return new ParameterException(spec.commandLine(), message);
  }
}
