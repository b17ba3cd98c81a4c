package io.ublkbridge.it;

import io.ublkbridge.s3.CephServer;
import io.ublkbridge.s3.S3Server;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/// An S3 server that keeps large objects, in files: the one of this process, or, with
/// `-Dsoak.store=ceph`, Ceph's.
///
/// @param directory of its objects
/// @param port on loopback
/// @param server ends it
record ImageStore(Path directory, int port, Runnable server) implements AutoCloseable {
  static final String BUCKET = "images";

  /// What `it/soak/run` prepared.
  static final Path FILES = Path.of(System.getProperty("soak.files", "/share/soak"));

  private static final boolean CEPH = System.getProperty("soak.store", "").equals("ceph");

  /// Starts one with one object.
  static ImageStore with(String key, Path image) throws IOException {
    // Not /tmp, which may be in memory.
    Path directory = Files.createTempDirectory(Path.of("/var/tmp"), "store");
    if (CEPH) {
      CephServer server = CephServer.start(FILES.resolve("ceph"), directory);
      server.createBucket(BUCKET);
      server.put(BUCKET, key, image);
      return new ImageStore(directory, server.port(), server::close);
    }
    S3Server server = S3Server.start(0, directory);
    server.createBucket(BUCKET);
    server.put(BUCKET, key, image);
    return new ImageStore(directory, server.port(), server::close);
  }

  String url() {
    return "http://127.0.0.1:" + port;
  }

  /// The file that holds an object.
  Path object(String key) {
    Path objects = CEPH ? directory.resolve("objects") : directory;
    return objects.resolve(BUCKET).resolve(key);
  }

  /// Attaches by the command, as a server process of its own, with the credentials in the
  /// environment that `it/device-tests` gives.
  Disk attach(String url, String key, String... options) {
    String[] all = new String[options.length + 3];
    all[0] = "--endpoint-url";
    all[1] = url;
    all[2] = "--path-style";
    System.arraycopy(options, 0, all, 3, options.length);
    return Disk.attach("s3://" + BUCKET + "/" + key, all);
  }

  @Override
  public void close() {
    server.run();
    Command.shell("rm -rf " + directory);
  }
}
