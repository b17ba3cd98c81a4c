package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.s3.FaultyProxy;
import io.ublkbridge.s3.FaultyProxy.Fault;
import io.ublkbridge.s3.S3Server;
import io.ublkbridge.s3.SeekableZstd;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A disk image in an S3 server, attached as it is and under an overlay.
@Tag("linux-7")
final class S3ImageIT {
  private static final S3Server SERVER = S3Server.start();
  private static final String CHECKSUMS = "find . -type f -print0 | sort -z | xargs -0 sha256sum";

  static {
    SERVER.createBucket("images");
    // For what runs in this process; commands of their own get them from the environment.
    System.setProperty("aws.accessKeyId", S3Server.ACCESS_KEY);
    System.setProperty("aws.secretAccessKey", S3Server.SECRET_KEY);
    System.setProperty("aws.disableEc2Metadata", "true");
  }

  private static final Fault LATE = new Fault.Late(Duration.ofSeconds(5));
  private static final Duration OUTAGE = Duration.ofSeconds(30);

  @TempDir Path dir;
  @TempDir Path mountPoint;

  @AfterAll
  static void stop() {
    SERVER.close();
  }

  private static Map<String, String> store(String url, String... more) {
    Map<String, String> options = new HashMap<>();
    options.put("endpoint-url", url);
    options.put("path-style", "true");
    for (int i = 0; i < more.length; i += 2) {
      options.put(more[i], more[i + 1]);
    }
    return options;
  }

  /// A small ext4 with some hundred real files, as object `disk.img`; returns their checksums.
  private String putImage() throws IOException {
    Path image = dir.resolve("disk.img");
    Path tree = Files.createDirectory(dir.resolve("tree"));
    Command.shell(
        "cd / && find etc usr/sbin -xdev -type f -size -64k | sed -n 1,300p"
            + " | tar -C / -cf - -T - | tar -C "
            + tree
            + " -xf - && truncate -s 32M "
            + image
            + " && mkfs.ext4 -q -d "
            + tree
            + " "
            + image);
    SERVER.put("images", "disk.img", image);
    return Command.shell("cd " + tree + " && " + CHECKSUMS);
  }

  @Tag("long")
  @Test
  void filesAreThoseOfTheImageUntilTheObjectIsReplaced() throws IOException {
    String source = putImage();
    try (ServedDisk disk = ServedDisk.serve("s3://images/disk.img", store(SERVER.url()))) {
      assertEquals("1", Command.shell("blockdev --getro " + disk.path()));
      Command.run("mount", "-o", "ro,noload", disk.path().toString(), mountPoint.toString())
          .succeeded();
      try {
        assertTrue(source.lines().count() > 100, "a real tree has hundreds of files");
        assertEquals(source, Command.shell("cd " + mountPoint + " && " + CHECKSUMS));
      } finally {
        Command.shell("umount " + mountPoint);
      }

      Path other = dir.resolve("other.img");
      Command.shell("truncate -s 32M " + other);
      SERVER.put("images", "disk.img", other);
      Command read = read(disk.path());
      assertNotEquals(0, read.status());
      assertTrue(read.errors().contains("Input/output error"), read.errors());
    }
  }

  @Tag("long")
  @Test
  void filesOfACompressedImageAreThoseOfTheImage() throws IOException {
    String source = putImage();
    byte[] image = Files.readAllBytes(dir.resolve("disk.img"));
    SERVER.put("images", "disk.img.zst", SeekableZstd.of(image, 1 << 20, true));
    try (ServedDisk disk = ServedDisk.serve("s3://images/disk.img.zst", store(SERVER.url()))) {
      disk.mount(mountPoint, "-o", "ro");
      assertEquals(source, Command.shell("cd " + mountPoint + " && " + CHECKSUMS));
      Command.shell("umount " + mountPoint);
      assertTrue(disk.details().get("compression") instanceof Map<?, ?>, "it is told");
    }
  }

  /// Every block tells that it is the right one, to whoever runs this on a disk with `--rw`.
  private String putVerified() throws IOException {
    Path image = dir.resolve("verified.img");
    String fio =
        "fio --name=v --size=4M --verify=crc32c --verify_interval=4k --verify_fatal=1 --filename=";
    Command.shell(fio + image + " --rw=write --bs=64k --do_verify=0");
    SERVER.put("images", "verified.img", image);
    return fio;
  }

  @Tag("long")
  @Test
  void readsPassThroughAStormOfFailures() throws IOException {
    String fio = putVerified();
    SplittableRandom random = new SplittableRandom(17);
    try (FaultyProxy proxy = FaultyProxy.before(SERVER);
        ServedDisk disk =
            ServedDisk.serve("s3://images/verified.img", store(proxy.url(), "cache", "off"))) {
      proxy.plan(_ -> fault(random));
      Command.shell(
          fio + disk.path() + " --rw=randread --bs=16k --direct=1 --ioengine=libaio --iodepth=16");
      assertTrue(proxy.requests().size() > 256, "requests: " + proxy.requests().size());
    }
  }

  /// The kernel gets no error, and each of its reads ends before the deadline of one request.
  @Tag("long")
  @Test
  void readsWaitThroughAnOutageAndSpikes() throws Exception {
    String fio = putVerified();
    SplittableRandom random = new SplittableRandom(18);
    try (FaultyProxy proxy = FaultyProxy.before(SERVER);
        ServedDisk disk =
            ServedDisk.serve("s3://images/verified.img", store(proxy.url(), "cache", "off"))) {
      proxy.plan(request -> request.number() % 50 == 49 ? LATE : fault(random));
      Process reads =
          new ProcessBuilder(
                  "bash",
                  "-c",
                  "exec "
                      + fio
                      + disk.path()
                      + " --rw=randread --bs=16k --direct=1 --ioengine=libaio --iodepth=16"
                      + " --loops=3 --max_latency=60s")
              .inheritIO()
              .start();
      pause(Duration.ofSeconds(5));
      assertTrue(reads.isAlive(), "it ended too early to see an outage");
      proxy.down(true);
      pause(OUTAGE);
      assertTrue(reads.isAlive(), "reads wait while the store is away");
      proxy.down(false);
      assertTrue(reads.waitFor(4, TimeUnit.MINUTES), "reads go on after the outage");
      assertEquals(0, reads.exitValue());
      assertTrue(disk.outage().isEmpty(), "it is over");
    }
  }

  @Tag("long")
  @Test
  void aStoreThatStaysAwayFailsReadsUntilItIsBack() throws Exception {
    SERVER.put("images", "away.img", new byte[32 << 20]);
    try (FaultyProxy proxy = FaultyProxy.before(SERVER);
        ServedDisk disk =
            ServedDisk.serve(
                "s3://images/away.img", store(proxy.url(), "cache", "off", "loss-timeout", "5s"))) {
      read(disk.path()).succeeded();
      proxy.down(true);
      Command lost = read(disk.path());
      assertNotEquals(0, lost.status());
      assertTrue(lost.errors().contains("Link has been severed"), lost.errors());
      assertTrue(disk.outage().isPresent(), "it is told");
      proxy.down(false);
      Command again = read(disk.path());
      for (int tries = 0; again.status() != 0 && tries < 60; tries++) {
        pause(Duration.ofSeconds(1));
        again = read(disk.path());
      }
      again.succeeded();
      assertTrue(disk.outage().isEmpty(), "it is over");
    }
  }

  private static void pause(Duration time) {
    LockSupport.parkNanos(time.toNanos());
  }

  @Test
  void whatIsWrittenStaysInTheOverlayAndWhatWasReadOnDisk() throws IOException {
    String source = putImage();
    Map<String, String> options =
        store(
            SERVER.url(),
            "overlay",
            dir.resolve("disk.overlay").toString(),
            "cache",
            "8M",
            "cache-dir",
            dir.resolve("cache").toString(),
            "cache-disk",
            "80M");
    try (ServedDisk disk = ServedDisk.serve("s3://images/disk.img", options)) {
      disk.mount(mountPoint);
      assertEquals(source, Command.shell("cd " + mountPoint + " && " + CHECKSUMS));
      Command.shell("cp -a " + dir.resolve("tree") + " " + mountPoint + "/copy && sync");
      Command.shell("umount " + mountPoint);
    }
    try (ServedDisk disk = ServedDisk.serve("s3://images/disk.img", options)) {
      Command.shell("e2fsck -fn " + disk.path());
      disk.mount(mountPoint);
      assertEquals(source, Command.shell("cd " + mountPoint + "/copy && " + CHECKSUMS));
      Command.shell("umount " + mountPoint);
      assertTrue(
          disk.details().get("cache") instanceof Map<?, ?> cache
              && cache.get("disk") instanceof Map<?, ?> tier
              && tier.get("hits") instanceof Long hits
              && hits > 0
              && Long.valueOf(0).equals(tier.get("corrupt")),
          () -> "found again on disk: " + disk.details());
    }
  }

  private static Fault fault(SplittableRandom random) {
    synchronized (random) {
      int thrown = random.nextInt(100);
      int afterBytes = random.nextInt(4096);
      if (thrown < 20) {
        return new Fault.Answer(503, "SlowDown");
      }
      if (thrown < 25) {
        return new Fault.Reset(afterBytes - 1);
      }
      return thrown < 26 ? new Fault.Truncated(afterBytes) : new Fault.None();
    }
  }

  private static Command read(Path path) {
    return Command.run(
        "dd", "if=" + path, "of=/dev/null", "bs=4k", "skip=7168", "count=1", "iflag=direct");
  }

  @Tag("long")
  @Test
  void whatCannotBeAttachedIsRefusedWithWords() throws IOException {
    SERVER.put("images", "small.img", new byte[4096]);
    SERVER.put("images", "empty.img", new byte[0]);
    String url = SERVER.url();
    System.setProperty("aws.secretAccessKey", "wrong");
    try {
      assertNotOpened(8, "secret", "s3://images/small.img", "--endpoint-url", url);
    } finally {
      System.setProperty("aws.secretAccessKey", S3Server.SECRET_KEY);
    }
    assertNotOpened(1, "no bucket 'nowhere'", "s3://nowhere/small.img", "--endpoint-url", url);
    assertNotOpened(1, "no object 'none.img'", "s3://images/none.img", "--endpoint-url", url);
    assertNotOpened(10, "empty", "s3://images/empty.img", "--endpoint-url", url);
    String nowhere = "http://127.0.0.1:" + NbdServer.freePort();
    assertNotOpened(7, "refused", "s3://images/small.img", "--endpoint-url", nowhere);
    assertNotOpened(2, "region", "s3://images/small.img");
  }

  /// `info` fails as attach does, but needs no second process.
  private static void assertNotOpened(int status, String words, String uri, String... options) {
    List<String> command = new ArrayList<>(List.of("info", uri, "--path-style", "--timeout", "4m"));
    command.addAll(List.of(options));
    assertWords(words, Command.ublkBridge(command.toArray(String[]::new)).exited(status));
  }

  private static void assertWords(String words, Command refused) {
    assertEquals("", refused.output());
    assertTrue(refused.errors().contains(words), refused.errors());
    assertTrue(refused.errors().lines().count() <= 2, refused.errors());
  }

  @Tag("long")
  @Test
  void theCommandAttachesOverTlsWithTheCallersCredentials() throws Exception {
    SERVER.put("images", "small.img", new byte[(1 << 20) + 100]);
    TlsFiles tls = TlsFiles.make();
    Path keys = dir.resolve("server.p12");
    Command.shell(
        "cd "
            + tls.directory("good")
            + " && openssl pkcs12 -export -passout pass:secret -in server-cert.pem"
            + " -inkey server-key.pem -out "
            + keys);
    try (FaultyProxy proxy = FaultyProxy.overTls(SERVER, keys, "secret")) {
      // This process trusts only the CAs of the system.
      assertNotOpened(8, "certificate", "s3://images/small.img", "--endpoint-url", proxy.url());
      HostState before = HostState.now();

      String bundle = "AWS_CA_BUNDLE=" + tls.directory("good").resolve("ca-cert.pem");
      Command attached =
          Command.run(
                  "env",
                  "AWS_ACCESS_KEY_ID=" + S3Server.ACCESS_KEY,
                  "AWS_SECRET_ACCESS_KEY=" + S3Server.SECRET_KEY,
                  "AWS_EC2_METADATA_DISABLED=true",
                  bundle,
                  "ublk-bridge",
                  "attach",
                  "s3://images/small.img",
                  "--timeout",
                  "4m",
                  "--path-style",
                  "--endpoint-url",
                  proxy.url(),
                  "--name",
                  "small")
              .succeeded();
      assertAttachedAsSmall(Path.of(attached.output().strip()));
      before.assertUnchanged();
    }
  }

  private static void assertAttachedAsSmall(Path path) {
    try {
      assertEquals("1049088", Command.shell("blockdev --getsize64 " + path));
      Command.run("cmp", "-n", "1049088", path.toString(), "/dev/zero").succeeded();
      String status = Command.ublkBridge("status", "small").succeeded().output();
      assertTrue(status.contains("request cost"), status);
      assertTrue(status.contains("etag"), status);
      String pid = Command.json("pid", "status", "small", "--json");
      String everywhere =
          Command.shell(
              "cat /run/ublk-bridge/*.json /var/log/ublk-bridge/*.log; tr '\\0' ' ' </proc/%s/cmdline"
                  .formatted(pid));
      assertTrue(everywhere.contains("small.img"), "looked in the right places");
      assertTrue(!everywhere.contains(S3Server.SECRET_KEY), "a secret was written down");
    } finally {
      Command.ublkBridge("detach", "small").succeeded();
    }
  }
}
